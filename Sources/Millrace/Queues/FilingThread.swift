/// The thread of ``QueueFiling``: it works when it is woken, and on a full disk once a second, for
/// nobody tells when there is room.
final class FilingThread: Sendable {
  private struct State {
    var isDue = true
    /// Whether the journal is short of space.
    var isShort = false
    /// How often space was looked for since then.
    var lookCount = 0
    /// How often work has begun, and ended.
    var begunCount = 0
    var endedCount = 0
    /// What was left of the journal's reserve when work last ended.
    var left: Int?
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
      state.begunCount += 1
      return .some(mayFile)
    }
  }

  /// There may be something to do.
  func wake() { state.update { $0.isDue = true } }

  /// Work has ended.
  ///
  /// - Parameters:
  ///   - isShort: whether the journal is short of space.
  ///   - left: what is left of its reserve.
  func noteEnd(isShort: Bool, left: Int) {
    state.update { state in
      state.isShort = isShort
      state.left = left
      state.endedCount = state.begunCount
    }
  }

  // MARK: A full disk

  /// Whether settling may use more of the journal's reserve.
  enum Space {
    case isThere
    /// Once the work has been done, which gives space back.
    case comesWithWork
    /// All but the last of it is used, without which nothing could be given back any more.
    case isUsedUp
  }

  /// How much settling uses before the work must be done, in parts of the reserve.
  private static let stepsPerReserve = 8
  /// The last of the reserve, in the same way.
  private static let lastPartsPerReserve = 32

  /// - Parameters:
  ///   - spare: what is left of the journal's reserve.
  ///   - reserve: all of it.
  /// - Returns: whether more of it may be used.
  func space(_ spare: Int, of reserve: Int) -> Space {
    let last = reserve / Self.lastPartsPerReserve
    return state.wait { (state, _) -> Space? in
      // Before it has begun nothing may wait for it.
      guard state.thread != nil else { return .isThere }
      guard let left = state.left else { return .comesWithWork }
      if spare > max(last, left - reserve / Self.stepsPerReserve) { return .isThere }
      return left > last ? .comesWithWork : .isUsedUp
    }
  }

  /// Tells what is left of the journal's reserve.
  func note(left: Int) { state.update { $0.left = left } }

  /// Has the work be done, and blocks until it is.
  func waitForWork() {
    let goal = state.update { state in
      state.isDue = true
      return state.begunCount + 1
    }
    state.wait { (state, _) -> Void? in
      state.endedCount >= goal || state.isStopped ? () : nil
    }
  }

  var isStopped: Bool { state.wait { (state, _) -> Bool? in .some(state.isStopped) } }

  func stop() {
    let thread = state.update { state -> EngineThread? in
      state.isStopped = true
      return state.thread.take()
    }
    thread?.join()
  }
}
