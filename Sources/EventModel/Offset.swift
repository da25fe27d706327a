/// The number of an event in its partition: dense, from 0, never reused.
///
/// The hub and the command call it the sequence number. A byte number in a file is a different
/// thing and has a different type.
public struct Offset: Hashable, Comparable, Sendable {
  /// The number.
  public let value: UInt64

  /// Makes the offset with this number.
  public init(_ value: UInt64) {
    self.value = value
  }

  /// The first event of every partition.
  public static let zero = Self(0)

  /// The offset `count` events further on; stays at the largest number instead of wrapping.
  public func advanced(by count: UInt64) -> Self {
    let (sum, overflow) = value.addingReportingOverflow(count)
    return Self(overflow ? .max : sum)
  }

  /// Whether the left one comes first.
  public static func < (left: Self, right: Self) -> Bool { left.value < right.value }
}

extension Offset: CustomStringConvertible, ExpressibleByIntegerLiteral {
  /// Makes the number from a literal.
  public init(integerLiteral value: UInt64) { self.init(value) }

  /// The value as text, for messages.
  public var description: String { String(value) }
}
