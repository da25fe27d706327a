internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// Looks for files that do not belong to a store, and for kept ones that are gone.
struct FileCheck {
  private let fsck: Fsck
  private let state: ManifestState
  private let folders = Set(FileHeader.Stream.allCases.map(\.folder) + [FileNames.quarantine])
  private let files: Set<String> = [
    FileNames.manifest, FileNames.checkpoints, FileNames.lock, FileNames.unfinished,
  ]

  init(_ fsck: Fsck) {
    self.fsck = fsck
    state = fsck.snapshot.state
  }

  func run() {
    for entry in list("") {
      let isKnown =
        entry.kind == .directory ? folders.contains(entry.name) : files.contains(entry.name)
      if entry.kind == .file { fsck.count { $0.files += 1 } }
      if !isKnown { orphan(entry.name) }
    }
    for stream in FileHeader.Stream.allCases { checkLogs(of: stream) }
    checkQuarantine()
  }

  /// The entries of a folder of the store; what cannot be listed is told.
  private func list(_ name: String) -> [DirectoryEntry] {
    let path = name.isEmpty ? fsck.root : fsck.root.appending(name)
    do throws(IOFailure) {
      return try fsck.fileSystem.list(path)
    } catch {
      if !error.isMissing {
        fsck.add(Damage(.unreadable, file: name, detail: "\(error)"))
      }
      return []
    }
  }

  private func orphan(_ name: String) {
    let detail =
      name.hasSuffix(FileNames.replacementSuffix)
      ? "left over from a replacement that a crash ended" : "no part of the store"
    fsck.add(Damage(.orphanFile, file: name, detail: detail))
  }

  private func checkLogs(of stream: FileHeader.Stream) {
    let partitions = (0..<fsck.snapshot.partitionCount).map {
      ManifestEdit.LogID(stream: .events, partition: $0)
    }
    // A crash may leave the folder of a log that was never made.
    let possible =
      stream == .events
      ? partitions : state.logs.keys.filter { $0.stream == stream } + [.only(of: stream)]
    let logs = Dictionary(possible.map { ($0.folderName, $0) }) { first, _ in first }
    for entry in list(stream.folder) {
      let name = stream.folder + "/" + entry.name
      guard entry.kind == .directory, let log = logs[entry.name] else {
        orphan(name)
        continue
      }
      checkLog(log, name)
    }
  }

  private func checkLog(_ log: ManifestEdit.LogID, _ folder: String) {
    let segments = state.logs[log] ?? []
    let known = Set(segments.map { StoreSnapshot.name(of: $0.added) })
    let derived = Set(
      segments.flatMap { segment in
        [FileNames.indexSuffix, FileNames.footerSuffix].map {
          StoreSnapshot.name(of: segment.added, suffix: $0)
        }
      })
    let retired = Set(state.retired.map { StoreSnapshot.name(of: $0) })
    for entry in list(folder) {
      let name = folder + "/" + entry.name
      if known.contains(name) || derived.contains(name) { continue }
      fsck.count { $0.files += 1 }
      if retired.contains(name) {
        fsck.add(
          Damage(.orphanFile, file: name, detail: "a retired segment that is not yet removed"))
      } else {
        orphan(name)
      }
    }
  }

  private func checkQuarantine() {
    let present = Set(list(FileNames.quarantine).map(\.name))
    for cut in state.cuts where !cut.quarantineName.isEmpty {
      guard !present.contains(cut.quarantineName) else { continue }
      fsck.add(
        Damage(
          .missingFile, file: FileNames.quarantine + "/" + cut.quarantineName,
          detail: "what was cut at position \(cut.position) of segment \(cut.segmentID) was "
            + "kept here"),
        severity: .note)
    }
  }
}
