internal import CommitLog
internal import ConsumerCheckpoints
public import EventModel
internal import LogFormat
package import StorageIO
internal import SystemPackage

/// A store of events, open in this process.
///
/// Events of one device stay in order; every event is delivered at least once to every consumer
/// group. All methods may be called from any task. None blocks a cooperative thread: what waits for
/// the disk runs on threads of the store's own.
///
/// Close it with ``close()``. A store that is released without that loses nothing that was durable.
public final class EventStore: Sendable {
  enum Core: Sendable {
    case writer(WriterCore)
    case follower(FollowerCore)
  }

  let core: Core
  let source: any ReadSource
  let now: @Sendable () -> Timestamp
  /// What opening the store found and dealt with.
  public let recoveryNotices: [RecoveryNotice]

  private init(
    _ core: Core, source: any ReadSource, notices: [RecoveryNotice],
    now: @escaping @Sendable () -> Timestamp
  ) {
    self.core = core
    self.source = source
    self.now = now
    recoveryNotices = notices
  }

  /// Opens a store, and makes it first if there is none.
  ///
  /// Takes time in proportion to what a crash left unsynced, never to the size of the store.
  ///
  /// - Parameters:
  ///   - path: the store's folder.
  ///   - configuration: what a new store is made with, and what holds while it is open.
  ///   - access: whether to write, and whether to make what is not there.
  /// - Returns: the open store.
  /// - Throws: ``EventStoreError`` with `notAStore`, `locked`, `accessDenied`, `readOnly`,
  ///   `storageFull`, `corrupt`, `unsupportedVersion`, `alreadyExists` (a folder that holds
  ///   something else), `invalidArgument` or `ioFailure`.
  public static func open(
    at path: String, configuration: Configuration = Configuration(),
    access: Access = .createIfAbsent
  ) async throws(EventStoreError) -> EventStore {
    try await open(
      at: path, configuration: configuration, access: access, environment: .system())
  }

  /// Opens a store on any file system: for tests and simulations.
  package static func open(
    at path: String, configuration: Configuration, access: Access,
    environment: EngineEnvironment
  ) async throws(EventStoreError) -> EventStore {
    try configuration.validate()
    let opener = WorkerPool(threadCount: 1)
    // A thread cannot join itself: stopping waits for the opener to have answered.
    defer { opener.stop() }
    return try await opener.offload { () throws(EventStoreError) in
      try open(
        FilePath(path), configuration: configuration, access: access, environment: environment)
    }
  }

  private static func open(
    _ root: FilePath, configuration: Configuration, access: Access,
    environment: EngineEnvironment
  ) throws(EventStoreError) -> EventStore {
    let now = environment.now
    guard access != .readOnly else {
      let core = try FollowerCore(at: root, environment: environment)
      let notices =
        core.log.reports.flatMap { RecoveryNotice.notices($0) }
        + [RecoveryNotice(core.checkpoints)].compactMap { $0 }
      return EventStore(.follower(core), source: core, notices: notices, now: now)
    }
    let core = try WriterCore.open(
      at: root, configuration: configuration, createsIfAbsent: access == .createIfAbsent,
      environment: environment, metrics: StoreMetrics(logger: configuration.logger))
    let queueNotice = try core.openQueues()
    let reports = core.log.reports
    let others = [
      RecoveryNotice(waiting: reports), queueNotice, RecoveryNotice(core.checkpoints.table),
    ]
    let notices = reports.flatMap { RecoveryNotice.notices($0) } + others.compactMap { $0 }
    return EventStore(.writer(core), source: core, notices: notices, now: now)
  }

  /// Makes an empty store and leaves it closed.
  ///
  /// - Throws: ``EventStoreError`` with `alreadyExists` when the folder holds anything.
  public static func create(
    at path: String, configuration: Configuration = Configuration()
  ) async throws(EventStoreError) {
    try configuration.validate()
    let creator = WorkerPool(threadCount: 1)
    defer { creator.stop() }
    try await creator.offload { () throws(EventStoreError) in
      do throws(CommitLogFailure) {
        try WriterCore.create(
          at: FilePath(path), configuration: configuration, environment: .system())
      } catch {
        throw EventStoreError(error)
      }
    }
  }

  /// The store's partitions, in the order of their numbers.
  public var partitions: [PartitionID] { (0..<source.partitionCount).map { PartitionID($0) } }

  /// The partition that holds a device's events.
  public func partition(of device: EventModel.DeviceID) -> PartitionID {
    PartitionID(of: device, partitionCount: source.partitionCount)
  }

  /// The events of a partition that can be read: from the first that is still there up to the high
  /// watermark, below which everything survives a crash.
  ///
  /// In a store that is open for reading only: as it was when something was last read.
  public func offsets(in partition: PartitionID) throws(EventStoreError) -> Range<Offset> {
    try check(partition)
    let snapshot = source.snapshot(of: partition.number)
    return Offset(snapshot.startNumber)..<Offset(max(snapshot.startNumber, snapshot.highWatermark))
  }

  /// The batches of a partition, without a consumer group.
  public func batches(
    in partition: PartitionID, from position: ReadPosition = .earliest, until end: ReadEnd = .never
  ) -> EventBatches {
    batches(of: nil, in: partition, until: end) { position }
  }

  /// The batches of a partition from a place that every iterator asks for anew, all of them or
  /// those of some devices.
  func batches(
    of filter: DeviceFilter?, in partition: PartitionID, until end: ReadEnd,
    from position: @escaping @Sendable () -> ReadPosition
  ) -> EventBatches {
    let source = source
    return EventBatches(source, of: filter, in: partition, follows: end == .never) {
      () throws(EventStoreError) in
      try source.check(partition)
      if let known = try source.residentStretch(
        from: position(), until: end, in: partition.number)
      {
        return known
      }
      return try await source.readers.offload { () throws(EventStoreError) in
        try source.refresh()
        return try source.stretch(from: position(), until: end, in: partition.number)
      }
    }
  }

  /// Makes everything durable that was appended before the call, writes where the log ends, and
  /// closes the store.
  ///
  /// Readers that wait at the tail end; others get `closed`. Closing again does nothing.
  ///
  /// - Throws: ``EventStoreError`` when something that was appended could not be made durable. With
  ///   `storageFull` the store takes no more events but is not closed: it goes on trying to write
  ///   what it took in, and ``close()`` can be called again once there is room. After any other
  ///   failure the store is closed and can be opened again.
  public func close() async throws(EventStoreError) {
    let closer = WorkerPool(threadCount: 1)
    defer { closer.stop() }
    let core = core
    try await closer.offload { () throws(EventStoreError) in
      switch core {
      case .writer(let core): try core.close()
      case .follower(let core): core.close()
      }
    }
  }

  func check(_ partition: PartitionID) throws(EventStoreError) { try source.check(partition) }

  func writer() throws(EventStoreError) -> WriterCore {
    switch core {
    case .writer(let core): return core
    case .follower:
      throw .isReadOnly
    }
  }
}

extension ReadSource {
  func check(_ partition: PartitionID) throws(EventStoreError) {
    guard partition.number < partitionCount || PartitionID.stream(partition.number) != nil else {
      throw EventStoreError(
        .invalidArgument,
        "partition \(partition.number) does not exist; the store has \(partitionCount), numbered "
          + "from 0")
    }
  }
}
