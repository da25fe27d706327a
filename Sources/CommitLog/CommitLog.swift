package import EventModel
package import LogFormat
package import StorageIO
internal import Synchronization
package import SystemPackage

/// A store's commit log, open for writing by this process alone (I14).
///
/// Synchronous and without threads: whoever opens it decides where its partitions are written,
/// synced and read.
package final class CommitLog: Sendable {
  package let context: LogContext
  package let manifest: ManifestLog
  /// The event partitions, in the order of their numbers.
  package let partitions: [PartitionLog]
  package let mappings: MappingCache
  /// Held by whoever merges, makes footers or retires: one change of the sealed segments at a time.
  let maintaining = Mutex<Void>(())
  /// Held by whoever makes a log on demand; nobody waits for it to look at those that are there.
  let making = Mutex<Void>(())
  let streams: Mutex<StreamLogs>
  /// Released by the close; by a crash, with the process.
  private let lock: Mutex<(any FileLock)?>

  private init(
    context: LogContext, manifest: ManifestLog, partitions: [PartitionLog], streams: StreamLogs,
    lock: any FileLock
  ) {
    self.context = context
    self.manifest = manifest
    self.partitions = partitions
    self.streams = Mutex(streams)
    self.lock = Mutex(lock)
    mappings = MappingCache(context.fileSystem)
  }

  /// What a caller may choose at every open instead of what the store was created with.
  package struct Choices: Sendable {
    package var codec: CompressionCodec?
    package var segmentSize: Int?
    package var batchSize: Int?
    package var journalSegmentSize: Int?

    package init(
      codec: CompressionCodec? = nil, segmentSize: Int? = nil, batchSize: Int? = nil,
      journalSegmentSize: Int? = nil
    ) {
      self.codec = codec
      self.segmentSize = segmentSize
      self.batchSize = batchSize
      self.journalSegmentSize = journalSegmentSize
    }
  }

  /// Opens a store: syncs what it finds, recovers every log, and cuts what is torn.
  ///
  /// Takes time in proportion to the unsynced tails (I10).
  ///
  /// - Parameters:
  ///   - root: the store's folder.
  ///   - environment: files, time and chance.
  ///   - choices: what holds while the log is open.
  ///   - evidence: what is known about durable numbers from outside the log, such as consumers'
  ///     checkpoints, by the numbers of partitions and streams: asked for once the lock is held,
  ///     and told what the manifest says.
  /// - Returns: the open log.
  /// - Throws: ``CommitLogFailure``, among them that another process writes.
  package static func open(
    at root: FilePath, environment: EngineEnvironment, choices: Choices = Choices(),
    evidence: (ManifestImage) throws(CommitLogFailure) -> [UInt32: UInt64]
  ) throws(CommitLogFailure) -> CommitLog {
    let fileSystem = environment.fileSystem
    // Before the lock: a folder that is no store gets no lock file.
    _ = try ManifestImage.read(root: root, fileSystem: fileSystem)
    let lock = try takeLock(root, fileSystem)
    let image = try ManifestImage.read(root: root, fileSystem: fileSystem)
    guard let stored = image.state.configuration, let identity = image.state.identity else {
      throw .notAStore(root, "its manifest names no configuration")
    }
    guard !image.header.isReadOnly else {
      throw .format(
        root.appending(FileNames.manifest), position: 0,
        .unsupportedFeatures(image.header.readOnlyCompatibleFlags))
    }
    let storeID = image.header.storeID
    let context = LogContext(
      root: root, storeID: storeID, environment: environment,
      settings: LogSettings(
        codec: choices.codec ?? stored.codec,
        segmentSize: choices.segmentSize ?? Int(clamping: stored.segmentSize),
        batchSize: choices.batchSize ?? Int(clamping: stored.batchSize),
        journalSegmentSize: choices.journalSegmentSize))
    let unknown = try OrphanSegments.checkAllNamed(image, context: context)
    // Before anything is changed for a log that has one.
    for log in image.state.recordedLogs { _ = try image.state.activeSegment(of: log, in: root) }
    let known = try evidence(image)
    let manifest = try ManifestLog.open(image, in: root, environment: environment)
    var partitions: [PartitionLog] = []
    for number in 0..<identity.partitionCount {
      let log = ManifestEdit.LogID(stream: .events, partition: number)
      let isListed = try OrphanSegments.setAside(
        log, isKnown: unknown[log] == nil, manifest: manifest, context: context)
      partitions.append(
        try openLog(
          log, as: image.state, evidence: log.evidence(in: known), unknown: unknown[log],
          isListed: isListed, context: context, manifest: manifest))
    }
    var streams = StreamLogs(unknown: unknown)
    for log in image.state.possibleLogs where log.stream != .events {
      let isListed = try OrphanSegments.setAside(
        log, isKnown: unknown[log] == nil, manifest: manifest, context: context)
      guard image.state.logs[log] != nil else { continue }
      streams.logs[log] = try openLog(
        log, as: image.state, evidence: log.evidence(in: known), unknown: unknown[log],
        isListed: isListed, context: context, manifest: manifest)
    }
    return CommitLog(
      context: context, manifest: manifest, partitions: partitions, streams: streams, lock: lock)
  }

  /// Recovers a log that the manifest names, and makes it ready for writing if there is room.
  ///
  /// The state is that of the manifest as it was found: once the first log is ready for writing,
  /// what the last close said holds no more, and the others need it.
  static func openLog(
    _ id: ManifestEdit.LogID, as state: ManifestState, evidence: UInt64,
    unknown: IOFailure? = nil, isListed: Bool = true, context: LogContext, manifest: ManifestLog
  ) throws(CommitLogFailure) -> PartitionLog {
    let context = context.with(id.stream)
    var recovered = try PartitionRecovery.recover(
      id, manifest: state, evidence: evidence, context: context)
    recovered.isListed = isListed
    if let unknown {
      recovered.holdBack(.init(unnamed: unknown, in: id, behind: recovered.durableNumber))
    }
    let log = try PartitionLog(recovered, context: context, manifest: manifest)
    guard !log.isLost else { return log }
    do throws(CommitLogFailure) {
      try log.prepareForWriting()
    } catch .storageFull(let cause) {
      // Reading works; the first write tries again (I9).
      log.noteWaiting(for: cause)
    } catch {
      // Reading works, and the others go on.
      guard log.stopWriting(after: error) else { throw error }
    }
    return log
  }

  static func takeLock(
    _ root: FilePath, _ fileSystem: any FileSystem
  ) throws(CommitLogFailure) -> any FileLock {
    let attempt = try CommitLogFailure.wrapping { () throws(IOFailure) in
      try fileSystem.lock(root.appending(FileNames.lock))
    }
    switch attempt {
    case .acquired(let lock): return lock
    case .held(let holder): throw .locked(root, holder)
    }
  }

  /// Closes the store after its logs have been flushed.
  ///
  /// The next open finds nothing to do.
  ///
  /// A log that is poisoned, or a full disk, makes the close unclean and harms nothing: the
  /// next open recovers.
  ///
  /// - Parameter checkpoints: where the checkpoint file ends, synced; nil where nobody has touched
  ///   it since the last close.
  /// - Throws: ``CommitLogFailure``.
  package func close(
    checkpoints: ManifestEdit.CheckpointsEnd? = nil
  ) throws(CommitLogFailure) {
    defer { lock.withLock { $0 = nil } }
    stopMakingLogs()
    let logs = logs
    var ends: [ManifestEdit.LogEnd] = []
    var failure: CommitLogFailure?
    for log in logs {
      do throws(CommitLogFailure) {
        if let end = try log.close() { ends.append(end) }
      } catch {
        // The others are closed all the same.
        failure = failure ?? error
      }
    }
    if let failure { throw failure }
    guard ends.count == logs.count else { return }
    do throws(CommitLogFailure) {
      let checkpoints = checkpoints ?? manifest.state.checkpointWitness.end
      try manifest.append([.closed(context.environment.now(), ends, checkpoints)])
    } catch .storageFull {
      return
    }
  }
}

extension ManifestEdit.LogID {
  /// What consumers' checkpoints testify to of this log, which may be a stream that groups read.
  func evidence(in known: [UInt32: UInt64]) -> UInt64 {
    known[UInt32(partitionID.number)] ?? 0
  }
}
