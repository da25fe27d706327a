/// One of a store's partitions: 0 up to the partition count.
public struct PartitionID: Hashable, Comparable, Sendable {
  /// The partition's number.
  public let number: Int

  /// Makes the id of a partition; a number outside `0..<1024` is a programming error.
  public init(_ number: Int) {
    precondition(
      (0..<Limits.partitionCountMax).contains(number), "partition number \(number) is out of range")
    self.number = number
  }

  /// Whether the left one comes first.
  public static func < (left: Self, right: Self) -> Bool { left.number < right.number }

  /// The partition that holds a device's events: a stable hash of its id modulo the count
  /// (format-spec §7).
  public init(of device: DeviceID, partitionCount: Int) {
    self.init(Int(truncatingIfNeeded: device.hash % UInt64(partitionCount)))
  }
}

extension PartitionID: CustomStringConvertible, ExpressibleByIntegerLiteral {
  /// Makes the number from a literal; traps when it is out of range.
  public init(integerLiteral value: Int) { self.init(value) }

  /// The value as text, for messages.
  public var description: String { "p\(number)" }
}
