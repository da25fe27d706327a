package import EventModel

/// Which sealed segments a store may forget: pure, sizes and ages in, segments out.
///
/// Whole segments, from the oldest of a partition on, never an active one.
package struct RetentionPlan: Hashable, Sendable {
  /// What may be forgotten.
  package struct Rule: Hashable, Sendable {
    /// Segments whose last event is older go.
    package var age: Duration?
    /// While all segments together are larger, the one with the oldest last event goes.
    package var size: Int?
    /// Whether a segment stays while a consumer group has not read it.
    package var keepsUntilConsumed: Bool
    /// While all segments together are larger, unread ones go as well.
    package var unreadSizeMax: Int?

    package init(
      age: Duration? = nil, size: Int? = nil, keepsUntilConsumed: Bool = false,
      unreadSizeMax: Int? = nil
    ) {
      self.age = age
      self.size = size
      self.keepsUntilConsumed = keepsUntilConsumed
      self.unreadSizeMax = unreadSizeMax
    }

    package static let keepEverything = Rule()

    /// Whether there is anything that it could let go.
    package var mayDropAnything: Bool {
      age != nil || size != nil || (keepsUntilConsumed && unreadSizeMax != nil)
    }
  }

  /// A segment that may go.
  package struct Candidate: Hashable, Sendable {
    package var segmentID: UInt64
    package var nextNumber: UInt64
    package var lastTime: Timestamp
    /// Bytes of its files on the disk.
    package var size: Int

    package init(segmentID: UInt64, nextNumber: UInt64, lastTime: Timestamp, size: Int) {
      self.segmentID = segmentID
      self.nextNumber = nextNumber
      self.lastTime = lastTime
      self.size = size
    }
  }

  /// A partition's sealed segments, the oldest first.
  package struct Partition: Hashable, Sendable {
    package var sealed: [Candidate]
    /// Bytes of the active segment's files.
    package var activeSize: Int
    /// The smallest number that some consumer group has yet to read; nil if no group counts.
    package var consumed: UInt64?

    package init(sealed: [Candidate], activeSize: Int, consumed: UInt64? = nil) {
      self.sealed = sealed
      self.activeSize = activeSize
      self.consumed = consumed
    }
  }

  /// For each partition how many of its sealed segments go.
  package private(set) var counts: [Int]
  /// Bytes that all segments take, before and after.
  package let sizeBefore: Int
  package private(set) var sizeAfter: Int

  package init(_ partitions: [Partition], rule: Rule, now: Timestamp) {
    counts = partitions.map { _ in 0 }
    sizeBefore = partitions.reduce(0) { sum, partition in
      sum + partition.activeSize + partition.sealed.reduce(0) { $0 + $1.size }
    }
    sizeAfter = sizeBefore
    if let age = rule.age {
      let oldest = now.advanced(by: .zero - age)
      drop(from: partitions, rule) { segment, _ in segment.lastTime < oldest }
    }
    if let size = rule.size {
      drop(from: partitions, rule) { _, total in total > size }
    }
    if rule.keepsUntilConsumed, let size = rule.unreadSizeMax {
      drop(from: partitions, nil) { _, total in total > size }
    }
  }

  /// Drops the segment with the oldest last event, again and again, while `mayGo` says so.
  private mutating func drop(
    from partitions: [Partition], _ rule: Rule?, _ mayGo: (Candidate, Int) -> Bool
  ) {
    var isOpen = partitions.map { _ in true }
    while true {
      let next = partitions.indices.filter {
        isOpen[$0] && counts[$0] < partitions[$0].sealed.count
      }
      .min {
        partitions[$0].sealed[counts[$0]].lastTime < partitions[$1].sealed[counts[$1]].lastTime
      }
      guard let next else { return }
      let segment = partitions[next].sealed[counts[next]]
      let isRead = partitions[next].consumed.map { segment.nextNumber <= $0 } ?? true
      guard mayGo(segment, sizeAfter), isRead || rule?.keepsUntilConsumed != true else {
        // What stands behind it in the partition is younger, and unread as well.
        isOpen[next] = false
        continue
      }
      counts[next] += 1
      sizeAfter -= segment.size
    }
  }
}
