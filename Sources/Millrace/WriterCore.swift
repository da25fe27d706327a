internal import CommitLog
internal import ConsumerCheckpoints
internal import EventModel
internal import LogFormat
internal import StorageIO
internal import Synchronization
internal import SystemPackage

/// A store that is open for writing: the log, its threads, and the consumer groups.
final class WriterCore: ReadSource {
  let log: CommitLog
  let partitions: [PartitionWriter]
  let checkpoints: CheckpointCommitter
  let workers: WorkerPool
  let readers: WorkerPool
  private let pacemaker: Pacemaker
  private let maintenance: MaintenanceThread
  let streams: StreamWriters
  private let queueState = Mutex<QueueCore?>(nil)
  private let queueDefaults: EventStore.Queues
  let retention: RetentionKeeper
  private let metrics: StoreMetrics
  /// Whether a close has begun: no queues are made then.
  private let isClosing = Atomic(false)
  /// Held while one caller closes: nothing is written once the store's lock is released (I14).
  private let isClosed = Mutex(false)
  private let scrub = Mutex<ScrubThread?>(nil)

  /// Compressing keeps a core busy and syncing none, so there is one thread more than cores use.
  private static let workerCount = 4
  /// Decoding keeps a core busy; more consumers than that share the threads.
  private static let readerCount = 2

  private init(
    log: CommitLog, partitions: [PartitionWriter], checkpoints: CheckpointCommitter,
    workers: WorkerPool, pacemaker: Pacemaker, maintenance: MaintenanceThread,
    streams: StreamWriters, queueDefaults: EventStore.Queues, retention: RetentionKeeper,
    metrics: StoreMetrics
  ) {
    self.log = log
    self.partitions = partitions
    self.checkpoints = checkpoints
    self.workers = workers
    readers = WorkerPool(threadCount: Self.readerCount)
    self.pacemaker = pacemaker
    self.maintenance = maintenance
    self.streams = streams
    self.queueDefaults = queueDefaults
    self.retention = retention
    self.metrics = metrics
  }

  /// Opens the store; blocks.
  static func open(
    at root: FilePath, configuration: EventStore.Configuration, createsIfAbsent: Bool,
    environment: EngineEnvironment, metrics: StoreMetrics
  ) throws(EventStoreError) -> WriterCore {
    do throws(CommitLogFailure) {
      if createsIfAbsent, try isAbsent(root, environment) {
        try create(at: root, configuration: configuration, environment: environment)
      }
      var image: CheckpointImage?
      let log = try CommitLog.open(
        at: root, environment: environment,
        choices: CommitLog.Choices(
          codec: configuration.compression, batchSize: configuration.batchSize.bytes,
          journalSegmentSize: configuration.queues.journalSegmentSize)
      ) { (manifest) throws(CommitLogFailure) in
        let read = try readCheckpoints(root, manifest, environment)
        image = read
        return read.table.highest
      }
      guard let image else { preconditionFailure("the checkpoints were not read") }
      return try start(log, image, configuration: configuration, metrics: metrics)
    } catch {
      throw EventStoreError(error)
    }
  }

  /// Whether a store may be made: there is nothing, or a folder without a manifest.
  private static func isAbsent(
    _ root: FilePath, _ environment: EngineEnvironment
  ) throws(CommitLogFailure) -> Bool {
    try CommitLogFailure.wrapping { () throws(IOFailure) in
      guard let kind = try environment.fileSystem.kind(of: root) else { return true }
      guard kind == .directory else { return false }
      return try environment.fileSystem.kind(of: root.appending(FileNames.manifest)) == nil
    }
  }

  static func create(
    at root: FilePath, configuration: EventStore.Configuration, environment: EngineEnvironment
  ) throws(CommitLogFailure) {
    let age = configuration.retention.age.map { Timestamp(microseconds: 0).advanced(by: $0) }
    try CommitLog.create(
      at: root, partitionCount: configuration.partitionCount,
      configuration: ManifestEdit.StoredConfiguration(
        codec: configuration.compression ?? .lz4,
        segmentSize: UInt64(configuration.segmentSize.bytes),
        batchSize: UInt64(configuration.batchSize.bytes),
        retentionAge: UInt64(clamping: age?.microseconds ?? 0),
        retentionSize: UInt64(configuration.retention.size?.bytes ?? 0)),
      readingFirst: configuration.retention.keepUntilConsumed
        ? ManifestEdit.ReadingFirst(
          isOn: true, sizeMax: UInt64(configuration.retention.unreadSizeMax?.bytes ?? 0))
        : nil,
      environment: environment)
  }

  private static func readCheckpoints(
    _ root: FilePath, _ manifest: ManifestImage, _ environment: EngineEnvironment
  ) throws(CommitLogFailure) -> CheckpointImage {
    do throws(CheckpointFailure) {
      return try CheckpointImage.read(
        root: root, storeID: manifest.header.storeID, witness: manifest.state.checkpointWitness,
        fileSystem: environment.fileSystem)
    } catch {
      throw CommitLogFailure(error)
    }
  }

