import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import Synchronization
import Testing

/// What a reader beside a live writer takes for durable.
@Suite("The watermark of a follower")
struct FollowerWatermarkTests {
  /// A checkpoint within the last batch was all that proved it: the watermark stood within the
  /// batch, which was shown whole.
  @Test("Whatever proves a part of a batch proves all of it", arguments: [0, 3, 4, 5, 7])
  func withinBatch(_ known: UInt64) throws {
    let fileSystem = MemoryFileSystem()
    try SimulatedStore.create(on: fileSystem, partitionCount: 1, seed: 1)
    let store = try SimulatedStore.open(on: fileSystem, segmentSize: 64 << 10, seed: 1)
    try store.append(0..<3, to: 0)
    try store.append(3..<7, to: 0)
    _ = try store.log.partitions[0].synchronize()
    let follower = try LogFollower.open(
      at: SimulatedStore.root, environment: SimulatedStore.environment(fileSystem, seed: 2)
    ) { _ in [0: known] }
    let snapshot = follower.snapshot(of: 0)
    #expect(snapshot.highWatermark == (known == 0 ? 0 : known <= 3 ? 3 : 7))
    let cursor = BatchCursor(from: 0, mappings: follower.mappings, fileSystem: fileSystem) {
      snapshot
    }
    #expect(try PartitionContents(cursor).serials.count == Int(snapshot.highWatermark))
  }

  /// The follower had found nobody, synced what was there and showed what came behind the sync.
  @Test("A writer that comes while a follower opens: nothing is shown that is not durable")
  func writerBetween() throws {
    let fileSystem = MemoryFileSystem()
    try SimulatedStore.create(on: fileSystem, partitionCount: 1, seed: 1)
    let first = try SimulatedStore.open(on: fileSystem, segmentSize: 64 << 10, seed: 1)
    try first.append(0..<3, to: 0)
    try first.log.close()
    let observed = ObservedFileSystem(fileSystem)
    let writer = Mutex<SimulatedStore?>(nil)
    observed.afterNextSync {
      writer.withLock { writer in
        writer = try? SimulatedStore.open(on: fileSystem, segmentSize: 64 << 10, seed: 2)
        try? writer?.append(3..<7, to: 0)
      }
    }
    let follower = try LogFollower.open(
      at: SimulatedStore.root, environment: SimulatedStore.environment(observed, seed: 3)
    ) { _ in [:] }
    #expect(follower.snapshot(of: 0).highWatermark == 3)
    let store = try #require(writer.withLock { $0 })
    #expect(store.log.partitions[0].unsyncedSize > 0)
    _ = try store.log.partitions[0].synchronize()
    try store.log.partitions[0].writeMark()
    _ = try follower.refresh()
    #expect(follower.snapshot(of: 0).highWatermark == 7)
  }

  /// A crash kept the length of a longer file and not its bytes; a follower that looked only where
  /// a file had grown saw nothing of what was written into that room.
  @Test("What is written into a file that does not grow is seen")
  func withinLength() throws {
    let fileSystem = MemoryFileSystem()
    try SimulatedStore.create(on: fileSystem, partitionCount: 1, seed: 1)
    let first = try SimulatedStore.open(on: fileSystem, segmentSize: 64 << 10, seed: 1)
    try first.append(0..<3, to: 0)
    try first.log.close()
    let path = first.log.partitions[0].snapshot.segments[0].path
    try fileSystem.open(path, .readWrite).truncate(to: ByteCount(16 << 10))
    let store = try SimulatedStore.open(on: fileSystem, segmentSize: 64 << 10, seed: 2)
    let follower = try LogFollower.open(
      at: SimulatedStore.root, environment: SimulatedStore.environment(fileSystem, seed: 3)
    ) { _ in [:] }
    for end in [5, 8] as [UInt64] {
      try store.append(follower.snapshot(of: 0).highWatermark..<end, to: 0)
      _ = try store.log.partitions[0].synchronize()
      try store.log.partitions[0].writeMark()
      _ = try follower.refresh()
      #expect(follower.snapshot(of: 0).highWatermark == end)
    }
  }

  /// The follower had read zeros where a frame was written then, and found the next frame, which
  /// says that everything before it is durable: what was there was called damaged.
  @Test("A frame that is written between two reads of a follower is not missing (I4, I14)")
  func betweenReads() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem)
    try store.append(0..<3)
    let path = try #require(store.partition.snapshot.segments.last?.path)
    // As where zeros were written ahead: what comes does not make the file grow.
    try fileSystem.open(path, .readWrite).truncate(to: ByteCount(64 << 10))
    let observed = ObservedFileSystem(fileSystem)
    let size = store.partition.snapshot.activeEnd
    observed.afterNextRead(of: path, at: FilePosition(FileHeader.size)) {
      // More than the follower reads at once.
      try? store.append(3..<203)
      try? store.write(203..<206)
    }
    let follower = try LogFollower.open(
      at: TestStore.root, environment: TestStore.environment(observed, seed: 9)
    ) { (_) throws(CommitLogFailure) in [:] }
    #expect(store.partition.snapshot.activeEnd > size + (4 << 10))
    let snapshot = follower.snapshot(of: 0)
    #expect(snapshot.highWatermark == 203)
    let cursor = BatchCursor(from: 0, mappings: follower.mappings, fileSystem: observed) {
      snapshot
    }
    let contents = try PartitionContents(cursor)
    #expect(contents.gaps == [])
    #expect(contents.serials == Array(0..<203))
  }
}
