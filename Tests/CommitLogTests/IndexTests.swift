import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// An index may vanish or lie at any time: it is never believed over the log (I6).
@Suite struct IndexTests {
  private static let batchCount: UInt64 = 40

  /// Three segments of batches of 32 KiB, one event each, closed.
  private static func closedStore() throws -> StoreImage {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem, segmentSize: 600 << 10)
    for seed in 0..<batchCount { try store.append(bodySize: 32 << 10, seed: seed) }
    try store.log.close()
    return StoreImage(fileSystem)
  }

  enum Damage: CaseIterable, Sendable {
    case deleted, empty, header, halfEntry, zeros, garbage, flipped, otherSegment, swapped, huge
  }

  private func damaged(_ bytes: [UInt8], _ other: [UInt8], _ damage: Damage) -> [UInt8]? {
    var bytes = bytes
    let entries = FileHeader.size..<bytes.count
    switch damage {
    case .deleted: return nil
    case .empty: return []
    case .header: return Array(bytes[..<FileHeader.size])
    case .halfEntry: return Array(bytes[..<(bytes.count - 30)])
    case .zeros: bytes.replaceSubrange(entries, with: Array(repeating: 0, count: entries.count))
    case .garbage:
      var random = SeededRandom(seed: 7)
      return random.bytes(bytes.count)
    case .flipped:
      for position in stride(from: FileHeader.size, to: bytes.count, by: 64) {
        bytes[position + position / 64 % 64] ^= 1
      }
    case .otherSegment: return other
    case .swapped:
      let first = Array(bytes[FileHeader.size..<FileHeader.size + 64])
      bytes.replaceSubrange(FileHeader.size..<FileHeader.size + 64, with: bytes.suffix(64))
      bytes.replaceSubrange(bytes.count - 64..<bytes.count, with: first)
    case .huge: bytes += Array(repeating: 0xff, count: 40 << 20)
    }
    return bytes
  }

  @Test("The same events are read whatever has become of the indexes", arguments: Damage.allCases)
  func damaged(_ damage: Damage) throws {
    let original = try Self.closedStore()
    var image = original
    let paths = original.files.keys.filter { $0.string.hasSuffix(".index") }
      .sorted { $0.string < $1.string }
    try #require(paths.count == 3)
    for (number, path) in paths.enumerated() {
      let other = original.files[paths[(number + 1) % paths.count]] ?? []
      image.files[path] = damaged(original.files[path] ?? [], other, damage)
    }
    let memory = image.memory()
    let fileSystem = ObservedFileSystem(memory)
    let store = try TestStore.open(on: fileSystem, segmentSize: 600 << 10, seed: 3)
    #expect(store.partition.report.isClean)
    // A length on the disk is no reason to read without bound.
    #expect(fileSystem.bytesRead < 20 << 20)
    let counts = try store.count()
    #expect(counts.events == Self.batchCount && counts.missing == 0)
    for number in stride(from: 0, to: Self.batchCount, by: 7) {
      guard case .batch(let batch, _) = try store.cursor(from: number).read() else {
        Issue.record("nothing at \(number)")
        continue
      }
      #expect(batch.header.baseNumber == number)
    }
    try store.append(bodySize: 100, seed: 99)
    #expect(try store.count().events == Self.batchCount + 1)
  }

  @Test("The index of the active segment is rebuilt from the frames that opening scans")
  func rebuilt() throws {
    let original = try Self.closedStore()
    let path = try #require(
      original.files.keys.filter { $0.string.hasSuffix(".index") }.max { $0.string < $1.string })
    // A writer that was killed: nothing but the log itself tells where batches are.
    var fileSystem = original.memory()
    _ = try TestStore.open(on: fileSystem, segmentSize: 600 << 10, seed: 3)
    var image = StoreImage(fileSystem)
    image.files[path] = nil
    fileSystem = image.memory()
    let store = try TestStore.open(on: fileSystem, segmentSize: 600 << 10, seed: 4)
    try store.log.close()
    #expect(StoreImage(fileSystem).files[path] == original.files[path])
  }

  /// A store whose writer was killed behind a clean close, and where the entries of the active
  /// segment's index point to.
  private static func killedStore() throws -> (image: StoreImage, positions: [Int]) {
    let fileSystem = try closedStore().memory()
    let store = try TestStore.open(on: fileSystem, segmentSize: 600 << 10, seed: 3)
    try store.append(bodySize: 100, seed: 99)
    let image = StoreImage(fileSystem)
    let segment = try image.segment()
    let added = try #require(store.partition.snapshot.segments.last?.added)
    let bytes = try #require(image.files[store.log.context.indexPath(added)])
    let starts = stride(from: FileHeader.size, to: bytes.count, by: IndexEntry.size)
    let entries = try starts.compactMap { start in
      try IndexEntry(
        decoding: Array(bytes[start..<start + IndexEntry.size]).span.bytes,
        identity: segment.identity, at: FilePosition(start))
    }
    try #require(entries.count > 2)
    return (image, entries.map { Int($0.position) })
  }

  /// Taken for damage, its batch and all behind it would have been cut.
  @Test(
    "A batch of an unknown codec stops writers, whether the index points to it or not",
    arguments: [true, false])
  func unknownCodec(_ isIndexed: Bool) throws {
    var (image, positions) = try Self.killedStore()
    var segment = try image.segment()
    let indexed = try #require(positions.last)
    let other = try #require(segment.frames.last { $0.header.recordCount > 0 })
    try #require(other.position > indexed)
    let position = isIndexed ? indexed : other.position
    let codec: UInt8 = 77
    segment.bytes[position + 9] = codec
    let header = segment.bytes[position..<position + FrameHeader.size]
    let seed = segment.identity.seed(at: FilePosition(position))
    let checksum = FrameHeader.checksum(Array(header).span.bytes, seed: seed)
    for index in 0..<4 {
      segment.bytes[position + 4 + index] = UInt8(truncatingIfNeeded: checksum >> (8 * index))
    }
    image.put(segment)
    let fileSystem = image.memory()
    do throws(CommitLogFailure) {
      _ = try TestStore.open(on: fileSystem, segmentSize: 600 << 10, seed: 4)
      Issue.record("it was opened")
    } catch {
      guard case .format(segment.path, _, .unsupportedFeatures(UInt32(codec))) = error else {
        throw error
      }
    }
    #expect(StoreImage(fileSystem).withoutLock.files == image.withoutLock.files)
  }

  @Test("An index that points behind what is left of a file that becomes shorter is passed over")
  func shrinking() throws {
    let (image, positions) = try Self.killedStore()
    let segment = try image.segment()
    let size = try #require(positions.last) + 10
    var shorter = image
    shorter.files[segment.path]?.removeSubrange(size...)
    let expected = try TestStore.open(on: shorter.memory(), segmentSize: 600 << 10, seed: 4)
    let memory = image.memory()
    let fileSystem = ObservedFileSystem(memory)
    fileSystem.afterNextRead(of: segment.path, at: .start) {
      do {
        try memory.open(segment.path, .readWrite).truncate(to: ByteCount(size))
      } catch {
        Issue.record("\(error)")
      }
    }
    let store = try TestStore.open(on: fileSystem, segmentSize: 600 << 10, seed: 4)
    #expect(try store.count() == expected.count())
    #expect(store.partition.report == expected.partition.report)
  }
}
