internal import Synchronization

/// What an append waits for.
enum WaitGoal: Sendable {
  case written(UInt64)
  case durable(UInt64)
  /// Room for more events in memory.
  case room
}

/// Somebody who waits: a task that is suspended or a thread of the caller that is blocked.
struct Waiter: Sendable {
  let goal: WaitGoal
  let resume: @Sendable (EventStoreError?) -> Void
}

/// Waits for several partitions at once and fails with the first failure, once all have answered.
final class JoinedWait: Sendable {
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
