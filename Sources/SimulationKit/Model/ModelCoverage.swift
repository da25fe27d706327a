/// What runs against a model came to: a run that never meets something does not test it.
package struct ModelCoverage: Hashable, Sendable, CustomStringConvertible {
  /// Something that a run should meet now and then.
  package enum Event: String, Hashable, Sendable, CaseIterable {
    case eventsRead, retiredNotices, finishedRetired, rolls, merges, footers, retired
    case readers, followers, copies, copiesOfFollowers, copiesRetried, consumers
    case closes, kills, powerLosses, deathsWithin, deathsInRecovery, eventsLost
    case retirementsInFlight, commitsInFlight, clockStepsBack
  }

  package internal(set) var operationCount = 0
  private var counts: [Event: Int] = [:]

  package init() {}

  mutating func note(_ event: Event, _ count: Int = 1) {
    if count > 0 { counts[event, default: 0] += count }
  }

  package mutating func add(_ other: Self) {
    operationCount += other.operationCount
    counts.merge(other.counts, uniquingKeysWith: +)
  }

  /// What never happened.
  package var missing: [Event] { Event.allCases.filter { counts[$0] == nil } }

  package var description: String {
    let events = Event.allCases.map { "\($0) \(counts[$0] ?? 0)" }
    return "\(operationCount) operations; " + events.joined(separator: ", ")
  }
}
