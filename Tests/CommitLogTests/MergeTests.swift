import BlockCompression
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

import CommitLog

/// Sealed segments of small batches, written anew.
@Suite("Merging small batches")
struct MergeTests {
  private struct Seen: Hashable {
    let number: UInt64
    let event: Event
    let time: Timestamp
  }

  private let disk = MemoryFileSystem()
  private let store: SimulatedStore
  private var partition: PartitionLog { store.log.partitions[0] }

  init() throws {
    try SimulatedStore.create(on: disk, partitionCount: 1, seed: 1)
    store = try SimulatedStore.open(on: disk, segmentSize: 1 << 20, seed: 1)
  }

  /// Writes batches of one event each, with everything an event can have.
  private func appendOneByOne(_ count: Int) throws {
    for number in 0..<count {
      let encoder = BatchEncoder(targetSize: 4 << 10)
      let body = Array("reading \(number)".utf8)
      encoder.append(
        from: .init(stringLiteral: number % 3 == 0 ? "a" : "b-\(number % 7)"),
        body: body.span.bytes,
        properties: number % 2 == 0 ? ["unit": "C", "n": "\(number % 5)"] : .empty,
        at: Int64(number) * 1_000)
      if number % 4 == 0 {
        var system = SystemProperties.empty
        system[.messageID] = "m-\(number)"
        system[.contentType] = "text/plain"
        encoder.setSystemProperties(system)
      }
      _ = try partition.write(encoder)
    }
  }

  private func events(_ snapshot: LogSnapshot, from number: UInt64 = 0) throws -> [Seen] {
    let cursor = BatchCursor(
      from: number, mappings: store.log.mappings, fileSystem: disk
    ) { snapshot }
    return try events(cursor)
  }

  private func events(_ cursor: BatchCursor) throws -> [Seen] {
    let decompressor = BatchDecompressor()
    var seen: [Seen] = []
    while let item = try cursor.read() {
      guard case .batch(let stored, let first) = item else {
        Issue.record("\(item)")
        continue
      }
      let batch = try stored.decode(with: decompressor)
      for index in first..<batch.count {
        var event = Event(
          from: batch.withDeviceID(at: index) { .init(trusted: $0) },
          body: batch.withBody(at: index) { Payload(copying: $0) },
          properties: batch.properties(at: index))
        event.systemProperties = batch.systemProperties(at: index)
        seen.append(
          Seen(
            number: batch.baseOffset + UInt64(index), event: event, time: batch.time(at: index)))
      }
    }
    return seen
  }

  @Test("Merging changes nothing but the number of batches")
  func sameEvents() throws {
    try appendOneByOne(500)
    try partition.sealActive()
    try appendOneByOne(3)
    _ = try partition.synchronize()
    let before = try events(partition.snapshot)
    let old = partition.snapshot.segments[0]
    #expect(before.count == 503)
    #expect(try partition.mergeSmallBatches(store.log.mappings))
    #expect(try !partition.mergeSmallBatches(store.log.mappings), "once is enough")
    let merged = partition.snapshot.segments[0]
    #expect(merged.added.segmentID > old.added.segmentID)
    #expect(try #require(merged.summary).batchCount < 20)
    #expect(merged.summary?.recordCount == 500)
    #expect(merged.summary?.eventSize == old.summary?.eventSize)
    #expect(try events(partition.snapshot) == before)
    #expect(try disk.kind(of: old.path) == nil)
    for number in [1, 77, 499, 500, 502] as [UInt64] {
      #expect(try events(partition.snapshot, from: number) == Array(before[Int(number)...]))
    }
    // Also after the manifest was read again.
    try store.log.close()
    let again = try SimulatedStore.open(on: disk, segmentSize: 1 << 20, seed: 2)
    let snapshot = again.log.partitions[0].snapshot
    #expect(snapshot.segments[0].added == merged.added)
    #expect(try events(snapshot) == before)
  }

  @Test("A reader in the middle of the old segment goes on in the new one")
  func midway() throws {
    try appendOneByOne(200)
    try partition.sealActive()
    let expected = try events(partition.snapshot)
    let partition = partition
    let cursor = BatchCursor(
      from: 0, mappings: store.log.mappings, fileSystem: disk
    ) { partition.snapshot }
    for _ in 0..<50 { _ = try cursor.read() }
    let stale = partition.snapshot
    #expect(try partition.mergeSmallBatches(store.log.mappings))
    #expect(try events(cursor) == Array(expected[50...]))
    // Whoever pinned the old snapshot and had not opened the file yet looks again.
    let late = BatchCursor(
      from: 20, mappings: MappingCache(disk), fileSystem: disk,
      source: Stale(stale, partition).next)
    #expect(try events(late) == Array(expected[20...]))
  }

  @Test("A segment with damage stays as it is")
  func damaged() throws {
    try appendOneByOne(50)
    try partition.sealActive()
    let path = partition.snapshot.segments[0].path
    let file = try disk.open(path, .readWrite)
    // The base number of the second frame.
    try file.write([0xff].span.bytes, at: FilePosition(FileHeader.size + 128 + 17))
    #expect(try partition.mergeSmallBatches(store.log.mappings))
    #expect(partition.snapshot.segments[0].path == path)
    #expect(try disk.kind(of: path) == .file)
    let files = try disk.list(path.removingLastComponent())
    #expect(files.count { $0.name.hasSuffix(".segment") } == 2)
  }

  @Test("Large batches are left alone")
  func largeBatches() throws {
    for _ in 0..<5 {
      let encoder = BatchEncoder(targetSize: 4 << 10)
      let body = [UInt8](repeating: 7, count: 1_500)
      for _ in 0..<2 {
        encoder.append(from: "d", body: body.span.bytes, properties: .empty, at: 1)
      }
      _ = try partition.write(encoder)
    }
    try partition.sealActive()
    #expect(try !partition.mergeSmallBatches(store.log.mappings))
  }
}

/// Gives an old snapshot once, then what is.
private final class Stale: @unchecked Sendable {
  private var first: LogSnapshot?
  private let partition: PartitionLog

  init(_ first: LogSnapshot, _ partition: PartitionLog) {
    self.first = first
    self.partition = partition
  }

  @Sendable func next() -> LogSnapshot { first.take() ?? partition.snapshot }
}
