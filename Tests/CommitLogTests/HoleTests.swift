import CommitLog
import EventModel
import SimulationKit
import StorageIO
import Testing

/// Damage that holds no events.
@Suite("Holes without events")
struct HoleTests {
  /// A crash tore the epoch frame of the last opening and spared the batch behind it.
  ///
  /// Recovery kept the batch, a reader from its first event met it, and one from its middle on was
  /// told that the rest of it was lost: it looked for a frame that begins no earlier.
  @Test("A reader that begins within a batch behind a hole meets its events", arguments: 0...7)
  func withinBatch(_ start: UInt64) throws {
    let fileSystem = MemoryFileSystem()
    try SimulatedStore.create(on: fileSystem, partitionCount: 1, seed: 1)
    let first = try SimulatedStore.open(on: fileSystem, segmentSize: 64 << 10, seed: 1)
    try first.append(0..<3, to: 0)
    try first.log.close()
    let end = first.log.partitions[0].snapshot.activeEnd
    let store = try SimulatedStore.open(on: fileSystem, segmentSize: 64 << 10, seed: 2)
    let partition = store.log.partitions[0]
    let epoch = end..<partition.snapshot.activeEnd
    try #require(!epoch.isEmpty)
    try store.append(3..<7, to: 0)
    _ = try partition.synchronize()
    let file = try fileSystem.open(partition.snapshot.segments[0].path, .readWrite)
    let zeros = [UInt8](repeating: 0, count: epoch.count)
    try file.write(zeros.span.bytes, at: FilePosition(epoch.lowerBound))

    let cursor = BatchCursor(
      from: start, mappings: store.log.mappings, fileSystem: fileSystem
    ) { partition.snapshot }
    let contents = try PartitionContents(cursor)
    #expect(contents.gaps == [])
    #expect(contents.serials == Array(start..<7))
  }
}
