internal import LogFormat
internal import StorageIO
internal import Synchronization
internal import SystemPackage

/// One part of a check, on one thread: what it looks at, and what it finds.
final class FsckPart {
  let snapshot: StoreSnapshot
  let contents = FrameContents()
  private let tally: FsckTally
  /// Its findings; what was looked at counts for all parts together.
  private(set) var result: FsckResult
  private let gaps: RecordedGaps

  var root: FilePath { snapshot.root }
  var fileSystem: any FileSystem { snapshot.fileSystem }

  init(_ snapshot: StoreSnapshot, _ tally: FsckTally, findingMax: Int) {
    self.snapshot = snapshot
    self.tally = tally
    result = FsckResult(findingMax: findingMax)
    gaps = RecordedGaps(snapshot.state.gaps)
  }

  /// Adds a finding; damage that the manifest records is a note.
  func add(_ damage: Damage, severity: Severity? = nil, log: ManifestEdit.LogID? = nil) {
    guard let log, let range = damage.range, gaps.cover(range, of: log) else {
      result.add(FsckFinding(damage, severity: severity))
      return
    }
    var damage = damage
    damage.detail += " (recorded in the manifest)"
    result.add(FsckFinding(damage, severity: .note))
  }

  func count(_ change: (inout FsckCounts) -> Void) { tally.count(change) }

  /// The entries of a folder of the store; what cannot be listed is told.
  func list(_ name: String) -> [DirectoryEntry] {
    let path = name.isEmpty ? root : root.appending(name)
    do throws(IOFailure) {
      return try fileSystem.list(path)
    } catch {
      if !error.isMissing {
        add(Damage(.unreadable, file: name, detail: "\(error)"))
      }
      return []
    }
  }

  /// Says that a file or folder does not belong to the store.
  func orphan(_ name: String) {
    let detail =
      name.hasSuffix(FileNames.replacementSuffix)
      ? "left over from a replacement that a crash ended" : "no part of the store"
    add(Damage(.orphanFile, file: name, detail: detail))
  }
}

/// What all parts of a check have looked at so far.
final class FsckTally: Sendable {
  private let state = Mutex(FsckCounts())
  private let progress: @Sendable (FsckCounts) -> Void

  init(_ progress: @escaping @Sendable (FsckCounts) -> Void) { self.progress = progress }

  var counts: FsckCounts { state.withLock { $0 } }

  func count(_ change: (inout FsckCounts) -> Void) {
    state.withLock { counts in
      change(&counts)
      progress(counts)
    }
  }
}
