import EventModel
import LogFormat
import LogInspection
import StorageIO
import SystemPackage
import Testing

@Suite("Counting what a store holds")
struct StatisticsTests {
  private func collect(_ store: SampleStore) throws -> StoreStatistics {
    try StoreStatistics.collect(SampleStore.root, fileSystem: store.fileSystem)
  }

  @Test("A closed store's partitions are counted to the last event")
  func partitions() throws {
    let store = try SampleStore()
    let statistics = try collect(store)
    #expect(statistics.storeID == SampleStore.storeID)
    #expect(statistics.damages.isEmpty)
    let first = try #require(statistics.partitions.first)
    #expect(first.firstSequence == 0)
    #expect(first.nextSequence == 11)
    #expect(first.events == 11)
    #expect(first.segments == 2)
    #expect(first.oldestTime == Timestamp(microseconds: 10_000))
    #expect(first.newestTime == Timestamp(microseconds: 61_000))
    let bodies = store.bodies[0].reduce(0) { $0 + $1.utf8.count }
    #expect(first.rawBytes > UInt64(bodies))
    let onDisk = store.files.filter { $0.key.string.contains("/000/") }.values
      .reduce(0) { $0 + $1.count }
    #expect(first.bytesOnDisk == UInt64(onDisk))
    #expect(statistics.totals.events == 15)
    #expect(statistics.totals.segments == 3)
  }

  @Test("What no watermark proves is not counted")
  func unproven() throws {
    let statistics = try collect(SampleStore(isClosed: false))
    let first = try #require(statistics.partitions.first)
    #expect(first.nextSequence == 9)
    #expect(first.events == 9)
    #expect(first.newestTime == Timestamp(microseconds: 52_000))
  }

  @Test("A group's lag is what lies behind its checkpoint; $Default begins at the earliest")
  func lag() throws {
    let statistics = try collect(SampleStore(checkpoint: 7))
    let readers = try #require(
      statistics.groups.first { $0.name == "readers" && $0.partition == 0 })
    #expect(readers.checkpoint == 7)
    #expect(readers.lagEvents == 4)
    #expect(readers.lagBytes > 0)
    #expect(readers.lagSeconds == 0.010)
    let standard = try #require(
      statistics.groups.first { $0.name == .standard && $0.partition == 0 })
    #expect(standard.checkpoint == nil)
    #expect(standard.lagEvents == 11)
    #expect(standard.lagBytes == statistics.partitions.first?.rawBytes)
    #expect(standard.lagSeconds == 0.051)
  }

  @Test("A group that has read everything has no lag")
  func noLag() throws {
    let statistics = try collect(SampleStore(checkpoint: 11))
    let readers = try #require(
      statistics.groups.first { $0.name == "readers" && $0.partition == 0 })
    #expect(readers.lagEvents == 0)
    #expect(readers.lagBytes == 0)
    #expect(readers.lagSeconds == 0)
  }
}
