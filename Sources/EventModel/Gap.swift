/// A range of events that are gone although they were once acknowledged, or may have been.
///
/// Readers meet it as a value where the events would stand, and go on behind it.
public struct Gap: Hashable, Sendable {
  /// Why the events are gone.
  public enum Reason: String, Hashable, Sendable, CaseIterable {
    /// Bytes that were once synced no longer match their checksum.
    case damaged
    /// The end of the log up to the durable watermark was missing when the store was opened.
    case lostSuffix
    /// A whole file of the partition is missing or unreadable.
    case missingSegment
    /// Retention removed them before the reader came.
    case retired
  }

  /// The partition.
  public let partition: PartitionID
  /// The first event missing.
  public let first: Offset
  /// The first event behind the gap.
  public let next: Offset
  /// Why.
  public let reason: Reason
  /// The devices that events in the gap may belong to, if the index of the damaged batch survived.
  public let devices: [DeviceID]?
  /// The times between which the missing events were enqueued, as far as their neighbours tell.
  public let times: ClosedRange<Timestamp>?

  /// Makes a gap.
  public init(
    partition: PartitionID, first: Offset, next: Offset, reason: Reason,
    devices: [DeviceID]? = nil, times: ClosedRange<Timestamp>? = nil
  ) {
    self.partition = partition
    self.first = first
    self.next = next
    self.reason = reason
    self.devices = devices
    self.times = times
  }

  /// The number of events missing.
  public var count: UInt64 { next.value - first.value }
}

extension Gap: CustomStringConvertible {
  /// The value as text, for messages.
  public var description: String {
    "\(partition): \(count) events from \(first) up to \(next) are missing (\(reason.rawValue))"
  }
}
