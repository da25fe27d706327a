import Millrace
import Testing

/// How long small groups wait for more.
@Suite("Gathering of groups")
struct GroupGatheringTests {
  private static let sync: Duration = .microseconds(120)

  /// One group: some wait, of whom so many come before the patience ends; then a sync answers all.
  ///
  /// Returns how long the group waited; nil if it went at once.
  private func group(
    _ gathering: inout GroupGathering, first: Int, later: Int, sync: Duration = Self.sync
  ) -> Duration? {
    for _ in 0..<first { gathering.arrive() }
    let patience = gathering.begin()
    for _ in 0..<later { gathering.arrive() }
    if patience != nil { gathering.end() }
    gathering.noteSync(taking: sync)
    gathering.leave(first + later)
    return patience
  }

  @Test func `one who is alone never waits`() {
    var gathering = GroupGathering()
    for _ in 0..<100 { #expect(group(&gathering, first: 1, later: 0) == nil) }
  }

  @Test func `a group waits for as many as there were before, as long as a sync takes`() {
    var gathering = GroupGathering()
    #expect(group(&gathering, first: 4, later: 0) == nil)
    for _ in 0..<100 { #expect(group(&gathering, first: 1, later: 3) == Self.sync) }
    #expect(group(&gathering, first: 4, later: 0) == nil)
    #expect(group(&gathering, first: 5, later: 0) == nil)
    #expect(group(&gathering, first: 4, later: 1) == Self.sync)
  }

  @Test func `those who came during a sync count as well`() {
    var gathering = GroupGathering()
    for _ in 0..<5 { gathering.arrive() }
    gathering.noteSync(taking: Self.sync)
    // Three are answered, two go on waiting.
    gathering.leave(3)
    #expect(gathering.waitingCount == 2 && gathering.begin() == Self.sync)
    for _ in 0..<3 { gathering.arrive() }
    #expect(gathering.isComplete)
  }

  @Test func `a sync that nobody waits for goes at once`() {
    var gathering = GroupGathering()
    _ = group(&gathering, first: 4, later: 0)
    #expect(group(&gathering, first: 0, later: 0) == nil)
  }

  @Test func `nobody waits longer than the most, however slow the disk`() {
    var gathering = GroupGathering()
    _ = group(&gathering, first: 2, later: 0, sync: .seconds(1))
    #expect(group(&gathering, first: 1, later: 1) == GroupGathering.patienceMax)
  }

  @Test func `waits in vain become rare, and one that is not in vain makes them usual again`() {
    var gathering = GroupGathering()
    // Two, then one, and so on: the second never comes in time.
    var waits: [Int] = []
    for turn in 0..<1_000 {
      _ = group(&gathering, first: 2, later: 0)
      if group(&gathering, first: 1, later: 0) != nil { waits.append(turn) }
    }
    let pauses = zip(waits, waits.dropFirst()).map { $1 - $0 - 1 }
    #expect(pauses.prefix(7) == [1, 3, 7, 15, 31, 63, 63])
    #expect(pauses.allSatisfy { $0 <= GroupGathering.pauseMax })
    // Until the pause is over.
    for _ in 0...GroupGathering.pauseMax { _ = group(&gathering, first: 1, later: 1) }
    for _ in 0..<10 { #expect(group(&gathering, first: 1, later: 1) == Self.sync) }
  }
}
