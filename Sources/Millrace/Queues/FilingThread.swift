/// The thread of ``QueueFiling``: it works when it is woken, and on a full disk once a second, for
/// nobody tells when there is room.
final class FilingThread: Sendable {
  private struct State {
    var isDue = true
    /// Whether the journal is short of space.
    var isShort = false
    /// How often space was looked for since then.
    var lookCount = 0
    var isStopped = false
    var thread: EngineThread?
  }

  /// Time until space is looked for again on a full disk.
  private static let patience: Duration = .seconds(1)

  private let state = Gate(State())

  /// Begins to work.
  ///
  /// - Parameter work: what is to be done, and whether files may be written for it: on a full disk
  ///   that is tried less and less often, since it mostly fails.
  func start(_ work: @escaping @Sendable (_ mayFile: Bool) -> Void) {
    let state = state
    let thread = EngineThread {
      while let mayFile = Self.waitForWork(state) { work(mayFile) }
    }
    state.update { $0.thread = thread }
  }

  /// Returns when there may be something to do, and whether files may be written for it; nil at the
  /// end.
  private static func waitForWork(_ state: Gate<State>) -> Bool? {
    let isShort = state.wait { (state, _) -> Bool? in .some(state.isShort) }
    return state.wait(patience: isShort ? patience : nil) { (state, isTimedOut) -> Bool?? in
      if state.isStopped { return .some(nil) }
      guard state.isDue || isTimedOut else { return nil }
      // Powers of two.
      let mayFile = state.isDue || state.lookCount.nonzeroBitCount <= 1
      state.lookCount = state.isShort ? state.lookCount + 1 : 0
      state.isDue = false
      return .some(mayFile)
    }
  }

  /// There may be something to do.
  func wake() { state.update { $0.isDue = true } }

  /// Tells whether the journal is short of space.
  func note(isShort: Bool) { state.update { $0.isShort = isShort } }

  var isStopped: Bool { state.wait { (state, _) -> Bool? in .some(state.isStopped) } }

  func stop() {
    let thread = state.update { state -> EngineThread? in
      state.isStopped = true
      return state.thread.take()
    }
    thread?.join()
  }
}
