internal import DeviceQueueing
internal import EventModel
internal import StorageIO
internal import Synchronization

/// The time that queues go by: that of the clock on the wall where it goes on, and of a steady one
/// where it was set back, so that nothing lives again that had expired, and nothing lives for ever.
final class QueueClock: Sendable {
  private struct State {
    var wall: Timestamp
    var steady: Int64
  }

  private let environment: EngineEnvironment
  private let state: Mutex<State>

  /// - Parameters:
  ///   - environment: where the clocks are.
  ///   - last: the latest time that the journal knows of.
  init(_ environment: EngineEnvironment, last: Timestamp?) {
    self.environment = environment
    state = Mutex(
      State(
        wall: max(environment.now(), last ?? Timestamp(microseconds: .min)),
        steady: environment.steady()))
  }

  func now() -> QueueTime {
    let (wall, steady) = (environment.now(), environment.steady())
    return state.withLock { state in
      let passed = max(0, steady - state.steady)
      state.steady = max(state.steady, steady)
      state.wall = max(wall, state.wall.advanced(by: .microseconds(passed)))
      return QueueTime(wall: state.wall, steady: state.steady)
    }
  }
}
