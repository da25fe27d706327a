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
}
