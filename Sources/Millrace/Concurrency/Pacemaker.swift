internal import Synchronization

/// Wakes partitions that hold something nobody waits for: it is synced after 100 ms at the latest,
/// and its watermark written after 20 ms of idleness (design 2 and 3).
///
/// Sleeps while all is settled.
final class Pacemaker: Sendable {
  /// Time between two beats: idleness of so much is what a watermark frame waits for.
  static let interval: Duration = .milliseconds(20)
  /// Ticks after which unsynced events are synced: with the tick in which they came, under 100 ms.
  static let ticksToSync = 4

  /// Does what is due and returns whether anything will be.
  typealias Beat = @Sendable () -> Bool

  private struct State {
    var isStopped = false
    var beats: [Beat] = []
  }

  /// Whether a beat is to come, looked at by every writer's first append behind a sync: outside
  /// of the gate, so that it does not wake a thread that needs no waking.
  private final class Flag: Sendable {
    let isAwake = Atomic<Bool>(false)
  }

  private let state = Gate(State())
  private let flag = Flag()
  private let thread: EngineThread

  init() {
    let (state, flag) = (state, flag)
    thread = EngineThread {
      while Self.waitForWork(state, flag) {
        var isBusy = true
        while isBusy {
          if Self.sleep(state) { return }
          isBusy = Self.beat(state)
        }
        // What came between the beat and this line is found by one more.
        flag.isAwake.store(false, ordering: .sequentiallyConsistent)
        if Self.beat(state) { flag.isAwake.store(true, ordering: .sequentiallyConsistent) }
      }
    }
  }

  /// Looks after more.
  func watch(_ beats: [Beat]) {
    state.update { $0.beats += beats }
  }

  /// There is something to look after.
  func wake() {
    guard !flag.isAwake.exchange(true, ordering: .sequentiallyConsistent) else { return }
    state.update { _ in }
  }

  func stop() {
    let isFirst = state.update { state in
      defer { state.isStopped = true }
      state.beats = []
      return !state.isStopped
    }
    if isFirst { thread.join() }
  }

  private static func beat(_ state: Gate<State>) -> Bool {
    var isBusy = false
    for beat in state.wait({ (state, _) in state.beats }) where beat() { isBusy = true }
    return isBusy
  }

  /// Returns once there is something to look after; false at the end.
  private static func waitForWork(_ state: Gate<State>, _ flag: Flag) -> Bool {
    state.wait { (state, _) -> Bool? in
      if state.isStopped { return false }
      return flag.isAwake.load(ordering: .sequentiallyConsistent) ? true : nil
    }
  }

  /// Sleeps one interval; returns whether to stop.
  private static func sleep(_ state: Gate<State>) -> Bool {
    state.wait(patience: interval) { (state, isTimedOut) -> Bool? in
      if state.isStopped { return true }
      return isTimedOut ? false : nil
    }
  }
}
