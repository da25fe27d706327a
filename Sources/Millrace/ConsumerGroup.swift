internal import CommitLog
internal import ConsumerCheckpoints
public import EventModel
internal import LogFormat

/// Consumers that share the work of reading a store: for each partition the store remembers how far
/// they are.
public struct ConsumerGroup: Sendable {
  /// The group's name.
  public let name: GroupName
  let store: EventStore

  init(_ name: GroupName, _ store: EventStore) {
    self.name = name
    self.store = store
  }

  /// The batches of a partition from where the group goes on.
  ///
  /// - Parameters:
  ///   - partition: the partition.
  ///   - position: the group's checkpoint, or another place.
  ///   - end: where to stop; never unless given, so that the iterator waits at the tail.
  /// - Returns: a sequence of batches whose ``EventBatch/checkpoint`` the group can commit.
  public func batches(
    in partition: PartitionID, from position: GroupReadPosition = .checkpoint(orElse: .earliest),
    until end: ReadEnd = .never
  ) -> EventBatches {
    store.batches(of: nil, in: partition, until: end) {
      switch position {
      case .position(let position): position
      case .checkpoint(let otherwise):
        checkpoint(in: partition).map { .offset($0.next) } ?? otherwise
      }
    }
  }

  /// Where the group goes on in a partition; nil if it has committed nothing there.
  public func checkpoint(in partition: PartitionID) -> Checkpoint? {
    store.checkpoints.checkpoint(of: name, in: UInt32(partition.number))
      .map { Checkpoint(partition: partition, next: Offset($0)) }
  }

  /// Remembers how far the group is.
  ///
  /// Returns when a crash would not forget it.
  ///
  /// Never moves back: a checkpoint behind the present one changes nothing. Commits that come
  /// together share a sync.
  ///
  /// - Throws: ``EventStoreError`` with `checkpointAhead`, `unknownGroup`, `readOnly`,
  ///   `storageFull`, `outcomeUnknown`, `poisoned` or `closed`.
  public func commit(_ checkpoint: Checkpoint) async throws(EventStoreError) {
    try await move(to: [checkpoint], onlyForwards: true)
  }

  /// Moves the group in every partition, forwards or back.
  ///
  /// In a partition that ends before an offset the group goes to the end.
  ///
  /// - Throws: ``EventStoreError`` as ``commit(_:)``; an offset beyond the end of every partition
  ///   is `checkpointAhead`.
  public func reset(to position: ReadPosition) async throws(EventStoreError) {
    let source = store.source
    let checkpoints = try await source.readers.offload {
      () throws(EventStoreError) -> [Checkpoint] in
      let ends = (0..<source.partitionCount).map { source.snapshot(of: $0).highWatermark }
      var offset = Offset.zero
      if case .offset(let wanted) = position { offset = wanted }
      let isSomewhere = ends.contains { $0 >= offset.value }
      var checkpoints: [Checkpoint] = []
      for (partition, end) in ends.enumerated() {
        let number = try source.start(of: position, in: partition).number
        checkpoints.append(
          Checkpoint(
            partition: PartitionID(partition), next: Offset(isSomewhere ? min(number, end) : number)
          ))
      }
      return checkpoints
    }
    try await move(to: checkpoints, onlyForwards: false)
  }

  /// Moves the group in one partition, forwards or back.
  ///
  /// - Throws: ``EventStoreError`` as ``commit(_:)``.
  public func reset(to checkpoint: Checkpoint) async throws(EventStoreError) {
    try await move(to: [checkpoint], onlyForwards: false)
  }

  func move(
    to checkpoints: [Checkpoint], onlyForwards: Bool, owner: PartitionOwnership? = nil
  ) async throws(EventStoreError) {
    let writer = try store.writer()
    let now = store.now()
    var entries: [CheckpointEntry.GroupCheckpoint] = []
    for checkpoint in checkpoints {
      let end = try store.offsets(in: checkpoint.partition).upperBound
      guard checkpoint.next <= end else {
        throw EventStoreError(
          .checkpointAhead,
          "checkpoint \(checkpoint) lies beyond the end of the partition, \(end)")
      }
      entries.append(
        CheckpointEntry.GroupCheckpoint(
          group: name, partition: UInt32(checkpoint.partition.number),
          next: checkpoint.next.value, ownerEpoch: owner?.epoch ?? 0, time: now))
    }
    let (name, moves) = (name, entries)
    try await writer.checkpoints.commit { (table) throws(EventStoreError) in
      guard name == .standard || table.groups[name] != nil else { throw .unknown(name) }
      if let owner {
        let epoch = table.ownerEpoch(of: name, in: UInt32(owner.partition.number))
        guard epoch == owner.epoch else { throw .ownershipLost(owner) }
      }
      return moves.filter { move in
        let present = table.checkpoint(of: name, in: move.partition)
        return !onlyForwards || present.map { move.next > $0 } ?? true
      }.map { .checkpoint($0) }
    }
  }

  /// How far the group is behind in a partition.
  public func lag(in partition: PartitionID) async throws(EventStoreError) -> ConsumerLag {
    try store.check(partition)
    let source = store.source
    return try await source.readers.offload { () throws(EventStoreError) in
      try source.refresh()
      let next = checkpoint(in: partition)?.next.value
      return try ConsumerLag.measure(from: next, in: source, partition: partition.number)
    }
  }
}

/// Where a consumer group's reading begins.
public enum GroupReadPosition: Hashable, Sendable {
  /// At the group's checkpoint; somewhere else if it has none in the partition.
  case checkpoint(orElse: ReadPosition)
  /// Wherever the group is.
  case position(ReadPosition)
}

/// How far a consumer group is behind the high watermark of a partition.
public struct ConsumerLag: Hashable, Sendable {
  /// Events that were not yet committed.
  public let events: UInt64
  /// Their bytes: within a segment, in proportion to their number.
  public let size: ByteCount
  /// The time between the first of them and the newest event; zero if there are none.
  public let time: Duration
}

extension ConsumerLag {
  static func measure(
    from checkpoint: UInt64?, in source: any ReadSource, partition: Int
  ) throws(EventStoreError) -> ConsumerLag {
    let snapshot = source.snapshot(of: partition)
    // Nobody can tell how much there is.
    if let place = snapshot.unreadable { throw EventStoreError(.unreadable(place)) }
    let next = max(checkpoint ?? snapshot.startNumber, snapshot.startNumber)
    guard next < snapshot.highWatermark else {
      return ConsumerLag(events: 0, size: .zero, time: .zero)
    }
    do throws(CommitLogFailure) {
      let first = try source.cursor(in: partition, from: next).timeOfNextRecord()
      let size = snapshot.eventSize(from: next)
      let last = try source.cursor(in: partition, from: snapshot.highWatermark - 1)
        .lastTimeOfNextBatch()
      let (time, overflow) = (last?.microseconds ?? 0).subtractingReportingOverflow(
        first?.microseconds ?? last?.microseconds ?? 0)
      return ConsumerLag(
        events: snapshot.highWatermark - next, size: ByteCount(Int(clamping: size)),
        time: .microseconds(overflow ? .max : max(0, time)))
    } catch {
      throw EventStoreError(error)
    }
  }
}

extension EventStoreError {
  static func unknown(_ group: GroupName) -> EventStoreError {
    EventStoreError(.unknownGroup, "there is no consumer group '\(group)'; create it first")
  }
}
