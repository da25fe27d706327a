/// Whether concurrent calls of one device's queue fit one order in which each took effect at an
/// instant between its beginning and its end.
///
/// Wing and Gong's search ("Testing and verifying concurrent objects", 1993) with Lowe's memory of
/// what led nowhere ("Testing for linearizability", 2017). Queues are independent of one another,
/// so a history holds where each device's part holds (Horn and Kroening, "Faster linearizability
/// checking via P-compositionality", 2015).
package struct LinearizabilityCheck {
  package enum Verdict: Hashable, Sendable {
    case fits
    case contradicts
    /// The search became longer than it may.
    case undecided
  }

  /// What was tried: which calls have taken effect, and the state after them.
  private struct Configuration: Hashable {
    let done: [UInt64]
    let state: QueueSpecification
  }

  /// Calls that a search may try.
  package static let stepCountMax = 5_000_000

  private let calls: [QueueCall]
  /// Beginnings and ends in their order: of call n the places 2n and 2n + 1; then the head.
  private var next: [Int]
  private var previous: [Int]
  private var head: Int { 2 * calls.count }
  private var state: QueueSpecification
  private var done: [UInt64]
  private var known: Set<Configuration> = []
  private var stack: [(call: Int, state: QueueSpecification)] = []
  /// Calls that were tried.
  package private(set) var stepCount = 0

  /// Prepares the calls of one device.
  package init(_ calls: [QueueCall], of specification: QueueSpecification) {
    self.calls = calls
    state = specification
    done = Array(repeating: 0, count: calls.count / 64 + 1)
    // Calls that end together have ends at one time, all behind every beginning at that time.
    let order = (0..<2 * calls.count).sorted { left, right in
      let (a, b) = (Self.time(left, calls), Self.time(right, calls))
      return a == b ? (left & 1, left) < (right & 1, right) : a < b
    }
    next = Array(repeating: 2 * calls.count, count: 2 * calls.count + 1)
    previous = next
    var last = 2 * calls.count
    for place in order {
      next[last] = place
      previous[place] = last
      last = place
    }
    next[last] = 2 * calls.count
    previous[2 * calls.count] = last
  }

  private static func time(_ place: Int, _ calls: [QueueCall]) -> Int {
    place & 1 == 0 ? calls[place >> 1].begin : calls[place >> 1].end
  }

  /// Searches for an order.
  package mutating func run() -> Verdict {
    var place = next[head]
    while next[head] != head {
      // Behind the last event there is always the end of a call that has not taken effect.
      if place & 1 == 0 {
        stepCount += 1
        guard stepCount <= Self.stepCountMax else { return .undecided }
        place = attempt(place >> 1) ? next[head] : next[place]
      } else {
        guard let (call, before) = stack.popLast() else { return .contradicts }
        state = before
        done[call >> 6] &= ~(1 << UInt64(call & 63))
        insert(2 * call + 1)
        insert(2 * call)
        place = next[2 * call]
      }
    }
    return .fits
  }

  /// Has a call take effect next, unless that is impossible or known to lead nowhere.
  private mutating func attempt(_ call: Int) -> Bool {
    var after = state
    guard after.take(calls[call].operation) else { return false }
    done[call >> 6] |= 1 << UInt64(call & 63)
    guard known.insert(Configuration(done: done, state: after)).inserted else {
      done[call >> 6] &= ~(1 << UInt64(call & 63))
      return false
    }
    stack.append((call, state))
    state = after
    remove(2 * call)
    remove(2 * call + 1)
    return true
  }

  private mutating func remove(_ place: Int) {
    next[previous[place]] = next[place]
    previous[next[place]] = previous[place]
  }

  /// Puts back what was removed last.
  private mutating func insert(_ place: Int) {
    next[previous[place]] = place
    previous[next[place]] = place
  }
}
