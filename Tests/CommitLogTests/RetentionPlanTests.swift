import CommitLog
import EventModel
import Testing

/// Which segments go: a rule over ages, sizes and what was read.
@Suite("The retention plan")
struct RetentionPlanTests {
  private static let hour: Int64 = 3_600_000_000

  /// A partition of segments of ten events and ten bytes, one an hour, the last ending at `end`.
  private func partition(
    _ count: Int, endingAt end: Int64, active: Int = 10, consumed: UInt64? = nil
  ) -> RetentionPlan.Partition {
    RetentionPlan.Partition(
      sealed: (0..<count).map { index in
        RetentionPlan.Candidate(
          segmentID: UInt64(index), nextNumber: UInt64(index + 1) * 10,
          lastTime: Timestamp(microseconds: (end - Int64(count - 1 - index)) * Self.hour),
          size: 10)
      }, activeSize: active, consumed: consumed)
  }

  private func counts(
    _ partitions: [RetentionPlan.Partition], _ rule: RetentionPlan.Rule, now: Int64
  ) -> [Int] {
    RetentionPlan(partitions, rule: rule, now: Timestamp(microseconds: now * Self.hour)).counts
  }

  @Test("Age lets go what ended before, of every partition by itself")
  func age() {
    let partitions = [partition(5, endingAt: 10), partition(3, endingAt: 4)]
    let rule = RetentionPlan.Rule(age: .seconds(3 * 3_600))
    #expect(counts(partitions, rule, now: 10) == [1, 3])
    #expect(counts(partitions, rule, now: 4) == [0, 0])
    #expect(counts(partitions, rule, now: 100) == [5, 3], "never the active ones")
  }

  @Test("Size lets go the oldest of all partitions until the rest fits")
  func size() {
    let partitions = [partition(5, endingAt: 10), partition(5, endingAt: 8)]
    for (size, expected) in [
      (1_000, [0, 0]), (120, [0, 0]), (119, [0, 1]), (100, [0, 2]), (90, [1, 2]), (20, [5, 5]),
      (0, [5, 5]),
    ] {
      let plan = RetentionPlan(
        partitions, rule: .init(size: size), now: Timestamp(microseconds: 0))
      #expect(plan.counts == expected, "size \(size)")
      #expect(plan.sizeBefore == 120)
      #expect(plan.sizeAfter == 120 - 10 * expected.reduce(0, +))
    }
  }

  @Test("What a group has not read stays, up to a bound")
  func unread() {
    let partitions = [
      partition(5, endingAt: 10, consumed: 25), partition(5, endingAt: 10, consumed: 50),
      partition(5, endingAt: 10),
    ]
    var rule = RetentionPlan.Rule(age: .seconds(1), keepsUntilConsumed: true)
    #expect(counts(partitions, rule, now: 50) == [2, 5, 5])
    rule.unreadSizeMax = 100
    #expect(counts(partitions, rule, now: 50) == [2, 5, 5])
    rule.unreadSizeMax = 45
    #expect(counts(partitions, rule, now: 50) == [4, 5, 5])
    rule.keepsUntilConsumed = false
    #expect(counts(partitions, rule, now: 50) == [5, 5, 5])
  }

  @Test("Without a rule nothing goes")
  func nothing() {
    #expect(counts([partition(9, endingAt: 1)], .keepEverything, now: 1_000) == [0])
    #expect(counts([], .init(size: 0), now: 1) == [])
  }
}
