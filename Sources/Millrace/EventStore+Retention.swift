internal import CommitLog
internal import ConsumerCheckpoints
public import EventModel
internal import LogFormat

/// What retention dropped, or would drop.
public struct RetentionReport: Hashable, Sendable {
  /// What goes from one partition.
  public struct Partition: Hashable, Sendable {
    /// The partition.
    public let partition: PartitionID
    /// Segments that go.
    public let segments: Int
    /// Events that go with them.
    public let events: UInt64
    /// The first event that stays.
    public let earliest: Offset
  }

  /// The partitions that lose anything.
  public let partitions: [Partition]
  /// What all segments took on the disk before.
  public let sizeBefore: ByteCount
  /// What they take then.
  public let sizeAfter: ByteCount

  init(_ outcome: RetentionOutcome) {
    partitions = outcome.partitions.map { dropped in
      Partition(
        partition: PartitionID(Int(dropped.partition)), segments: dropped.segmentCount,
        events: dropped.eventCount, earliest: Offset(dropped.firstNumber))
    }
    sizeBefore = ByteCount(outcome.sizeBefore)
    sizeAfter = ByteCount(outcome.sizeAfter)
  }
}

extension EventStore {
  /// Drops what the store's retention, or another rule, lets go: whole sealed segments, the oldest
  /// first, never the active one.
  ///
  /// The store does so by itself once a minute and after every roll. Readers in the middle of a
  /// segment that goes finish it; one that comes too late meets a `Gap` that counts what it missed.
  ///
  /// - Parameters:
  ///   - rule: the rule; the store's own unless given.
  ///   - isDryRun: whether only to say what would go.
  /// - Returns: what went.
  /// - Throws: ``EventStoreError`` with `readOnly`, `poisoned`, `ioFailure` or `closed`.
  @discardableResult
  public func retain(
    _ rule: Retention? = nil, isDryRun: Bool = false
  ) async throws(EventStoreError) -> RetentionReport {
    let writer = try writer()
    return try await writer.workers.offload { () throws(EventStoreError) in
      try writer.retain(rule?.plan ?? writer.retention, isDryRun: isDryRun)
    }
  }
}

extension EventStore.Retention {
  var plan: RetentionPlan.Rule {
    RetentionPlan.Rule(
      age: age, size: size?.bytes, keepsUntilConsumed: keepUntilConsumed,
      unreadSizeMax: unreadSizeMax?.bytes)
  }
}

extension WriterCore {
  /// The rule that the store was made with.
  var retention: RetentionPlan.Rule { RetentionPlan.Rule(log.manifest.state) }

  func retain(
    _ rule: RetentionPlan.Rule, isDryRun: Bool
  ) throws(EventStoreError) -> RetentionReport {
    RetentionReport(try Self.retain(log, checkpoints, rule, isDryRun: isDryRun))
  }

  static func retain(
    _ log: CommitLog, _ checkpoints: CheckpointCommitter, _ rule: RetentionPlan.Rule,
    isDryRun: Bool
  ) throws(EventStoreError) -> RetentionOutcome {
    let table = checkpoints.table
    do throws(CommitLogFailure) {
      return try log.retain(
        rule, consumed: log.partitions.map { table.smallest(in: $0.id.partition) },
        isDryRun: isDryRun)
    } catch {
      throw EventStoreError(error)
    }
  }
}

extension RetentionPlan.Rule {
  init(_ state: ManifestState) {
    let stored = state.configuration
    let age = stored.flatMap { $0.retentionAge == 0 ? nil : Int64(clamping: $0.retentionAge) }
    let size = stored.flatMap { $0.retentionSize == 0 ? nil : Int(clamping: $0.retentionSize) }
    let reading = state.readingFirst
    self.init(
      age: age.map { .microseconds($0) }, size: size, keepsUntilConsumed: reading?.isOn ?? false,
      unreadSizeMax: reading.flatMap { $0.sizeMax == 0 ? nil : Int(clamping: $0.sizeMax) })
  }
}
