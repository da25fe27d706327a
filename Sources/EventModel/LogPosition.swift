/// Where an event stands in the store: its partition and its offset there.
public struct LogPosition: Hashable, Sendable {
  /// The partition.
  public let partition: PartitionID
  /// The event's number in the partition.
  public let offset: Offset

  /// Makes a position.
  public init(partition: PartitionID, offset: Offset) {
    self.partition = partition
    self.offset = offset
  }
}

extension LogPosition: CustomStringConvertible {
  /// Such as `p3@18204`.
  public var description: String { "\(partition)@\(offset)" }
}

/// The next event that a consumer group will read in a partition; everything before it is done.
public struct Checkpoint: Hashable, Sendable {
  /// The partition.
  public let partition: PartitionID
  /// The first offset not yet processed.
  public let next: Offset

  /// Makes a checkpoint.
  ///
  /// Consumers take theirs from the batch they finished and never count.
  public init(partition: PartitionID, next: Offset) {
    self.partition = partition
    self.next = next
  }
}

extension Checkpoint: CustomStringConvertible {
  /// The value as text, for messages.
  public var description: String { "\(partition)@\(next)" }
}
