import CommitLog
import EventModel
import LogFormat
import StorageIO
import Testing

/// Opening reads in proportion to the tail that was not synced, not to the store (I10).
@Suite struct OpeningCostTests {
  private static let segmentSize = 640 << 10

  /// A store of so many segments, the last one of them half full; then the writer is killed.
  private func killed(segmentCount: Int) throws -> (MemoryFileSystem, TestStore) {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem, segmentSize: Self.segmentSize)
    var seed: UInt64 = 0
    while store.partition.snapshot.segments.count < segmentCount {
      try store.append(bodySize: 100 << 10, seed: seed)
      seed += 1
    }
    for _ in 0..<3 {
      try store.append(bodySize: 100 << 10, seed: seed)
      seed += 1
    }
    return (fileSystem, store)
  }

  private func bytesRead(_ image: StoreImage) throws -> Int {
    let fileSystem = ObservedFileSystem(image.memory())
    let store = try TestStore.open(on: fileSystem, segmentSize: Self.segmentSize, seed: 3)
    #expect(store.partition.report.isClean)
    return fileSystem.bytesRead
  }

  @Test("One segment or thirty: opening reads the same but for the manifest")
  func segments() throws {
    var afterClose: [Int] = []
    var afterKill: [Int] = []
    for count in [1, 30] {
      let (fileSystem, store) = try killed(segmentCount: count)
      afterKill.append(try bytesRead(StoreImage(fileSystem)))
      try store.log.close()
      afterClose.append(try bytesRead(StoreImage(fileSystem)))
    }
    // Two edits for each segment, which are read twice, and nothing of the segments themselves.
    #expect(afterClose[1] - afterClose[0] < 29 << 10, "\(afterClose)")
    #expect(afterKill[1] - afterKill[0] < 36 << 10, "\(afterKill)")
    #expect(afterClose[1] < 64 << 10)
  }

  @Test("A large segment costs no more than a small one once its index is written")
  func largeSegment() throws {
    var read: [Int] = []
    for batchCount in [20, 200] as [UInt64] {
      let fileSystem = MemoryFileSystem()
      try TestStore.create(on: fileSystem)
      let store = try TestStore.open(on: fileSystem, segmentSize: 64 << 20)
      for seed in 0..<batchCount { try store.append(bodySize: 60 << 10, seed: seed) }
      let observed = ObservedFileSystem(StoreImage(fileSystem).memory())
      let again = try TestStore.open(on: observed, segmentSize: 64 << 20, seed: 3)
      #expect(again.partition.nextNumber == batchCount)
      read.append(observed.bytesRead)
    }
    // The index itself grows by a thousandth of the segment.
    #expect(read[1] - read[0] < 64 << 10, "\(read)")
  }
}
