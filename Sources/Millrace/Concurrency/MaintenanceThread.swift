internal import CommitLog

/// Does what nobody waits for, on a thread of its own: it drops what retention lets go, merges the
/// small batches of sealed segments and makes their footers.
///
/// Woken by a roll; looks again once a minute for what could not be done, or was lost, before.
final class MaintenanceThread: Sendable {
  static let interval: Duration = .seconds(60)

  private struct State {
    var isDue = true
    var isStopped = false
  }

  private let state = Gate(State())
  private let thread: EngineThread

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - log: what is looked after.
  ///   - metrics: where failures are told.
  ///   - retain: drops what may go now.
  init(
    _ log: CommitLog, metrics: StoreMetrics,
    retain: @escaping @Sendable () throws(EventStoreError) -> Void
  ) {
    let state = state
    thread = EngineThread {
      Self.attempt(metrics) { () throws(EventStoreError) in
        try Self.wrapping { () throws(CommitLogFailure) in try log.findMaintenance() }
      }
      while let isTimedOut = Self.waitForWork(state) {
        if isTimedOut { log.retryMaintenance() }
        Self.attempt(metrics) { () throws(EventStoreError) in try retain() }
        Self.attempt(metrics) { () throws(EventStoreError) in
          try Self.wrapping { () throws(CommitLogFailure) in
            try log.maintain { Self.isStopped(state) }
          }
        }
      }
    }
  }

  /// There is something to do.
  func wake() { state.update { $0.isDue = true } }

  func stop() {
    let isFirst = state.update { state in
      defer { state.isStopped = true }
      return !state.isStopped
    }
    if isFirst { thread.join() }
  }

  private static func isStopped(_ state: Gate<State>) -> Bool {
    state.wait { (state, _) in state.isStopped }
  }

  /// Returns when there may be work, and whether that is because so much time has passed; nil at
  /// the end.
  private static func waitForWork(_ state: Gate<State>) -> Bool? {
    state.wait(patience: interval) { (state, isTimedOut) -> Bool?? in
      if state.isStopped { return .some(nil) }
      guard state.isDue || isTimedOut else { return nil }
      defer { state.isDue = false }
      return .some(!state.isDue)
    }
  }

  /// What fails is told once and tried again later: nothing rests on it.
  private static func attempt(
    _ metrics: StoreMetrics, _ body: () throws(EventStoreError) -> Void
  ) {
    do throws(EventStoreError) {
      try body()
    } catch {
      metrics.noteMaintenance(error)
    }
  }

  private static func wrapping(
    _ body: () throws(CommitLogFailure) -> Void
  ) throws(EventStoreError) {
    do throws(CommitLogFailure) {
      try body()
    } catch {
      throw EventStoreError(error)
    }
  }
}
