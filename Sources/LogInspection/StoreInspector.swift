internal import EventModel
package import LogFormat
package import StorageIO
package import SystemPackage

/// Shows what a path holds, whatever state it is in: a store, or one file of one.
///
/// Reads only, takes no lock, and goes on behind damage. Blocks; one thread at a time.
package final class StoreInspector {
  /// What a path is.
  package enum Target: Hashable, Sendable {
    case store
    /// A file that can be shown by itself, by what its header or its name says.
    case file(FileHeader.Kind)
  }

  package let path: FilePath
  package let target: Target
  private let fileSystem: any FileSystem

  package convenience init(
    _ path: FilePath, fileSystem: any FileSystem
  ) throws(InspectionFailure) {
    try self.init(path, fileSystem: fileSystem, wantsStore: false)
  }

  init(
    _ path: FilePath, fileSystem: any FileSystem, wantsStore: Bool
  ) throws(InspectionFailure) {
    self.path = path
    self.fileSystem = fileSystem
    let found: Target?
    do throws(IOFailure) {
      found = try Self.target(of: path, fileSystem)
    } catch {
      throw error.isMissing ? .missing(path) : .unreadable(error)
    }
    guard let found else { throw try Self.refusal(of: path, fileSystem) }
    if wantsStore, found != .store { throw .notAFolder(path) }
    target = found
  }

  /// What a path can be shown as; nil if nothing.
  private static func target(
    of path: FilePath, _ fileSystem: any FileSystem
  ) throws(IOFailure) -> Target? {
    switch try fileSystem.kind(of: path) {
    case nil: return nil
    case .directory: return try isStore(path, fileSystem) ? .store : nil
    // A link to a folder is looked through; anything else of this kind might never end.
    case .other:
      guard try fileSystem.kind(of: path.appending(".")) == .directory else { return nil }
      return try isStore(path, fileSystem) ? .store : nil
    case .file:
      let source = try InspectedSource(path, name: path.string, fileSystem: fileSystem)
      return kind(of: source, path).map { .file($0) }
    }
  }

  private static func refusal(
    of path: FilePath, _ fileSystem: any FileSystem
  ) throws(InspectionFailure) -> InspectionFailure {
    do throws(IOFailure) {
      switch try fileSystem.kind(of: path) {
      case nil: return .missing(path)
      case .directory: return .notAStore(path)
      case .file, .other: return .notAFileOfAStore(path)
      }
    } catch {
      throw .unreadable(error)
    }
  }

  /// Whether a folder looks like a store, a damaged one included.
  static func isStore(
    _ root: FilePath, _ fileSystem: any FileSystem
  ) throws(IOFailure) -> Bool {
    if try fileSystem.kind(of: root.appending(FileNames.manifest)) == .file { return true }
    return try fileSystem.kind(of: root.appending(FileNames.partitions)) == .directory
  }

  /// The kind that a file's header names, else the one that its name stands for.
  private static func kind(of source: InspectedSource, _ path: FilePath) -> FileHeader.Kind? {
    let reading = FileHeaderReading(source)
    if let header = reading.header { return header.kind }
    let name = path.lastComponent?.string ?? ""
    if name == FileNames.manifest { return .manifest }
    if name == FileNames.checkpoints { return .checkpoints }
    if name.hasSuffix(FileNames.segmentSuffix) { return .segment }
    if name.hasSuffix(FileNames.journalSuffix) { return .journal }
    if name.hasSuffix(FileNames.indexSuffix) { return .index }
    if name.hasSuffix(FileNames.footerSuffix) { return .footer }
    if name.hasSuffix(FileNames.queueSuffix) { return .queue }
    if name.hasSuffix(FileNames.directorySuffix) { return .queueDirectory }
    return nil
  }

  /// Tells everything there is, in the order of the files, until the visitor wants no more.
  package func walk(_ visit: (InspectedItem) -> WalkStep) {
    switch target {
    case .store: walkStore(visit)
    case .file(let kind): walkFile(kind, visit)
    }
  }

  private func walkStore(_ visit: (InspectedItem) -> WalkStep) {
    var snapshot = StoreSnapshot(root: path, fileSystem: fileSystem)
    let contents = FrameContents()
    guard snapshot.read(visit) == .goOn else { return }
    for (_, segments) in snapshot.logs {
      for index in segments.indices {
        let name = StoreSnapshot.name(of: segments[index].added)
        let walk = FileWalk(
          path: path.appending(name), name: name, fileSystem: fileSystem,
          contents: contents)
        let step = walk.segment(
          expected: snapshot.header(of: segments[index].added),
          evidence: snapshot.evidence(segments, at: index),
          isSealed: segments[index].isSealed, visit)
        guard step == .goOn, walkDerived(from: segments[index].added, contents, visit) == .goOn
        else {
          return
        }
      }
    }
    for name in queueFiles() {
      let walk = FileWalk(
        path: path.appending(name), name: name, fileSystem: fileSystem, contents: contents)
      guard walk.segment(expected: nil, evidence: 0, isSealed: true, visit) == .goOn else { return }
    }
    let part = FsckPart(snapshot, FsckTally { _ in }, findingMax: 0)
    for damage in QueueFileCheck.missingFiles(part) where visit(.damage(damage)) == .stop { return }
  }

  /// The directories of queue files, and these, in the order of their names.
  private func queueFiles() -> [String] {
    func names(in folder: String) -> [DirectoryEntry] {
      do throws(IOFailure) {
        return try fileSystem.list(path.appending(folder))
      } catch {
        return []
      }
    }
    let entries = names(in: FileNames.queues)
    let directories = entries.filter { FileNames.parseQueueDirectory($0.name) != nil }
      .map { FileNames.queues + "/" + $0.name }
    let folders = entries.filter { $0.kind == .directory && $0.name != FileNames.journal }
      .map { FileNames.queues + "/" + $0.name }
    return directories
      + folders.flatMap { folder in
        names(in: folder).filter { FileNames.parseQueueFile($0.name) != nil }
          .map { folder + "/" + $0.name }
      }
  }

  private func walkDerived(
    from added: ManifestEdit.SegmentAdded, _ contents: FrameContents,
    _ visit: (InspectedItem) -> WalkStep
  ) -> WalkStep {
    for suffix in [FileNames.indexSuffix, FileNames.footerSuffix]
    where walkDerived(from: added, suffix, contents, visit) == .stop { return .stop }
    return .goOn
  }

  private func walkDerived(
    from added: ManifestEdit.SegmentAdded, _ suffix: String, _ contents: FrameContents,
    _ visit: (InspectedItem) -> WalkStep
  ) -> WalkStep {
    let name = StoreSnapshot.name(of: added, suffix: suffix)
    let indexPath = path.appending(name)
    do throws(IOFailure) {
      guard try fileSystem.kind(of: indexPath) == .file else { return .goOn }
    } catch {
      return visit(.damage(Damage(.unreadable, file: name, detail: "\(error)")))
    }
    let walk = FileWalk(
      path: indexPath, name: name, fileSystem: fileSystem, contents: contents)
    return suffix == FileNames.footerSuffix ? walk.footer(visit) : walk.index(visit)
  }

  private func walkFile(_ kind: FileHeader.Kind, _ visit: (InspectedItem) -> WalkStep) {
    let walk = FileWalk(
      path: path, name: path.string, fileSystem: fileSystem, contents: FrameContents())
    switch kind {
    case .segment, .journal:
      _ = walk.segment(expected: expectedHeader(), evidence: 0, isSealed: false, visit)
    case .index: _ = walk.index(visit)
    case .footer: _ = walk.footer(visit)
    case .manifest:
      _ = walk.entries(
        kind, type: FrameHeader.FrameType.manifestEdits, damageKind: .manifestDamaged, visit,
        decode: { (body, count) throws(FormatError) in
          try ManifestEdit.decodeAll(body, count: count)
        }, item: { .manifestEdit($0) })
    case .checkpoints:
      _ = walk.entries(
        kind, type: FrameHeader.FrameType.checkpointEntries, damageKind: .badCheckpoint, visit,
        decode: { (body, count) throws(FormatError) in
          try CheckpointEntry.decodeAll(body, count: count)
        }, item: { .checkpointEntry($0) })
    case .queue, .queueDirectory:
      _ = walk.segment(expected: nil, evidence: 0, isSealed: false, visit)
    }
  }

  /// The header that the store two folders up says this segment's file had.
  private func expectedHeader() -> FileHeader? {
    let root = path.removingLastComponent().removingLastComponent().removingLastComponent()
    let name = path.lastComponent?.string ?? ""
    guard let stem = FileNames.parseSegmentStem(name) else { return nil }
    let snapshot = StoreSnapshot(reading: root, fileSystem)
    let number = UInt32(truncatingIfNeeded: stem.segmentID)
    let known = snapshot.state.logs.values.joined().map(\.added) + snapshot.state.retired
    let added = known.first {
      UInt32(truncatingIfNeeded: $0.segmentID) == number && $0.baseNumber == stem.baseNumber
    }
    return added.flatMap { snapshot.header(of: $0) }
  }
}
