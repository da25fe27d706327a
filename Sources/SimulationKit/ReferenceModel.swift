internal import EventModel

/// What a store may and must hold: the plain truth that a simulated one is compared with.
package struct ReferenceModel: Hashable, Sendable {
  package struct Partition: Hashable, Sendable {
    /// The serial numbers of everything appended, in order.
    package var appended: [UInt64] = []
    /// How many of them were acknowledged as durable.
    package var acknowledged = 0
    /// How many of them a reader has seen.
    package var seen = 0

    /// What no crash may take.
    package var owed: Int { max(acknowledged, seen) }
  }

  package var partitions: [Partition]
  /// The last checkpoint that was acknowledged, by partition, and the last one that was tried.
  package var committed: [UInt32: UInt64] = [:]
  package var tried: [UInt32: UInt64] = [:]
  /// Whether the store's creation returned.
  package var exists = false

  package init(partitionCount: Int) {
    partitions = Array(repeating: Partition(), count: partitionCount)
  }
}
