/// A number of bytes.
public struct ByteCount: Hashable, Comparable, Sendable {
  /// The number of bytes, never negative.
  public let bytes: Int

  /// Makes a size from a number of bytes; a negative one is a programming error.
  public init(_ bytes: Int) {
    precondition(bytes >= 0, "byte count \(bytes) is negative")
    self.bytes = bytes
  }

  /// No bytes.
  public static let zero = Self(0)

  /// A size in bytes.
  public static func bytes(_ count: Int) -> Self { Self(count) }

  /// A size in units of 1,024 bytes.
  public static func kibibytes(_ count: Int) -> Self { Self(count << 10) }

  /// A size in units of 1,048,576 bytes.
  public static func mebibytes(_ count: Int) -> Self { Self(count << 20) }

  /// A size in units of 1,073,741,824 bytes.
  public static func gibibytes(_ count: Int) -> Self { Self(count << 30) }

  /// Whether the left one comes first.
  public static func < (left: Self, right: Self) -> Bool { left.bytes < right.bytes }

  /// The sum of both.
  public static func + (left: Self, right: Self) -> Self { Self(left.bytes + right.bytes) }
}

extension ByteCount: CustomStringConvertible {
  /// The size in the largest binary unit that divides it, such as `64KiB` or `70B`.
  public var description: String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")]
    where bytes >= 1 << shift && bytes & (1 << shift - 1) == 0 {
      return "\(bytes >> shift)\(unit)"
    }
    return "\(bytes)B"
  }
}
