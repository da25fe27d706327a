internal import EventModel

/// A partition, and the number behind the last event that one appender put there.
struct Lane: ~Copyable {
  let partition: PartitionWriter
  private(set) var end: UInt64 = 0

  init(_ partition: PartitionWriter) { self.partition = partition }

  /// Takes an event in; nil when there is no room for it now.
  @inline(__always)
  mutating func append(
    from device: borrowing RawSpan, hash: UInt64, body: borrowing RawSpan,
    properties: borrowing Properties, systemProperties: SystemProperties?, at time: Int64
  ) throws(EventStoreError) -> UInt64? {
    let number = try partition.append(
      from: device, hash: hash, body: body, properties: properties,
      systemProperties: systemProperties, at: time, helps: true)
    if let number { end = number &+ 1 }
    return number
  }
}

/// The lanes of one appender, a partition each.
///
/// Used where they stand: taken out of an array, a partition would be retained for every event.
@safe
struct LaneTable: ~Copyable {
  private let lanes: UnsafeMutablePointer<Lane>
  let count: Int

  init(_ partitions: [PartitionWriter]) {
    count = partitions.count
    // SAFETY: owned by this value alone, and every lane is initialised here.
    unsafe lanes = .allocate(capacity: max(count, 1))
    for (place, partition) in partitions.enumerated() {
      unsafe (lanes + place).initialize(to: Lane(partition))
    }
  }

  deinit {
    // SAFETY: made in `init`, used by nobody else.
    unsafe lanes.deinitialize(count: count)
    unsafe lanes.deallocate()
  }

  subscript(place: Int) -> Lane {
    @inline(__always) unsafeAddress {
      precondition(place >= 0 && place < count, "lane \(place) of \(count)")
      // SAFETY: the precondition keeps it among those that `init` has made.
      return unsafe UnsafePointer(lanes + place)
    }
    @inline(__always) unsafeMutableAddress {
      precondition(place >= 0 && place < count, "lane \(place) of \(count)")
      // SAFETY: as above.
      return unsafe lanes + place
    }
  }

  /// The partitions that hold events of the appender's, each with the number behind the last.
  var touched: [(partition: PartitionWriter, end: UInt64)] {
    (0..<count).filter { self[$0].end > 0 }.map { (self[$0].partition, self[$0].end) }
  }
}
