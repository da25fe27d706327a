/// One of a store's partitions, 0 up to the partition count, or one of its streams.
public struct PartitionID: Hashable, Comparable, Sendable {
  /// The partition's number.
  public let number: Int

  /// Makes the id of a partition; a number outside `0..<1024` is a programming error.
  public init(_ number: Int) {
    precondition(
      (0..<Limits.partitionCountMax).contains(number), "partition number \(number) is out of range")
    self.number = number
  }

  /// The stream of feedback: what became of messages to devices.
  ///
  /// Read and checkpointed like a partition; it is none of the store's partitions of events.
  public static let feedback = Self(stream: 1)
  /// The stream of dead letters: messages to devices that were settled without success.
  ///
  /// As ``feedback`` otherwise.
  public static let deadLetters = Self(stream: 2)
  /// The journal of the device queues.
  package static let journal = Self(stream: 3)

  /// Streams come behind every partition that a store may have.
  package static let streamBase = 1 << 16

  /// Whether a number in a file is one of a partition or stream that consumers read.
  package static func isReadable(_ number: UInt32) -> Bool {
    number < Limits.partitionCountMax || number == feedback.number
      || number == deadLetters.number
  }

  private init(stream: Int) { number = Self.streamBase + stream }

  /// Whether the left one comes first.
  public static func < (left: Self, right: Self) -> Bool { left.number < right.number }

  /// The partition that holds a device's events: a stable hash of its id modulo the count
  /// (format-spec §7).
  public init(of device: DeviceID, partitionCount: Int) {
    self.init(ofHash: device.hash, partitionCount: partitionCount)
  }

  /// The same by the device's hash alone.
  package init(ofHash hash: UInt64, partitionCount: Int) {
    self.init(Int(truncatingIfNeeded: hash % UInt64(partitionCount)))
  }
}

extension PartitionID: CustomStringConvertible, ExpressibleByIntegerLiteral {
  /// Makes the number from a literal; traps when it is out of range.
  public init(integerLiteral value: Int) { self.init(value) }

  /// The value as text, for messages.
  public var description: String {
    switch self {
    case .feedback: "feedback"
    case .deadLetters: "dead-letters"
    case .journal: "queue journal"
    default: "p\(number)"
    }
  }
}
