/// An instant, in microseconds since 1970-01-01T00:00:00Z.
public struct Timestamp: Hashable, Comparable, Sendable {
  /// Microseconds since the epoch; negative before it.
  public let microseconds: Int64

  /// Makes an instant from microseconds since the epoch.
  public init(microseconds: Int64) {
    self.microseconds = microseconds
  }

  /// Whether the left one comes first.
  public static func < (left: Self, right: Self) -> Bool {
    left.microseconds < right.microseconds
  }

  /// The instant `duration` later; clamped at the ends of the range.
  public func advanced(by duration: Duration) -> Self {
    let (seconds, attoseconds) = duration.components
    let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
    let (delta, carry) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000_000)
    let (sum, clipped) = microseconds.addingReportingOverflow(delta)
    guard !overflow, !carry, !clipped else {
      return Self(microseconds: duration < .zero ? .min : .max)
    }
    return Self(microseconds: sum)
  }
}
