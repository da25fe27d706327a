internal import StorageIO

/// Looks for what another process writes, as long as somebody waits for it: when the system tells
/// of a change, or every 20 ms where it cannot.
///
/// Sleeps while nobody waits.
final class TailWatch: Sendable {
  /// Between two looks, however much is written.
  private static let intervalMin: Duration = .milliseconds(10)
  /// Between two looks where nobody tells of changes.
  private static let pollInterval: Duration = .milliseconds(20)
  /// Changes that the system does not tell of, on a file system of another machine, are found then.
  private static let patience: Duration = .seconds(1)

  private struct State {
    var isAwake = false
    var isStopped = false
    var watch: (any DirectoryWatch)?
  }

  private let state = Gate(State())
  private let thread: EngineThread

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - makeWatch: tells of changes; made once somebody waits.
  ///   - look: looks for what is new and returns whether anybody still waits.
  init(
    makeWatch: @escaping @Sendable () -> (any DirectoryWatch)?, look: @escaping @Sendable () -> Bool
  ) {
    let state = state
    thread = EngineThread {
      var watch: (any DirectoryWatch)?
      while Self.waitForWork(state) {
        if watch == nil {
          watch = makeWatch()
          state.update { $0.watch = watch }
        }
        while look() {
          let isStopped = Self.sleep(state, watch == nil ? Self.pollInterval : Self.intervalMin)
          if isStopped { return }
          watch?.wait(Self.patience)
        }
        // Who came between the look and this line is found by one more.
        state.update { $0.isAwake = false }
        if look() { state.update { $0.isAwake = true } }
      }
    }
  }

  /// Somebody waits.
  func wake() { state.update { $0.isAwake = true } }

  func stop() {
    let (isFirst, watch) = state.update { state in
      defer { state.isStopped = true }
      return (!state.isStopped, state.watch)
    }
    watch?.stop()
    if isFirst { thread.join() }
  }

  private static func waitForWork(_ state: Gate<State>) -> Bool {
    state.wait { (state, _) in
      if state.isStopped { return false }
      return state.isAwake ? true : nil
    }
  }

  /// Sleeps so long; returns whether to stop.
  private static func sleep(_ state: Gate<State>, _ interval: Duration) -> Bool {
    state.wait(patience: interval) { (state, isTimedOut) -> Bool? in
      if state.isStopped { return true }
      return isTimedOut ? false : nil
    }
  }
}
