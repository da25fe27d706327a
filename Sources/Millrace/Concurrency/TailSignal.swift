internal import Synchronization

/// Tells readers of one partition that there is more to read.
final class TailSignal: Sendable {
  private struct State {
    var highWatermark: UInt64
    var isClosed = false
    var nextID = 0
    /// Resumed with why nobody can tell whether there is more; with nil for news.
    var waiting: [Int: Suspension<EventStoreError?>] = [:]
  }

  private let state: Mutex<State>

  init(highWatermark: UInt64) { state = Mutex(State(highWatermark: highWatermark)) }

  func publish(_ highWatermark: UInt64) {
    wake { state in
      guard highWatermark > state.highWatermark else { return false }
      state.highWatermark = highWatermark
      return true
    }
  }

  /// Whether anybody waits.
  var isAwaited: Bool { state.withLock { !$0.waiting.isEmpty } }

  /// Nothing more will come.
  func close() {
    wake { state in
      state.isClosed = true
      return true
    }
  }

  /// The log can no longer be looked at: everybody who waits is told.
  func fail(_ failure: EventStoreError) { wake(with: failure) { _ in true } }

  /// Resumes everybody if the change is one that they wait for.
  private func wake(with failure: EventStoreError? = nil, _ change: (inout State) -> Bool) {
    let woken = state.withLock { state -> [Suspension<EventStoreError?>] in
      guard change(&state) else { return [] }
      defer { state.waiting.removeAll() }
      return Array(state.waiting.values)
    }
    for suspension in woken { suspension.resume(failure) }
  }

  /// Returns once the high watermark is beyond `number`, the log is closed or the task cancelled.
  ///
  /// - Parameters:
  ///   - number: up to where the caller has read.
  ///   - onWait: called once this call waits, before it suspends.
  /// - Returns: whether there is more to read.
  /// - Throws: ``EventStoreError`` where the log can no longer be looked at.
  func wait(
    beyond number: UInt64, onWait: @Sendable () -> Void = {}
  ) async throws(EventStoreError) -> Bool {
    while true {
      let (isThere, isOver) = state.withLock { ($0.highWatermark > number, $0.isClosed) }
      if isThere { return true }
      if isOver || Task.isCancelled { return false }
      if let failure = await waitForNews(beyond: number, onWait) { throw failure }
    }
  }

  private func waitForNews(
    beyond number: UInt64, _ onWait: @Sendable () -> Void
  ) async -> EventStoreError? {
    let id = state.withLock { state in
      state.nextID += 1
      return state.nextID
    }
    return await withTaskCancellationHandler {
      await Suspension.suspend { suspension in
        let isReady = state.withLock { state in
          if state.highWatermark > number || state.isClosed || Task.isCancelled { return true }
          state.waiting[id] = suspension
          return false
        }
        if isReady { suspension.resume(nil) } else { onWait() }
      }
    } onCancel: {
      state.withLock { $0.waiting.removeValue(forKey: id) }?.resume(nil)
    }
  }
}
