package import EventModel
package import LogFormat
internal import StorageIO
internal import Synchronization

/// What retention has dropped, or would drop.
package struct RetentionOutcome: Hashable, Sendable {
  /// For each partition the events and segments that go, and the first number kept.
  package struct Partition: Hashable, Sendable {
    package var partition: PartitionID
    package var segmentCount: Int
    package var eventCount: UInt64
    package var firstNumber: UInt64
  }

  package var partitions: [Partition] = []
  package var sizeBefore = 0
  package var sizeAfter = 0

  package var segmentCount: Int { partitions.reduce(0) { $0 + $1.segmentCount } }
}

extension CommitLog {
  /// Forgets the segments that a rule lets go: durably in the manifest first, then their files.
  ///
  /// Readers in the middle of one finish it.
  ///
  /// - Parameters:
  ///   - rule: what may go.
  ///   - consumed: for each partition the smallest number that a consumer group has yet to read.
  ///   - isDryRun: whether only to say what would go.
  /// - Returns: what went.
  /// - Throws: ``CommitLogFailure``; what the manifest forgot before is gone.
  package func retain(
    _ rule: RetentionPlan.Rule, consumed: [UInt64?], isDryRun: Bool = false
  ) throws(CommitLogFailure) -> RetentionOutcome {
    try maintaining.withLock { (_) throws(CommitLogFailure) in
      try retainAlone(partitions, rule, consumed: consumed, isDryRun: isDryRun)
    }
  }

  /// What the partitions take on the disk now, as retention counts it.
  package func allocatedSize() throws(CommitLogFailure) -> Int {
    try maintaining.withLock { (_) throws(CommitLogFailure) in
      var size = 0
      for partition in partitions {
        let candidates = try partition.retentionCandidates(consumed: nil)
        size += candidates.sealed.reduce(candidates.activeSize) { $0 + $1.size }
      }
      return size
    }
  }

  /// Does the same for a stream, which has a rule and a size of its own.
  ///
  /// At least its last record stays: whoever feeds the stream goes on behind it.
  ///
  /// - Parameters:
  ///   - stream: which.
  ///   - rule: what may go.
  ///   - consumed: the smallest number that a consumer group has yet to read.
  ///   - isDryRun: whether only to say what would go.
  /// - Returns: what went.
  /// - Throws: ``CommitLogFailure`` as ``retain(_:consumed:isDryRun:)``.
  package func retain(
    _ stream: FileHeader.Stream, _ rule: RetentionPlan.Rule, consumed: UInt64?,
    isDryRun: Bool = false
  ) throws(CommitLogFailure) -> RetentionOutcome {
    guard let log = existingLog(stream) else { return RetentionOutcome() }
    return try maintaining.withLock { (_) throws(CommitLogFailure) in
      try retainAlone([log], rule, consumed: [consumed], isDryRun: isDryRun)
    }
  }

  /// Forgets a log's sealed segments that hold no record from a number on, never the active one.
  ///
  /// Durably in the manifest first, then for readers, then the files. Readers in the middle of one
  /// finish it.
  ///
  /// - Returns: how many went.
  package func retire(
    _ log: PartitionLog, below number: UInt64
  ) throws(CommitLogFailure) -> Int {
    try maintaining.withLock { (_) throws(CommitLogFailure) in
      guard log.isListed else { return 0 }
      let dropped = log.snapshot.segments.prefix { segment in
        segment.summary.map { $0.nextNumber <= number } ?? false
      }
      guard !dropped.isEmpty else { return 0 }
      try log.retire(Array(dropped), mappings: mappings)
      return dropped.count
    }
  }

  private func retainAlone(
    _ partitions: [PartitionLog], _ rule: RetentionPlan.Rule, consumed: [UInt64?], isDryRun: Bool
  ) throws(CommitLogFailure) -> RetentionOutcome {
    guard rule.mayDropAnything else { return RetentionOutcome() }
    var candidates: [RetentionPlan.Partition] = []
    for (partition, floor) in zip(partitions, consumed) {
      candidates.append(try partition.retentionCandidates(consumed: floor))
    }
    let plan = RetentionPlan(candidates, rule: rule, now: context.environment.now())
    var outcome = RetentionOutcome()
    outcome.sizeBefore = plan.sizeBefore
    outcome.sizeAfter = plan.sizeAfter
    for (partition, count) in zip(partitions, plan.counts) where count > 0 {
      let dropped = partition.snapshot.segments.prefix(count)
      guard let first = dropped.first, let last = dropped.last?.summary else { continue }
      outcome.partitions.append(
        RetentionOutcome.Partition(
          partition: partition.id.partitionID, segmentCount: count,
          eventCount: last.nextNumber - first.baseNumber, firstNumber: last.nextNumber))
      if !isDryRun { try partition.retire(Array(dropped), mappings: mappings) }
    }
    return outcome
  }
}

extension PartitionLog {
  fileprivate func retentionCandidates(
    consumed: UInt64?
  ) throws(CommitLogFailure) -> RetentionPlan.Partition {
    let snapshot = snapshot
    var sealed: [RetentionPlan.Candidate] = []
    var activeSize = 0
    for segment in snapshot.segments {
      let size = try size(of: segment)
      guard let summary = segment.summary, isListed else {
        activeSize += size
        continue
      }
      sealed.append(
        RetentionPlan.Candidate(
          segmentID: segment.added.segmentID, nextNumber: summary.nextNumber,
          lastTime: summary.lastTime, size: size))
    }
    // A crash behind a roll leaves an active segment without a record.
    if id.stream != .events, snapshot.segments.last?.baseNumber == snapshot.highWatermark,
      let last = sealed.popLast()
    {
      activeSize += last.size
    }
    return RetentionPlan.Partition(sealed: sealed, activeSize: activeSize, consumed: consumed)
  }

  /// Bytes that a segment's files take on the disk.
  private func size(of segment: SegmentHandle) throws(CommitLogFailure) -> Int {
    do throws(IOFailure) {
      if let file = segment.activeFile { return try file.allocatedSize().bytes }
      var size = 0
      for path in [segment.path, segment.footerPath, segment.indexPath]
      where try context.fileSystem.kind(of: path) == .file {
        size += try context.fileSystem.open(path, .readOnly).allocatedSize().bytes
      }
      return size
    } catch {
      // What the disk does not tell counts for nothing: less goes, and the other logs are as ever.
      guard error.isUnreadable else { throw CommitLogFailure(error) }
      return 0
    }
  }

  /// Forgets this partition's oldest segments: manifest first, then readers, then the files.
  fileprivate func retire(
    _ segments: [SegmentHandle], mappings: MappingCache
  ) throws(CommitLogFailure) {
    let ids = segments.map(\.added.segmentID)
    try manifest.retire(ids)
    shared.withLock { shared in
      shared.sealed.removeAll { ids.contains($0.added.segmentID) }
      shared.publish(highWatermark)
    }
    for segment in segments {
      mappings.forget(segment)
      removeFiles(of: segment)
    }
  }
}
