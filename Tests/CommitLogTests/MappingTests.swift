import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Sealed segments are read through maps: few of them, and checked on first touch.
@Suite struct MappingTests {
  @Test("However many segments are read, the maps that are held are bounded (I13)")
  func boundedMaps() throws {
    let fileSystem = ObservedFileSystem(MemoryFileSystem())
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem, segmentSize: 1_024)
    var serial: UInt64 = 0
    while store.partition.snapshot.segments.count < 2 * MappingCache.countMax {
      try store.append(serial..<serial + 4)
      serial += 4
    }
    #expect(fileSystem.mappingCount == 0)
    let contents = try store.read()
    #expect(contents.serials == Array(0..<serial) && contents.wrong == nil)
    #expect(fileSystem.mappingCount <= MappingCache.countMax)
    #expect(fileSystem.mappingCount > 1)
  }

  @Test("A mapped file that somebody cuts under the reader is an error, not a signal")
  func truncatedFile() throws {
    try withTemporaryFolder { folder in
      let fileSystem = SystemFileSystem()
      let root = folder.appending("store")
      try TestStore.create(on: fileSystem, at: root)
      let store = try TestStore.open(on: fileSystem, at: root, segmentSize: 512 << 10)
      var seed: UInt64 = 0
      while store.partition.snapshot.segments.count < 2 {
        try store.append(bodySize: 60 << 10, seed: seed)
        seed += 1
      }
      let sealed = try #require(store.partition.snapshot.segments.first)
      let cursor = store.cursor()
      guard case .batch = try cursor.read() else {
        Issue.record("nothing to read")
        return
      }
      try fileSystem.open(sealed.path, .readWrite).truncate(to: ByteCount(4_096))
      var failure: CommitLogFailure?
      do throws(CommitLogFailure) {
        while try cursor.read() != nil {}
      } catch {
        failure = error
      }
      guard case .unreadable(let place) = failure else {
        Issue.record("\(String(describing: failure))")
        return
      }
      #expect(place.cause == IOFailure(.mappedRead, sealed.path, .ioError))
      #expect(place.path == sealed.path && place.filePosition ?? 0 > 0 && place.number == 1)
      // The rest of the store is as it was.
      guard case .batch(let batch, _) = try store.cursor(from: seed - 1).read() else {
        Issue.record("the active segment cannot be read")
        return
      }
      #expect(batch.header.nextNumber == seed)
      try store.append(bodySize: 100, seed: seed)
    }
  }

  @Test("Whatever byte of a sealed segment is damaged, its batch is a gap or what it was")
  func damagedSealedSegment() throws {
    let memory = MemoryFileSystem()
    try TestStore.create(on: memory)
    let writer = try TestStore.open(on: memory, segmentSize: 1_024)
    var serial: UInt64 = 0
    while writer.partition.snapshot.segments.count < 2 {
      try writer.append(serial..<serial + 1)
      serial += 1
    }
    let sealed = try StoreImage(memory).segment(0)
    let file = try memory.open(sealed.path, .readWrite)
    let snapshot = writer.partition.snapshot
    for position in sealed.bytes.indices {
      var byte = ByteBuffer(capacity: 1)
      byte.append(sealed.bytes[position] ^ 0x41)
      try byte.withBytes { try file.write($0, at: FilePosition(position)) }
      // Maps of their own, that nobody has touched before.
      let contents = try PartitionContents(
        BatchCursor(from: 0, mappings: MappingCache(memory), fileSystem: memory) { snapshot })
      var seen = Set(contents.serials)
      for gap in contents.gaps { seen.formUnion(gap.first.value..<gap.next.value) }
      #expect(seen == Set(0..<serial), "byte \(position)")
      #expect(contents.wrong == nil && contents.gaps.count <= 1, "byte \(position)")
      byte.store(sealed.bytes[position], at: 0)
      try byte.withBytes { try file.write($0, at: FilePosition(position)) }
    }
  }
}
