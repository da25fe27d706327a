internal import Synchronization

/// What an append waits for.
enum WaitGoal: Sendable {
  case written(UInt64)
  case durable(UInt64)
  /// Room for more events in memory.
  case room
}

extension WaitGoal {
  func isReached(in commit: GroupCommit, hasRoom: Bool) -> Bool {
    switch self {
    case .written(let number): commit.written >= number
    case .durable(let number): commit.durable >= number
    case .room: hasRoom
    }
  }

  /// Whether it is all that was taken in before an event of this number.
  func isEnd(_ number: UInt64) -> Bool {
    switch self {
    case .written(let goal), .durable(let goal): goal == number
    case .room: false
    }
  }
}

/// Who is told how a wait ended: nil for well.
protocol Waiting: AnyObject, Sendable {
  func arrive(_ failure: EventStoreError?)
}

/// Somebody who waits: a task that is suspended, a thread of the caller that is blocked, or nobody,
/// for a goal that is asked for without waiting.
struct Waiter: Sendable {
  let goal: WaitGoal
  private let receiver: (any Waiting)?

  init(goal: WaitGoal, _ receiver: (any Waiting)?) {
    self.goal = goal
    self.receiver = receiver
  }

  /// Whether somebody waits who may come back with more once a sync has answered.
  var isGathered: Bool {
    if case .durable = goal { receiver != nil } else { false }
  }

  func answer(_ failure: EventStoreError?) { receiver?.arrive(failure) }
}

/// Blocks a thread of the caller's until one answer has come; may be used again then.
final class BlockingWait: Waiting {
  private let failure = Mutex<EventStoreError?>(nil)
  private let answered = Signal()

  func arrive(_ failure: EventStoreError?) {
    if let failure { self.failure.withLock { $0 = failure } }
    answered.send()
  }

  func wait() throws(EventStoreError) {
    answered.wait()
    if let failure = failure.withLock({ $0.take() }) { throw failure }
  }
}

/// A task that waits for one answer.
final class SoleWait: Waiting {
  private let suspension: Suspension<EventStoreError?>

  private init(_ suspension: Suspension<EventStoreError?>) { self.suspension = suspension }

  func arrive(_ failure: EventStoreError?) { suspension.resume(failure) }

  /// Suspends until whoever `body` gives the wait to has answered, once.
  static func wait(_ body: (SoleWait) -> Void) async throws(EventStoreError) {
    let failure = await Suspension.suspend { body(SoleWait($0)) }
    if let failure { throw failure }
  }
}

/// Waits for several partitions at once and fails with the first failure, once all have answered.
final class JoinedWait: Waiting {
  private struct State {
    var remaining: Int
    var failure: EventStoreError?
    var suspension: Suspension<EventStoreError?>?
  }

  private let state: Mutex<State>

  init(count: Int) { state = Mutex(State(remaining: count)) }

  func arrive(_ failure: EventStoreError?) {
    let ready = state.withLock {
      state -> (Suspension<EventStoreError?>, EventStoreError?)? in
      state.remaining -= 1
      state.failure = state.failure ?? failure
      guard state.remaining == 0, let suspension = state.suspension.take() else {
        return nil
      }
      return (suspension, state.failure)
    }
    if let (suspension, failure) = ready { suspension.resume(failure) }
  }

  /// Suspends until everybody has arrived.
  func wait() async throws(EventStoreError) {
    let failure = await Suspension.suspend { suspension in
      let isDone = state.withLock { state in
        if state.remaining == 0 { return true }
        state.suspension = suspension
        return false
      }
      if isDone { suspension.resume(state.withLock { $0.failure }) }
    }
    if let failure { throw failure }
  }
}
