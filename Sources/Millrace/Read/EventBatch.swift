public import EventModel
internal import LogFormat

/// Events of one partition that were stored together, or a gap where events are gone.
///
/// Iterate it for the events; when they are done, commit ``checkpoint``.
public struct EventBatch: Sendable {
  /// The partition.
  public let partition: PartitionID
  /// The events' offsets; empty for a gap.
  ///
  /// Where only some devices' events were asked for, those of the others in between included.
  public let offsets: Range<Offset>
  /// Set when events that were once acknowledged are gone: a batch of its own, without events.
  ///
  /// Committing its checkpoint goes on behind the gap.
  public let gap: Gap?
  private let batch: DecodedBatch?
  @usableFromInline let indexes: Range<Int>
  /// The records that were asked for, where not all are: `indexes` are places among these.
  private let selection: [Int]?

  init(
    _ batch: DecodedBatch, indexes: Range<Int>, of filter: DeviceFilter?, max: Int = .max,
    partition: PartitionID
  ) {
    self.partition = partition
    self.batch = batch
    selection = filter.map { Array(batch.indexes(of: $0, in: indexes).prefix(max)) }
    self.indexes = selection?.indices ?? indexes.prefix(max)
    gap = nil
    // Behind the last event, where no more are wanted.
    let last = self.indexes.count == max ? selection?.last ?? self.indexes.last : nil
    let end = last.map { $0 + 1 } ?? indexes.upperBound
    let base = batch.baseOffset
    offsets = Offset(base + UInt64(indexes.lowerBound))..<Offset(base + UInt64(end))
  }

  init(_ gap: Gap) {
    partition = gap.partition
    self.gap = gap
    offsets = gap.next..<gap.next
    batch = nil
    indexes = 0..<0
    selection = nil
  }

  /// Where a consumer goes on that has processed the batch.
  public var checkpoint: Checkpoint {
    Checkpoint(partition: partition, next: offsets.upperBound)
  }

  /// Whether there are no events, as in a gap.
  @inlinable public var isEmpty: Bool { indexes.isEmpty }

  /// The number of events.
  @inlinable public var count: Int { indexes.count }
}

extension EventBatch: RandomAccessCollection {
  /// The first event's index.
  @inlinable public var startIndex: Int { indexes.lowerBound }

  /// The index behind the last event.
  @inlinable public var endIndex: Int { indexes.upperBound }

  /// The event at an index; an index outside of the batch is a programming error.
  public subscript(index: Int) -> EventView {
    guard let batch, indexes.contains(index) else {
      preconditionFailure("index \(index) is outside of the batch's \(indexes)")
    }
    return EventView(batch, index: selection?[index] ?? index, partition: partition)
  }
}