  private static func start(
    _ log: CommitLog, _ image: CheckpointImage, configuration: EventStore.Configuration,
    metrics: StoreMetrics
  ) throws(CommitLogFailure) -> WriterCore {
    let checkpointLog: CheckpointLog
    do throws(CheckpointFailure) {
      checkpointLog = try CheckpointLog(
        image, root: log.context.root, storeID: log.context.storeID,
        environment: log.context.environment
      ) { [manifest = log.manifest] () throws(IOFailure) in try manifest.noteReplacing() }
    } catch {
      throw CommitLogFailure(error)
    }
    let workers = WorkerPool(threadCount: workerCount)
    let batchSize = log.context.settings.batchSize
    let pending = max(4 * batchSize, configuration.bufferSize.bytes / log.partitions.count)
    let encoders = EncoderPool(
      targetSize: batchSize, countMax: (pending / batchSize + 2) * min(log.partitions.count, 16))
    let framers = FramerPool(log.context.settings.codec)
    let pacemaker = Pacemaker()
    let checkpoints = CheckpointCommitter(checkpointLog, workers: workers)
    let retention = RetentionKeeper(log, checkpoints, configuration.queues)
    let maintenance = MaintenanceThread(log, metrics: metrics) { () throws(EventStoreError) in
      _ = try retention.retain(isDryRun: false)
    }
    let writers = log.partitions.map { partition in
      PartitionWriter(
        partition,
        limits: PartitionWriter.BatchLimits(size: batchSize, pendingSize: pending),
        encoders: encoders, framers: framers, workers: workers, metrics: metrics,
        wakePacemaker: { pacemaker.wake() }, wakeMaintenance: { maintenance.wake() })
    }
    pacemaker.watch(writers.map { writer in { writer.beat() } })
    // What has been accepted must have room in the reserve, and leave most of it.
    let pendingInJournal = min(
      pending, max(4 * batchSize, log.context.settings.journalReserveSize / 4))
    let streams = StreamWriters(log) { stream, tail, noteRoll in
      let writer = PartitionWriter(
        stream, tail: tail,
        limits: PartitionWriter.BatchLimits(
          size: batchSize,
          pendingSize: stream.id == .only(of: .journal) ? pendingInJournal : pending),
        encoders: encoders,
        framers: stream.codec == framers.codec ? framers : FramerPool(stream.codec),
        workers: workers, metrics: metrics,
        wakePacemaker: { pacemaker.wake() },
        wakeMaintenance: {
          noteRoll()
          maintenance.wake()
        })
      pacemaker.watch([{ writer.beat() }])
      return writer
    }
    if let notice = RecoveryNotice(image.table) { metrics.noteRecovery(notice) }
    let reports = log.reports
    for notice in reports.flatMap({ RecoveryNotice.notices($0) }) { metrics.noteRecovery(notice) }
    if let notice = RecoveryNotice(waiting: reports) {
      metrics.noteRecovery(notice)
    }
    let core = WriterCore(
      log: log, partitions: writers,
      checkpoints: checkpoints, workers: workers,
      pacemaker: pacemaker, maintenance: maintenance, streams: streams,
      queueDefaults: configuration.queues, retention: retention, metrics: metrics)
    if let rate = configuration.scrubRate { core.startScrub(rate) }
    return core
  }

  private func startScrub(_ rate: ByteCount) {
    scrub.withLock { scrub in
      scrub = ScrubThread(rate: rate, metrics: metrics) { [weak self] in self }
    }
  }

  deinit { stop() }

  /// Ends the threads.
  ///
  /// What nobody waited for and no close led to the disk is lost with them.
  private func stop() {
    scrub.withLock { $0 }?.stop()
    queueState.withLock { $0 }?.stop()
    maintenance.stop()
    pacemaker.stop()
    workers.stop()
    for partition in partitions { partition.tail.close() }
    streams.closeTails()
    readers.stop()
  }

  var partitionCount: Int { partitions.count }
  var mappings: MappingCache { log.mappings }
  var context: LogContext { log.context }
  var queueCheckpoint: ManifestEdit.QueueCheckpoint? { log.manifest.queueCheckpoint }

  func snapshot(of partition: Int) -> LogSnapshot {
    guard let stream = PartitionID.stream(partition) else {
      return log.partitions[partition].snapshot
    }
    return log.existingLog(stream)?.snapshot ?? .empty(stream)
  }

  /// What this process writes it knows.
  func refresh() {}

  var renewal: (@Sendable () throws(CommitLogFailure) -> Void)? { nil }

  func waitForMore(in partition: Int, beyond number: UInt64) async throws(EventStoreError) -> Bool {
    guard let stream = PartitionID.stream(partition) else {
      return try await partitions[partition].tail.wait(beyond: number)
    }
    return try await streams.tail(of: stream).wait(beyond: number)
  }

  /// The place of the partition that holds a device's events (format-spec §7).
  @inline(__always)
  func index(of device: borrowing EventModel.DeviceID) -> Int {
    Self.index(ofHash: device.hash, partitionCount: partitions.count)
  }

