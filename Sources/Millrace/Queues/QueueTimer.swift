internal import DeviceQueueing
internal import EventModel
internal import Synchronization

/// A thread that turns the queues on when something is due, and sleeps until then.
final class QueueTimer: Sendable {
  private struct State {
    /// When to wake, whatever else happens before; nil for nothing due.
    var deadline: ContinuousClock.Instant?
    /// Whether the deadline is new.
    var isFresh = false
    /// No turn before it: the last one could not do what was due, and would be due at once again.
    var rest: ContinuousClock.Instant?
    var isStopped = false
    var thread: EngineThread?
  }

  /// Nobody is relied on to say that a clock was set.
  private static let patienceMax: Duration = .seconds(30)
  /// Between turns where something that is due cannot be done.
  private static let restTime: Duration = .seconds(1)

  private let state = Gate(State())
  /// When the thread wakes, by the steady clock: most that is due comes later and need not tell it.
  private let wakeTime = Atomic<Int64>(.max)

  /// Begins; a turn returns whether all that was due could be done.
  func start(_ turn: @escaping @Sendable () -> Bool) {
    let state = state
    let thread = EngineThread { [weak self] in
      while Self.wait(state) {
        // Whoever looks from here on sets a new time.
        self?.wakeTime.store(.max, ordering: .sequentiallyConsistent)
        let isDone = turn()
        state.update { $0.rest = isDone ? nil : ContinuousClock.now + Self.restTime }
      }
    }
    state.update { $0.thread = thread }
  }

  /// Something is due at a time.
  func look(at due: QueueTime, now: QueueTime) {
    let wall = due.wall.microseconds.subtractingReportingOverflow(now.wall.microseconds)
    let steady = due.steady.subtractingReportingOverflow(now.steady)
    let least = min(
      wall.overflow ? .max : wall.partialValue, steady.overflow ? .max : steady.partialValue)
    let patience = max(0, min(least, 1 << 40))
    let time = now.steady + patience
    var known = wakeTime.load(ordering: .sequentiallyConsistent)
    while time < known {
      let (isExchanged, original) = wakeTime.compareExchange(
        expected: known, desired: time, ordering: .sequentiallyConsistent)
      guard !isExchanged else {
        let deadline = ContinuousClock.now.advanced(by: .microseconds(patience))
        state.update { state in
          // Of two that look at once the one that comes last may have the later time.
          state.deadline = min(state.deadline ?? deadline, deadline)
          state.isFresh = true
        }
        return
      }
      known = original
    }
  }

  /// The clock was set: looks at what is due now.
  ///
  /// - Returns: false once the thread has been stopped.
  func wake() -> Bool {
    state.update { state in
      state.deadline = .now
      state.isFresh = true
      return !state.isStopped
    }
  }

  /// Returns when it is time, or false at the end.
  private static func wait(_ state: Gate<State>) -> Bool {
    while true {
      let now = ContinuousClock.now
      let deadline = state.wait { (state, _) -> ContinuousClock.Instant? in
        state.isFresh = false
        let deadline = min(state.deadline ?? now + patienceMax, now + patienceMax)
        return state.rest.map { max(deadline, $0) } ?? deadline
      }
      let isDue = state.wait(patience: max(.zero, deadline - now)) {
        (state, isTimedOut) -> Bool?? in
        if state.isStopped { return .some(nil) }
        if state.isFresh { return .some(false) }
        guard isTimedOut else { return nil }
        // The turn looks at all that is due after it.
        state.deadline = nil
        return .some(true)
      }
      guard let isDue else { return false }
      if isDue { return true }
    }
  }

  func stop() {
    let thread = state.update { state -> EngineThread? in
      state.isStopped = true
      return state.thread.take()
    }
    thread?.join()
  }
}
