internal import CommitLog
internal import EventModel
internal import StorageIO

/// Reads through the whole store in the background, slowly, so that bits that rot are found while
/// copies of what they were may still exist.
///
/// A pass begins some minutes after the store was opened, the next one a day later.
final class ScrubThread: Sendable {
  static let delay: Duration = .seconds(600)
  static let interval: Duration = .seconds(86_400)
  /// Bytes that are read at once.
  private static let pieceSize = 256 << 10

  private struct State {
    var isStopped = false
  }

  private let state = Gate(State())
  private let thread: EngineThread

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - rate: bytes a second.
  ///   - metrics: where damage is told.
  ///   - source: the store; nil once it is gone.
  init(
    rate: ByteCount, metrics: StoreMetrics, source: @escaping @Sendable () -> (any ReadSource)?
  ) {
    let state = state
    thread = EngineThread {
      var pause = Self.delay
      while Self.sleep(pause, state) {
        guard let pass = source().map({ ScrubPass($0, start: $0.context.environment.random()) })
        else { return }
        do throws(EventStoreError) {
          while let size = try source().flatMap({ (source) throws(EventStoreError) in
            try pass.step(Self.pieceSize, of: source)
          }) {
            guard Self.sleep(.seconds(Double(size) / Double(rate.bytes)), state) else { return }
          }
        } catch {
          metrics.noteMaintenance(error)
        }
        metrics.noteScrub(pass.report)
        pause = Self.interval
      }
    }
  }

  /// Returns after so long, or when the thread is to end: then false.
  private static func sleep(_ pause: Duration, _ state: Gate<State>) -> Bool {
    state.wait(patience: pause) { (state, isTimedOut) -> Bool? in
      state.isStopped ? false : isTimedOut ? true : nil
    }
  }

  func stop() {
    let isFirst = state.update { state in
      defer { state.isStopped = true }
      return !state.isStopped
    }
    if isFirst { thread.join() }
  }
}
