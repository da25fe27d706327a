package import EventModel
package import LogFormat
package import StorageIO
package import SystemPackage

/// What a store holds, in numbers: of a closed store or beside a live writer, without a lock.
///
/// Only what is proven to be durable counts. Sealed segments cost nothing, of active ones the
/// frames' headers are read.
package struct StoreStatistics: Sendable {
  package struct Partition: Hashable, Sendable {
    package var partition: UInt32
    /// The first event that is still there; equal to `nextSequence` if there is none.
    package var firstSequence: UInt64
    /// The number behind the last event that is proven to be durable.
    package var nextSequence: UInt64
    package var events: UInt64 = 0
    /// Bodies, properties and device ids before compression.
    package var rawBytes: UInt64 = 0
    /// Sizes of segment and index files.
    package var bytesOnDisk: UInt64 = 0
    package var segments = 0
    package var oldestTime: Timestamp?
    package var newestTime: Timestamp?

    /// Raw bytes for each byte on the disk.
    package var ratio: Double {
      bytesOnDisk == 0 ? 0 : Double(rawBytes) / Double(bytesOnDisk)
    }
  }

  package struct Group: Hashable, Sendable {
    package var name: GroupName
    package var partition: UInt32
    /// Nil if the group never committed there: it begins at the earliest event.
    package var checkpoint: UInt64?
    package var lagEvents: UInt64
    /// In the segment that holds the checkpoint, a share in proportion to the events.
    package var lagBytes: UInt64
    /// From the first event not yet read to the newest.
    package var lagSeconds: Double
  }

  package struct Totals: Hashable, Sendable {
    package var events: UInt64 = 0
    package var rawBytes: UInt64 = 0
    package var bytesOnDisk: UInt64 = 0
    package var segments = 0

    package var ratio: Double {
      bytesOnDisk == 0 ? 0 : Double(rawBytes) / Double(bytesOnDisk)
    }
  }

  package internal(set) var storeID: StoreID?
  package let formatVersion = FileHeader.version
  package internal(set) var partitions: [Partition] = []
  package internal(set) var groups: [Group] = []
  /// What was met that makes the numbers uncertain.
  package internal(set) var damages: [Damage] = []

  package var totals: Totals {
    partitions.reduce(into: Totals()) { totals, partition in
      totals.events &+= partition.events
      totals.rawBytes &+= partition.rawBytes
      totals.bytesOnDisk &+= partition.bytesOnDisk
      totals.segments += partition.segments
    }
  }

  /// Gathers the numbers of a store.
  package static func collect(
    _ root: FilePath, fileSystem: any FileSystem
  ) throws(InspectionFailure) -> StoreStatistics {
    let inspector = try StoreInspector(root, fileSystem: fileSystem, wantsStore: true)
    precondition(inspector.target == .store, "a store was asked for, not \(inspector.target)")
    return StatisticsCollector(StoreSnapshot(reading: root, fileSystem)).collect()
  }
}
