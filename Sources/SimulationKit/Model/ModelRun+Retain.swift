internal import CommitLog
internal import ConsumerCheckpoints
internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

extension ModelRun {
  /// A sealed segment as retention should see it: its events are the model's, its size the disk's.
  private struct Sealed {
    let partition: Int
    let next: Int
    let lastTime: Int64
    let size: Int
  }

  func retain(_ choice: ModelOperation.Retention, isDryRun: Bool) throws {
    let partitions = try model.partitions.indices.map { try sealed(in: $0) }
    let sizeBefore = partitions.reduce(0) { sum, partition in
      sum + partition.activeSize + partition.sealed.reduce(0) { $0 + $1.size }
    }
    let now = clock.now.microseconds
    let oldest = model.partitions.compactMap { $0.first < $0.end ? $0.events[$0.first].time : nil }
    let span = now - (oldest.min() ?? now)
    let age = choice.age.map { max(0, span / 1_000 * Int64($0)) }
    let rule = RetentionPlan.Rule(
      age: age.map { .microseconds($0) }, size: choice.size.map { sizeBefore / 100 * $0 },
      keepsUntilConsumed: choice.keepsUntilConsumed,
      unreadSizeMax: choice.unreadSizeMax.map { sizeBefore / 100 * $0 })
    let kept = kept(by: rule, partitions.map(\.sealed), sizeBefore, age: age)
    let consumed = try model.partitions.indices.map { partition in
      try store.checkpoints.table.smallest(in: UInt32(partition))
    }
    for (partition, number) in consumed.enumerated() {
      let expected = model.consumers.smallestCheckpoint(in: UInt32(partition))
      try check(
        number == expected, "p\(partition) is read up to \(String(describing: number))")
    }
    if !isDryRun {
      for (partition, first) in kept.firsts.enumerated() {
        model.partitions[partition].firstInFlight = first
      }
    }
    let outcome = try store.log.retain(rule, consumed: consumed, isDryRun: isDryRun)
    try check(outcome, rule, kept, sizeBefore)
    guard !isDryRun else { return }
    for (partition, first) in kept.firsts.enumerated() {
      coverage.note(.retired, first - model.partitions[partition].first)
      model.partitions[partition].first = first
      model.partitions[partition].firstInFlight = nil
      let start = try log(partition).snapshot.startNumber
      try check(start == UInt64(first), "p\(partition) begins at \(start), not \(first)")
    }
    try checkFiles()
  }

  private func sealed(in partition: Int) throws -> (sealed: [Sealed], activeSize: Int) {
    let log = try log(partition)
    let segments = log.snapshot.segments
    let folder = try store.log.context.directory(of: log.id)
    let events = model.partitions[partition].events
    var sealed: [Sealed] = []
    for (segment, next) in zip(segments, segments.dropFirst()) {
      let stem = try store.log.context.stem(segment.added)
      var size = 0
      for suffix in [FileNames.segmentSuffix, FileNames.footerSuffix, FileNames.indexSuffix] {
        size += try self.size(of: folder.appending(stem + suffix))
      }
      let end = Int(next.baseNumber)
      try check(end > Int(segment.baseNumber), "\(segment.path) holds nothing")
      sealed.append(
        Sealed(partition: partition, next: end, lastTime: events[end - 1].time, size: size))
    }
    return (sealed, try segments.last.map { try size(of: $0.path) } ?? 0)
  }

  private func size(of path: FilePath) throws -> Int {
    guard try fileSystem.kind(of: path) == .file else { return 0 }
    return try fileSystem.open(path, .readOnly).allocatedSize().bytes
  }

  private typealias Kept = (firsts: [Int], size: Int)

  /// Where each partition begins when the rule has been followed, one segment after the other.
  private func kept(
    by rule: RetentionPlan.Rule, _ partitions: [[Sealed]], _ sizeBefore: Int, age: Int64?
  ) -> Kept {
    var rest = partitions
    var kept: Kept = (model.partitions.map(\.first), sizeBefore)
    func drop(sparesUnread: Bool, _ mayGo: (Sealed) -> Bool) {
      while true {
        let oldest = rest.compactMap(\.first).filter { segment in
          let consumed = model.consumers.smallestCheckpoint(in: UInt32(segment.partition))
          let isRead = consumed.map { $0 >= UInt64(segment.next) } ?? true
          return isRead || !sparesUnread
        }
        .min { $0.lastTime < $1.lastTime }
        guard let oldest, mayGo(oldest) else { return }
        rest[oldest.partition].removeFirst()
        kept.firsts[oldest.partition] = oldest.next
        kept.size -= oldest.size
      }
    }
    if let age {
      let limit = clock.now.microseconds - age
      drop(sparesUnread: rule.keepsUntilConsumed) { $0.lastTime < limit }
    }
    if let size = rule.size {
      drop(sparesUnread: rule.keepsUntilConsumed) { _ in kept.size > size }
    }
    if rule.keepsUntilConsumed, let size = rule.unreadSizeMax {
      drop(sparesUnread: false) { _ in kept.size > size }
    }
    return kept
  }

  private func check(
    _ outcome: RetentionOutcome, _ rule: RetentionPlan.Rule, _ kept: Kept, _ sizeBefore: Int
  ) throws {
    guard rule.mayDropAnything else {
      return try check(outcome.partitions.isEmpty, "a rule without a limit: \(outcome)")
    }
    var expected: [Int: (count: Int, first: Int)] = [:]
    for (partition, owed) in model.partitions.enumerated()
    where kept.firsts[partition] > owed.first {
      expected[partition] = (kept.firsts[partition] - owed.first, kept.firsts[partition])
    }
    let found = outcome.partitions.allSatisfy { dropped in
      guard let expected = expected[dropped.partition.number] else { return false }
      return dropped.eventCount == UInt64(expected.count)
        && dropped.firstNumber == UInt64(expected.first)
    }
    try check(
      found && outcome.partitions.count == expected.count && outcome.sizeBefore == sizeBefore
        && outcome.sizeAfter == kept.size,
      "\(rule) does \(outcome), not \(expected) from \(sizeBefore) to \(kept.size) bytes")
  }
}
