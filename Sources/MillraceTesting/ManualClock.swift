public import Millrace
internal import Synchronization

/// A clock that moves when a test says so.
public final class ManualClock: Sendable {
  private let microseconds: Atomic<Int64>
  /// Told of each change, until they say that they have gone.
  private let watchers = Mutex<[@Sendable () -> Bool]>([])

  /// Makes a clock that stands at a time.
  public init(at time: Timestamp) { microseconds = Atomic(time.microseconds) }

  /// What the clock shows.
  public var now: Timestamp { Timestamp(microseconds: microseconds.load(ordering: .acquiring)) }

  /// Moves the clock forwards, or back when the duration is negative, and has stores that go by it
  /// look at what is due.
  ///
  /// They do it soon, on threads of their own.
  public func advance(by duration: Duration) {
    microseconds.store(now.advanced(by: duration).microseconds, ordering: .releasing)
    let watchers = watchers.withLock { $0 }
    guard watchers.count(where: { $0() }) < watchers.count else { return }
    self.watchers.withLock { watchers in watchers.removeAll { !$0() } }
  }

  /// Has somebody told of each change, until they say that they have gone.
  package func watch(_ watcher: @escaping @Sendable () -> Bool) {
    watchers.withLock { $0.append(watcher) }
  }
}
