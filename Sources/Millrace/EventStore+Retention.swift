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
        partition: dropped.partition, segments: dropped.segmentCount,
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
  /// Feedback and dead letters have rules of their own (``Queues/feedbackRetention``,
  /// ``Queues/deadLetterRetention``), which are applied as well where no other rule is given; the
  /// sizes of the report are those of the partitions.
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
      guard let rule else { return try writer.retain(isDryRun: isDryRun) }
      return try writer.retain(rule.plan, isDryRun: isDryRun)
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

/// Who says what of a store may go.
struct RetentionKeeper: Sendable {
  let log: CommitLog
  let checkpoints: CheckpointCommitter
  /// The rules of the streams, which hold while the store is open.
  let streams: [(stream: FileHeader.Stream, rule: RetentionPlan.Rule)]

  init(_ log: CommitLog, _ checkpoints: CheckpointCommitter, _ queues: EventStore.Queues) {
    self.log = log
    self.checkpoints = checkpoints
    streams = [
      (.feedback, queues.feedbackRetention.plan), (.deadLetter, queues.deadLetterRetention.plan),
    ]
  }

  /// Applies the rule that the store was made with, and those of the streams.
  func retain(isDryRun: Bool) throws(EventStoreError) -> RetentionOutcome {
    var outcome = try retain(RetentionPlan.Rule(log.manifest.state), isDryRun: isDryRun)
    let table = checkpoints.table
    do throws(CommitLogFailure) {
      for (stream, rule) in streams {
        let partition = UInt32(PartitionID.streamBase) + stream.rawValue
        outcome.partitions += try log.retain(
          stream, rule, consumed: table.smallest(in: partition), isDryRun: isDryRun
        ).partitions
      }
    } catch {
      throw EventStoreError(error)
    }
    return outcome
  }

  /// Applies a rule to the partitions.
  func retain(
    _ rule: RetentionPlan.Rule, isDryRun: Bool
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

extension WriterCore {
  func retain(isDryRun: Bool) throws(EventStoreError) -> RetentionReport {
    try report(try retention.retain(isDryRun: isDryRun))
  }

  func retain(
    _ rule: RetentionPlan.Rule, isDryRun: Bool
  ) throws(EventStoreError) -> RetentionReport {
    try report(try retention.retain(rule, isDryRun: isDryRun))
  }

  /// A rule that drops nothing has measured nothing: once a minute that would be for nobody.
  private func report(_ outcome: RetentionOutcome) throws(EventStoreError) -> RetentionReport {
    var outcome = outcome
    if outcome.sizeBefore == 0 {
      do throws(CommitLogFailure) {
        outcome.sizeBefore = try log.allocatedSize()
      } catch {
        throw EventStoreError(error)
      }
      outcome.sizeAfter = outcome.sizeBefore
    }
    return RetentionReport(outcome)
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
