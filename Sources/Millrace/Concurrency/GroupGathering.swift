/// How long a small group waits for more to join it before it goes to the disk: a pure state
/// machine.
///
/// Who waits for each event to be durable comes back with the next one as soon as a sync has
/// answered. Where the next sync begins before that, two groups come to take turns, and everybody
/// waits for two syncs. So a group waits for as many as waited when the last sync ended, not longer
/// than a sync takes, and less and less often where they do not come in time. One who is alone
/// never waits. `commit_delay` and `commit_siblings` of PostgreSQL do it with numbers that somebody
/// has to set.
package struct GroupGathering: Hashable, Sendable {
  /// A group waits as long as a sync takes, and this at most: the wait keeps a core busy.
  package static let patienceMax: Duration = .microseconds(200)
  /// Groups that go at once when waiting was in vain, at most.
  package static let pauseMax = 63

  /// Those who wait for a sync.
  package private(set) var waitingCount = 0
  /// Those who waited when the last sync ended.
  private var expectedCount = 0
  private var patience: Duration = .zero
  /// Groups that still go at once, and how many did the last time.
  private var pauseCount = 0
  private var lastPause = 0

  package init() {}

  /// Somebody waits for a sync.
  package mutating func arrive() { waitingCount += 1 }

  /// So many of those are answered.
  package mutating func leave(_ count: Int) {
    precondition(count <= waitingCount, "\(count) of \(waitingCount) who wait are answered")
    waitingCount -= count
  }

  /// A sync ends, before anybody is answered.
  package mutating func noteSync(taking duration: Duration) {
    expectedCount = waitingCount
    patience = min(duration, Self.patienceMax)
  }

  /// How long the group that is about to be written waits; nil if it goes at once.
  package mutating func begin() -> Duration? {
    guard waitingCount > 0, !isComplete else { return nil }
    guard pauseCount == 0 else {
      pauseCount -= 1
      return nil
    }
    return patience
  }

  /// Whether as many wait as did before.
  package var isComplete: Bool { waitingCount >= expectedCount }

  /// The wait has ended.
  package mutating func end() {
    lastPause = isComplete ? 0 : min(Self.pauseMax, 2 * lastPause + 1)
    pauseCount = lastPause
  }
}
