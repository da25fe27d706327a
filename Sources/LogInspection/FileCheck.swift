internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// Looks for files that do not belong to a store, and for kept ones that are gone.
struct FileCheck {
  private let part: FsckPart
  private let state: ManifestState
  private let folders = Set(FileHeader.Stream.allCases.map(\.folder) + [FileNames.quarantine])
  private let files: Set<String> = [
    FileNames.manifest, FileNames.checkpoints, FileNames.lock, FileNames.unfinished,
  ]

  init(_ part: FsckPart) {
    self.part = part
    state = part.snapshot.state
  }

  func run() {
    for entry in part.list("") {
      let isKnown =
        entry.kind == .directory ? folders.contains(entry.name) : files.contains(entry.name)
      if entry.kind == .file { part.count { $0.files += 1 } }
      if !isKnown { part.orphan(entry.name) }
    }
    for stream in FileHeader.Stream.allCases { checkLogs(of: stream) }
    checkQuarantine()
  }

  private func checkLogs(of stream: FileHeader.Stream) {
    let partitions = (0..<part.snapshot.partitionCount).map {
      ManifestEdit.LogID(stream: .events, partition: $0)
    }
    // A crash may leave the folder of a log that was never made.
    let possible =
      stream == .events
      ? partitions : state.logs.keys.filter { $0.stream == stream } + [.only(of: stream)]
    let logs = Dictionary(possible.map { ($0.folderName, $0) }) { first, _ in first }
    for entry in part.list(stream.folder) {
      let name = stream.folder + "/" + entry.name
      if stream == .journal, isQueueFolder(entry) || isDirectory(entry) { continue }
      guard entry.kind == .directory, let log = logs[entry.name] else {
        part.orphan(name)
        continue
      }
      checkLog(log, name)
    }
  }

  /// Whether an entry beside the journal is a folder of queue files, which are checked by
  /// themselves.
  private func isQueueFolder(_ entry: DirectoryEntry) -> Bool {
    entry.kind == .directory && entry.name.utf8.count == 2
      && UInt8(entry.name, radix: 16).map { Hexadecimal.text($0) == entry.name } ?? false
  }

  /// Whether it is the directory of queue files.
  private func isDirectory(_ entry: DirectoryEntry) -> Bool {
    guard entry.kind == .file, let number = FileNames.parseQueueDirectory(entry.name) else {
      return false
    }
    return number == state.queueCheckpoint?.number
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
    for entry in part.list(folder) {
      let name = folder + "/" + entry.name
      if known.contains(name) || derived.contains(name) { continue }
      part.count { $0.files += 1 }
      if retired.contains(name) {
        part.add(
          Damage(.orphanFile, file: name, detail: "a retired segment that is not yet removed"))
      } else {
        part.orphan(name)
      }
    }
  }

  private func checkQuarantine() {
    let present = Set(part.list(FileNames.quarantine).map(\.name))
    for cut in state.cuts where !cut.quarantineName.isEmpty {
      guard !present.contains(cut.quarantineName) else { continue }
      part.add(
        Damage(
          .missingFile, file: FileNames.quarantine + "/" + cut.quarantineName,
          detail: "what was cut at position \(cut.position) of segment \(cut.segmentID) was "
            + "kept here"),
        severity: .note)
    }
  }
}
