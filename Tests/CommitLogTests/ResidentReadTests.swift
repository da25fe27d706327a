import CommitLog
import EventModel
import SimulationKit
import StorageIO
import Testing

/// Reading that waits for no disk: the same as reading, or nothing at all.
@Suite("Reading what is in memory") struct ResidentReadTests {
  private let observed = ObservedFileSystem(MemoryFileSystem())

  /// A store of some segments, the last one active, and a footer or an index for the others.
  private func filled() throws -> TestStore {
    try TestStore.create(on: observed)
    let store = try TestStore.open(on: observed, segmentSize: 4_096)
    for serial in 0..<60 as Range<UInt64> { try store.append(serial * 3..<serial * 3 + 3) }
    try #require(store.partition.snapshot.segments.count > 2)
    return store
  }

  private func first(_ item: CursorItem?) -> UInt64? {
    guard case .batch(let batch, let index) = item else { return nil }
    return batch.header.baseNumber + UInt64(index)
  }

  @Test("A cursor gives what is in memory, gives nothing where it may wait, and goes on the same")
  func cursor() throws {
    let store = try filled()
    let numbers = Array(0..<180 as Range<UInt64>)
    try #require(try store.read().serials == numbers)
    for start in [0, 1, 100, 178, 179] as [UInt64] {
      let cursor = store.cursor(from: start)
      var next = start
      var (turn, residentCount) = (0, 0)
      while next < 180 {
        observed.isCold = turn % 2 == 1
        turn += 1
        let resident = cursor.readResident()
        residentCount += resident == nil ? 0 : 1
        if resident == nil { #expect(cursor.next == next) }
        #expect(first(try resident ?? cursor.read()) == next)
        next = cursor.next
      }
      observed.isCold = false
      #expect(residentCount > 0)
      // At the tail there is nothing to wait for.
      #expect(cursor.readResident().map { $0 == nil } == true)
    }
  }

  @Test("The active segment's bytes are asked for, and only where they are in memory")
  func active() throws {
    let store = try filled()
    let cursor = store.cursor(from: 179)
    observed.isCold = true
    #expect(cursor.readResident() == nil)
    let time = try #require(store.partition.lastTime)
    func find() throws(CommitLogFailure) -> UInt64 {
      try TimeSearch.find(
        atOrAfter: time, in: store.partition.snapshot, mappings: store.log.mappings,
        fileSystem: observed, waits: false
      ).number
    }
    let path = try #require(store.partition.snapshot.segments.last?.path)
    #expect(throws: CommitLogFailure.io(.mightWait(for: path))) { try find() }
    observed.isCold = false
    #expect(first(cursor.readResident() ?? nil) == 179)
    #expect(try (177...179).contains(find()))
  }
}