  @inline(__always)
  static func index(ofHash hash: UInt64, partitionCount: Int) -> Int {
    Int(truncatingIfNeeded: hash % UInt64(truncatingIfNeeded: partitionCount))
  }

  func partition(of device: borrowing EventModel.DeviceID) -> PartitionWriter {
    partitions[index(of: device)]
  }

  /// The queues; nil if none has ever been needed.
  var existingQueues: QueueCore? { queueState.withLock { $0 } }

  /// The queues, made when they are first needed.
  func queues() async throws(EventStoreError) -> QueueCore {
    if let queues = existingQueues { return queues }
    return try await readers.offload { [self] () throws(EventStoreError) in try makeQueues() }
  }

  /// The same for threads that may block.
  func queuesBlocking() throws(EventStoreError) -> QueueCore {
    if let queues = existingQueues { return queues }
    return try makeQueues()
  }

  /// Opens the queues if the store has a journal that takes anything.
  ///
  /// Blocks.
  ///
  /// - Returns: what is to be said where one of their files cannot be read: events are as ever, and
  ///   whoever needs the queues tries again and hears of it.
  func openQueues() throws(EventStoreError) -> RecoveryNotice? {
    guard let journal = log.existingLog(.journal), !journal.isLost else { return nil }
    do throws(EventStoreError) {
      _ = try makeQueues()
      return nil
    } catch  where error.code == .storageFull {
      // Whoever needs the queues tries again (I9).
      let notice = RecoveryNotice(queues: error)
      metrics.noteRecovery(notice)
      return notice
    } catch {
      guard let cause = error.cause, cause.isUnreadable,
        cause.path.starts(with: context.root.appending(FileNames.queues))
      else { throw error }
      // Otherwise the journal's own notice says so.
      guard journal.report.unwritable == nil else { return nil }
      let notice = RecoveryNotice(queues: error)
      metrics.noteRecovery(notice)
      return notice
    }
  }

  private func makeQueues() throws(EventStoreError) -> QueueCore {
    try streams.making.withLock { (_) throws(EventStoreError) in
      if let queues = existingQueues { return queues }
      // Not the lock of the close, which waits for this thread to end.
      guard !isClosing.load(ordering: .acquiring) else { throw .isClosed }
      try streams.makeJournal()
      let queues = try QueueCore(
        streams: streams, source: StreamSource(self),
        outcomes: OutcomeCopier(
          feedback: try OutcomeCopier.Stream(.feedback, streams, self),
          deadLetters: try OutcomeCopier.Stream(.deadLetter, streams, self), metrics),
        filing: QueueFiling(log, metrics), defaults: queueDefaults,
        environment: log.context.environment, metrics: metrics)
      queueState.withLock { $0 = queues }
      return queues
    }
  }

  /// Makes everything durable and closes; blocks.
  ///
  /// Closing again does nothing. The first failure is thrown after everything else has been tried.
  /// On a full disk nothing is closed: what was taken in would be lost with the threads, so they go
  /// on trying (I9).
  func close() throws(EventStoreError) {
    try isClosed.withLock { (isClosed) throws(EventStoreError) in
      guard !isClosed else { return }
      // Whoever makes queues now ends first; nobody begins to after that.
      streams.making.withLock { _ in isClosing.store(true, ordering: .releasing) }
      var failure: EventStoreError?
      if let queues = existingQueues {
        queues.close()
        failure = try lead([queues.journal])
        do throws(EventStoreError) {
          if failure == nil { try queues.outcomes.finish() }
        } catch {
          // What is not copied now is copied after the next opening.
          failure = error
        }
      }
      for partition in partitions { partition.close() }
      for stream in streams.all { stream.close() }
      let journal = existingQueues.map { [$0.journal] } ?? []
      failure = try lead(partitions.filter { !$0.log.isLost } + journal) ?? failure
      failure = failure ?? streams.synchronizeOutcomes()
      isClosed = true
      stop()
      // The lock goes even where a partition is poisoned: only opening again helps it.
      do throws(CommitLogFailure) {
        try log.close(checkpoints: checkpoints.closingEnd)
      } catch {
        failure = failure ?? EventStoreError(error)
      }
      if let failure { throw failure }
    }
  }

  /// Leads logs to the disk; returns the first failure and throws a full disk.
  private func lead(
    _ writers: [PartitionWriter]
  ) throws(EventStoreError) -> EventStoreError? {
    var failure: EventStoreError?
    var full: EventStoreError?
    let wait = BlockingWait()
    for partition in writers {
      do throws(EventStoreError) {
        try partition.lead(to: .durable(partition.nextNumber), wait)
      } catch {
        if error.code == .storageFull { full = error } else { failure = failure ?? error }
      }
    }
    if let full { throw full }
    return failure
  }
}

extension CommitLogFailure {
  init(_ failure: CheckpointFailure) {
    switch failure {
    case .io(let cause): self.init(cause)
    case .format(let path, let position, let error):
      self = .format(path, position: position, error)
    case .poisoned(let cause): self = .poisoned(cause)
    }
  }
}
