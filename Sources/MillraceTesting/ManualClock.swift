public import Millrace
internal import Synchronization

/// A clock that moves when a test says so.
public final class ManualClock: Sendable {
  private let microseconds: Atomic<Int64>

  /// Makes a clock that stands at a time.
  public init(at time: Timestamp) { microseconds = Atomic(time.microseconds) }

  /// What the clock shows.
  public var now: Timestamp { Timestamp(microseconds: microseconds.load(ordering: .acquiring)) }

  /// Moves the clock forwards, or back when the duration is negative.
  public func advance(by duration: Duration) {
    microseconds.store(now.advanced(by: duration).microseconds, ordering: .releasing)
  }
}
