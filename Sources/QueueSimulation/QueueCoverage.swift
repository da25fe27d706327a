internal import Millrace

/// What runs against a model came to: a run that never meets something does not test it.
package struct QueueCoverage: Hashable, Sendable, CustomStringConvertible {
  /// Something that a run should meet now and then.
  package enum Event: String, Hashable, Sendable, CaseIterable {
    case enqueued, delivered, delayed, hidden
    case completed, completedTogether, abandoned, rejected, renewed, purged, removed, resent
    case locksRunOut, expired, expiredInReceive, deliveredTooOften
    case queuesFull, oversized, invalidExpiries, locksLost
    case clockSetBack, clockSetForwards, outcomesCompared
    case closes, kills, powerLosses, deathsWithin, deathsInRecovery, rolls, journalReleased, filed
    case changesLost, foundInDoubt, undecided, timeProbed
  }

  package internal(set) var operationCount = 0
  /// Fingerprints of the disks that were found after a crash.
  package internal(set) var crashStates: Set<UInt64> = []
  private var counts: [Event: Int] = [:]

  package init() {}

  mutating func note(_ event: Event, _ count: Int = 1) {
    if count > 0 { counts[event, default: 0] += count }
  }

  mutating func note(_ refusal: EventStoreError.Code?) {
    switch refusal {
    case .some(.queueFull): note(.queuesFull)
    case .some(.limitExceeded): note(.oversized)
    case .some(.invalidArgument): note(.invalidExpiries)
    default: break
    }
  }

  mutating func note(_ verb: QueueOperation.Verb) {
    switch verb {
    case .complete: note(.completed)
    case .abandon: note(.abandoned)
    case .reject: note(.rejected)
    }
  }

  package mutating func add(_ other: Self) {
    operationCount += other.operationCount
    crashStates.formUnion(other.crashStates)
    counts.merge(other.counts, uniquingKeysWith: +)
  }

  /// What never happened.
  package var missing: [Event] { Event.allCases.filter { counts[$0] == nil } }

  package var description: String {
    let events = Event.allCases.map { "\($0) \(counts[$0] ?? 0)" }
    return "\(operationCount) operations, \(crashStates.count) distinct crash states; "
      + events.joined(separator: ", ")
  }
}
