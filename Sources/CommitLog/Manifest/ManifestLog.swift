internal import EventModel
package import LogFormat
package import StorageIO
internal import Synchronization
package import SystemPackage

/// The manifest of an open store: what the store consists of, and the file that says so.
///
/// Safe from several threads. An edit is applied when it is durable and not before; edits are rare,
/// so the lock is held while one is written: their order in the file is the order of the facts.
package final class ManifestLog: Sendable {
  /// A manifest larger than this is rewritten as the least edits that add up to its state.
  package static let rewriteSize = 1 << 20

  private let path: FilePath
  private let storeID: StoreID
  private let environment: EngineEnvironment
  private let contents: Mutex<Contents>
  private let adding = Mutex<Void>(())

  private struct Contents: ~Copyable {
    var file: any StorageFile
    var log: FrameLog
    var state: ManifestState
    var poison: IOFailure?
    var body = ByteBuffer(capacity: 4 << 10)
    /// Rewriting waits until the file has grown to this.
    var rewriteSize: Int
    var reserve = SpaceReserve()
    /// Given out once, even when the segment could not be made.
    var segmentIDNext: UInt64
    /// How the file was found, until this writer's epoch.
    var taken: RecoveryRule.Verdict?
    /// Flipped bits that are read as if they were right, and are not yet.
    var repairs: [BitRepair]
    /// Whether no crash takes back what was found.
    var isSettled: Bool
    /// Ids of segment files that are in the way, and could not be moved.
    var avoidedIDs: Set<UInt64> = []
    /// The highest of those that merges have left beside the segments they were to replace.
    var mergeIDMax: UInt64 = 0
    /// Whether an edit of this writer's is durable: then no close before it holds any more.
    var isOpened: Bool
  }

  private init(
    path: FilePath, storeID: StoreID, environment: EngineEnvironment, file: any StorageFile,
    log: consuming FrameLog, state: ManifestState, taken: RecoveryRule.Verdict? = nil,
    repairs: [BitRepair] = []
  ) {
    self.path = path
    self.storeID = storeID
    self.environment = environment
    let rewriteSize = max(Self.rewriteSize, 2 * log.end.position)
    contents = Mutex(
      Contents(
        file: file, log: log, state: state, rewriteSize: rewriteSize,
        segmentIDNext: state.segmentIDMax + 1, taken: taken, repairs: repairs,
        isSettled: taken == nil, isOpened: taken == nil))
  }

  /// Makes durable that a writer is at work, before its first frame: no clean close holds then.
  package func noteWriter() throws(CommitLogFailure) {
    if contents.withLock({ !$0.isOpened }) { try append([]) }
  }

  /// The same for whoever replaces a file that the last close names, before that.
  package func noteReplacing() throws(IOFailure) {
    do throws(CommitLogFailure) {
      try noteWriter()
    } catch .storageFull(let cause), .io(let cause), .poisoned(let cause) {
      throw cause
    } catch {
      throw IOFailure(.write, path, .ioError)
    }
  }

  /// A segment id that is never given again.
  package func takeSegmentID() -> UInt64 {
    contents.withLock { contents in
      while contents.avoidedIDs.remove(contents.segmentIDNext) != nil {
        contents.segmentIDNext += 1
      }
      defer { contents.segmentIDNext += 1 }
      return contents.segmentIDNext
    }
  }

  /// Keeps ids from being given out that files have which could not be moved out of the way.
  ///
  /// - Parameters:
  ///   - segmentIDs: the ids.
  ///   - leftOfMerges: those of merges that were cut short.
  func avoid(_ segmentIDs: Set<UInt64>, leftOfMerges: Set<UInt64>) {
    contents.withLock { contents in
      contents.avoidedIDs.formUnion(segmentIDs)
      contents.mergeIDMax = max(contents.mergeIDMax, leftOfMerges.max() ?? 0)
    }
  }

  /// Makes a segment with an id of its own and appends the edits that name it.
  ///
  /// One at a time, so that ids stand in the manifest in their order.
  package func addSegment(
    _ make: (_ segmentID: UInt64) throws(CommitLogFailure) -> [ManifestEdit]
  ) throws(CommitLogFailure) {
    try adding.withLock { (_) throws(CommitLogFailure) in
      try append(try make(takeSegmentID()))
    }
  }

  /// Forgets segments, durably.
  ///
  /// A file that a merge made and nobody named, and that could be neither moved nor removed, holds
  /// what a segment that goes holds. With that segment the manifest says that the file's id was
  /// given, so that nobody takes it for a segment whose name is lost.
  func retire(_ segmentIDs: [UInt64]) throws(CommitLogFailure) {
    // No segment is being made meanwhile: its id must be higher than all that count as given.
    try adding.withLock { (_) throws(CommitLogFailure) in
      let floor = contents.withLock { contents -> UInt64? in
        contents.segmentIDNext = max(contents.segmentIDNext, contents.mergeIDMax + 1)
        let last = contents.segmentIDNext - 1
        return last > contents.state.segmentIDMax ? last : nil
      }
      let given: [ManifestEdit] = floor.map { [.segmentIDFloor($0)] } ?? []
      try append(given + segmentIDs.map { .segmentRetired(segmentID: $0) })
    }
  }

  /// The last checkpoint of the queues; nil for none.
  package var queueCheckpoint: ManifestEdit.QueueCheckpoint? {
    contents.withLock { $0.state.queueCheckpoint }
  }

  package var state: ManifestState { contents.withLock { $0.state } }

  /// The failure after which it is not known what the file says, nil while that is known.
  var poison: IOFailure? { contents.withLock { $0.poison } }

  /// Makes edits durable, all or none, then applies them.
  package func append(_ edits: [ManifestEdit]) throws(CommitLogFailure) {
    try contents.withLock { (contents) throws(CommitLogFailure) in
      if let poison = contents.poison { throw .poisoned(poison) }
      // A writer's first edit says that what the last close said no longer holds.
      let edits = contents.isOpened ? edits : [.opened(environment.now())] + edits
      var state = contents.state
      do throws(FormatError) {
        for edit in edits { try state.apply(edit) }
        try edits.checkCoding()
      } catch {
        throw .format(path, position: contents.log.end.position, error)
      }
      try finishSettling(&contents)
      try begin(&contents)
      contents.body.removeAll()
      for edit in edits { edit.encode(into: &contents.body) }
      contents.log.prepare(
        FrameHeader.FrameType.manifestEdits, recordCount: edits.count, body: contents.body,
        at: environment.now())
      try write(&contents)
      contents.isOpened = true
      contents.state = state
      if contents.log.end.position > contents.rewriteSize { try rewrite(&contents) }
      Self.keepReserve(&contents)
    }
  }

  private static func keepReserve(_ contents: inout Contents) {
    contents.reserve.keep(behind: contents.log.end.position, of: contents.file)
  }

  private func write(_ contents: inout Contents) throws(CommitLogFailure) {
    let position = FilePosition(contents.log.end.position)
    let file = contents.file
    do throws(IOFailure) {
      try contents.log.pending.withBytes { (bytes) throws(IOFailure) in
        try file.write(bytes, at: position)
      }
    } catch {
      try discard(error, &contents)
    }
    do throws(IOFailure) {
      try file.synchronize()
    } catch {
      contents.poison = error
      throw .poisoned(error)
    }
    contents.log.confirm()
  }

  /// Takes back what did reach the file of an edit that was not written: what it says is not so,
  /// and must not be found after a crash.
  private func discard(
    _ failure: IOFailure, _ contents: inout Contents
  ) throws(CommitLogFailure) -> Never {
    do throws(IOFailure) {
      try contents.file.truncate(to: ByteCount(contents.log.end.position))
      try contents.file.synchronize()
    } catch {
      contents.poison = error
      throw .poisoned(error)
    }
    contents.reserve = SpaceReserve()
    Self.keepReserve(&contents)
    throw CommitLogFailure(failure)
  }

  /// Replaces the file by one that holds the state and nothing else.
  ///
  /// Where that one cannot be written, for want of room or else, the file goes on growing.
  private func rewrite(_ contents: inout Contents) throws(CommitLogFailure) {
    let replacement = EntryFile(
      manifest: contents.state.snapshot, storeID: storeID, salt: environment.random(),
      at: environment.now())
    do throws(IOFailure) {
      try replacement.bytes.withBytes { (bytes) throws(IOFailure) in
        try AtomicReplace.prepare(path, with: bytes, in: environment.fileSystem)
      }
    } catch {
      contents.rewriteSize = 2 * contents.log.end.position
      return
    }
    do throws(IOFailure) {
      try AtomicReplace.commit(path, in: environment.fileSystem)
      contents.file = try environment.fileSystem.open(path, .readWrite)
    } catch {
      // The old file or the new one stands under the name, and this process cannot tell which.
      contents.poison = error
      throw .poisoned(error)
    }
    contents.log = FrameLog(identity: replacement.identity, end: replacement.end)
    contents.reserve = SpaceReserve()
    contents.rewriteSize = max(Self.rewriteSize, 2 * replacement.end.position)
  }

  /// Writes the manifest of a new store: from the moment its rename is durable the store exists.
  package static func create(
    at path: FilePath, storeID: StoreID, edits: [ManifestEdit], environment: EngineEnvironment
  ) throws(CommitLogFailure) -> ManifestLog {
    var state = ManifestState()
    let encoded = EntryFile(
      manifest: edits, storeID: storeID, salt: environment.random(), at: environment.now())
    do throws(FormatError) {
      for edit in edits { try state.apply(edit) }
      try edits.checkCoding()
    } catch {
      throw .format(path, position: 0, error)
    }
    do throws(IOFailure) {
      try encoded.bytes.withBytes { (bytes) throws(IOFailure) in
        try AtomicReplace.replace(path, with: bytes, in: environment.fileSystem)
      }
      let file = try environment.fileSystem.open(path, .readWrite)
      let manifest = ManifestLog(
        path: path, storeID: storeID, environment: environment, file: file,
        log: FrameLog(identity: encoded.identity, end: encoded.end), state: state)
      // Before anything fills the disk.
      manifest.contents.withLock { Self.keepReserve(&$0) }
      return manifest
    } catch {
      throw CommitLogFailure(error)
    }
  }

  /// Takes over a manifest that was read.
  ///
  /// Nothing needs room before the first edit, so that a store on a full disk opens (I9): where
  /// there is none to write over what was found, it is not settled.
  package static func open(
    _ image: ManifestImage, in root: FilePath, environment: EngineEnvironment
  ) throws(CommitLogFailure) -> ManifestLog {
    let path = root.appending(FileNames.manifest)
    return try CommitLogFailure.wrapping { () throws(IOFailure) in
      let file = try environment.fileSystem.open(path, .readWrite)
      // What was read may be in the page cache alone: nothing may rest on it before this returns.
      try file.synchronize()
      try environment.fileSystem.synchronizeDirectory(root)
      let manifest = ManifestLog(
        path: path, storeID: image.header.storeID, environment: environment, file: file,
        log: FrameLog(identity: image.header.identity, end: image.verdict.end),
        state: image.state, taken: image.verdict, repairs: image.repairs)
      try manifest.contents.withLock { (contents) throws(IOFailure) in
        do throws(IOFailure) {
          try manifest.settle(&contents)
        } catch {
          guard error.isStorageFull else { throw error }
        }
        // Before anything fills the disk.
        Self.keepReserve(&contents)
      }
      return manifest
    }
  }

  /// Whether no crash takes back what the manifest says: until then nothing may go that it named
  /// before, and no edit follows.
  package var isSettled: Bool { contents.withLock { $0.isSettled } }

  /// Settles a manifest that could not be settled when it was opened, for want of room.
  ///
  /// - Throws: `.storageFull` while there is none.
  package func settle() throws(CommitLogFailure) {
    try contents.withLock { (contents) throws(CommitLogFailure) in
      if let poison = contents.poison { throw .poisoned(poison) }
      try finishSettling(&contents)
    }
  }

  private func finishSettling(_ contents: inout Contents) throws(CommitLogFailure) {
    do throws(IOFailure) {
      try settle(&contents)
    } catch {
      if !error.isStorageFull {
        contents.poison = error
        throw .poisoned(error)
      }
      throw .storageFull(error)
    }
  }

  /// Sets right what was read as if it were, and writes anew the edits that nothing proves.
  ///
  /// On a full disk it may be tried again: all of it is written again then, and synced.
  private func settle(_ contents: inout Contents) throws(IOFailure) {
    guard !contents.isSettled, let verdict = contents.taken else { return }
    let quarantine = Quarantine(
      path.removingLastComponent().appending(FileNames.quarantine),
      fileSystem: environment.fileSystem)
    while let repair = contents.repairs.first {
      try PartitionRecovery.write(
        repair, to: contents.file, named: FileNames.manifest, quarantine)
      contents.repairs.removeFirst()
    }
    try PartitionRecovery.rewriteUnproven(verdict, of: contents.file)
    contents.isSettled = true
  }

  /// Cuts what is torn behind the edits that stand, and begins an epoch behind them.
  private func begin(_ contents: inout Contents) throws(CommitLogFailure) {
    guard let verdict = contents.taken else { return }
    let quarantine = Quarantine(
      path.removingLastComponent().appending(FileNames.quarantine),
      fileSystem: environment.fileSystem)
    do throws(IOFailure) {
      if !verdict.cut.isEmpty {
        try quarantine.keep(
          verdict.cut, of: contents.file,
          name: "\(FileNames.manifest).\(verdict.tail.label).\(verdict.cut.lowerBound)")
        try contents.file.truncate(to: ByteCount(verdict.cut.lowerBound))
        contents.reserve = SpaceReserve()
        try contents.file.synchronize()
        // Should the disk be full now, it is done all the same.
        contents.taken?.cut = verdict.cut.lowerBound..<verdict.cut.lowerBound
      }
      contents.log.prepareEpoch(
        key: (environment.random(), environment.random()), at: environment.now())
      let position = FilePosition(contents.log.end.position)
      let file = contents.file
      try contents.log.pending.withBytes { (bytes) throws(IOFailure) in
        try file.write(bytes, at: position)
      }
    } catch {
      throw CommitLogFailure(error)
    }
    // Synced together with the edit behind it; until then nothing depends on it.
    contents.log.confirm()
    contents.taken = nil
  }
}
