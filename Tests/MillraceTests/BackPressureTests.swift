import EventModel
import Millrace
import SimulationKit
import StorageIO
import Testing

@Suite("When memory is full")
struct BackPressureTests {
  private static let body = Payload([UInt8](repeating: 1, count: Limits.eventSizeMax))
  private static let configuration = EventStore.Configuration(
    partitionCount: 1, compression: CompressionCodec.none, bufferSize: .mebibytes(4))

  /// Appends as a task until the store makes it wait on a disk that stands still.
  private func fill(
    _ store: EventStore, _ count: Int, _ accepted: Counter
  ) -> Task<Void, any Error> {
    Task {
      for _ in 0..<count {
        try await store.append(Event(from: "d", body: Self.body), durability: .buffered)
        accepted.add()
      }
    }
  }

  @Test("Appends wait while the disk stands still; cooperative threads do not (I13)")
  func stalled() async throws {
    let disk = ControlledDisk(MemoryFileSystem())
    let store = try await disk.openStore(Self.configuration)
    disk.control.hold(.write)
    let accepted = Counter()
    // More producers than cooperative threads: were one blocked, the test could not go on.
    let producers = (0..<16).map { _ in fill(store, 10, accepted) }
    let blocked = onThread { () -> UInt64 in
      var appender = store.makeAppender()
      for _ in 0..<20 { try appender.append(Event(from: "d", body: Self.body)) }
      try appender.synchronize()
      return 20
    }
    await disk.control.untilHeld(.write)
    for _ in 0..<1_000 { await Task.yield() }
    // Sixteen events of 256 KiB fill 4 MiB; the batch that fills it up and a little may go over.
    #expect(accepted.value <= 18)
    disk.control.release()
    for producer in producers { try await producer.value }
    #expect(try await blocked.value == 20)
    #expect(accepted.value == 16 * 10)
    try await store.close()
  }

  @Test(
    "What a producer lays out while it waits is written in its turn, also over a full disk (I9)")
  func laidOutAhead() async throws {
    let simulated = SimulatedDisk()
    let disk = ControlledDisk(simulated)
    let store = try await disk.openStore(
      .init(partitionCount: 1, batchSize: .kibibytes(4), bufferSize: .kibibytes(256)))
    let count = 1_000
    // The first flush stands still until the producer has nothing left to do but to wait.
    disk.control.hold(.write)
    let producer = onThread {
      var appender = store.makeAppender()
      for number in 0..<count {
        let body = Array("\(number) \(String(repeating: "x", count: 1_000))".utf8)
        try insist { () throws(EventStoreError) in try appender.append(from: "d", body: body) }
      }
      try insist { () throws(EventStoreError) in try appender.synchronize() }
    }
    await disk.control.untilHeld(.write)
    for _ in 0..<1_000 { await Task.yield() }
    // Then every second write finds no room.
    simulated.plan = FaultPlan(
      failures: stride(from: 2, through: 100, by: 2).map {
        .init(.call(.write, pathSuffix: ".segment", nth: $0), .noSpace)
      })
    disk.control.release()
    try await producer.value
    let texts = try await store.texts().map { $0.prefix { $0 != " " } }
    #expect(texts == (0..<count).map { Substring("\($0)") })
    #expect(simulated.failureCount > 0)
    try await store.close()
  }

  @Test(
    "What an appender lays out for others to write keeps it from nothing: memory has to be full")
  func helping() async throws {
    let disk = ControlledDisk(MemoryFileSystem())
    let store = try await disk.openStore(.init(partitionCount: 1, batchSize: .kibibytes(16)))
    let count = 5_000
    disk.control.hold(.write)
    // 5 MB: more than is left to the store's own threads, less than may wait in memory.
    let producer = onThread {
      var appender = store.makeAppender()
      for number in 0..<count {
        let body = Array("\(number) \(String(repeating: "x", count: 1_000))".utf8)
        try appender.append(from: "d", body: body)
      }
    }
    try await producer.value
    await disk.control.untilHeld(.write)
    disk.control.release()
    let last = LogPosition(partition: 0, offset: Offset(UInt64(count - 1)))
    try await store.durable(upTo: last)
    let texts = try await store.texts().map { $0.prefix { $0 != " " } }
    #expect(texts == (0..<count).map { Substring("\($0)") })
    try await store.close()
  }

  @Test("A cancelled append ends like any other: its outcome is never in doubt")
  func cancelledAppend() async throws {
    let disk = ControlledDisk(MemoryFileSystem())
    let store = try await disk.openStore(Self.configuration)
    disk.control.hold(.write)
    let accepted = Counter()
    let waitingForRoom = fill(store, 40, accepted)
    await disk.control.untilHeld(.write)
    let waitingForSync = Task {
      try await store.append(Event(from: "d", body: "durable"))
    }
    waitingForRoom.cancel()
    waitingForSync.cancel()
    disk.control.release()
    try await waitingForRoom.value
    let position = try await waitingForSync.value
    #expect(try store.offsets(in: 0).upperBound > position.offset)
    try await store.close()
    let again = try await disk.openStore(access: .readWrite)
    #expect(try await again.texts().count == 41)
    try await again.close()
  }

  @Test("A reader that is cancelled at the tail ends, and can be asked again")
  func cancelledReader() async throws {
    let store = try await MemoryFileSystem().openStore()
    try await store.append(0..<3)
    let reader = Task {
      var texts: [String] = []
      var batches = store.batches(in: 0).makeAsyncIterator()
      while let batch = try await batches.next() { texts += batch.map(\.text) }
      // Cancelled: what is there is given out all the same, waiting is over.
      #expect(try await batches.next() == nil)
      return texts
    }
    try await store.untilReadable(2)
    reader.cancel()
    #expect(try await reader.value == ["0", "1", "2"])
    // Many at once, cancelled while they come to wait: none is forgotten, none resumed twice.
    let readers = (0..<200).map { _ in
      Task { for try await _ in store.batches(in: 0, from: .latest) {} }
    }
    for reader in readers { reader.cancel() }
    for reader in readers { try await reader.value }
    try await store.append(3..<4)
    try await store.close()
  }

  @Test("Readers that wait at the tail end when the store is closed")
  func closedAtTail() async throws {
    let store = try await MemoryFileSystem().openStore(.init(partitionCount: 4))
    let readers = store.partitions.map { partition in
      Task { try await store.texts(of: store.batches(in: partition, from: .latest)) }
    }
    try await store.append(0..<1)
    try await store.close()
    for reader in readers {
      do {
        #expect(try await reader.value.count <= 1)
      } catch let error as EventStoreError {
        // It had not come to the tail yet.
        #expect(error.code == .closed)
      }
    }
  }

  /// Opens the store as soon as the last thread has let go of the one before.
  private func reopen(_ disk: MemoryFileSystem) async throws -> EventStore {
    while true {
      do throws(EventStoreError) {
        return try await disk.openStore(.init(partitionCount: 1, batchSize: .kibibytes(4)))
      } catch {
        guard error.code == .locked else { throw error }
        await Task.yield()
      }
    }
  }

  @Test("A store that is let go while readers are under way ends its threads and nothing else")
  func abandoned() async throws {
    let disk = MemoryFileSystem()
    for round in 0..<20 {
      var store: EventStore? = try await reopen(disk)
      try await store?.append(round * 100..<(round + 1) * 100)
      var batches = store?.batches(in: 0).makeAsyncIterator()
      _ = try await batches?.next()
      if round % 2 == 0 { batches = nil }
      store = nil
    }
    let store = try await reopen(disk)
    #expect(try await store.texts() == (0..<2_000).map(String.init))
    try await store.close()
  }
}

/// Does something again until the disk has room for it.
private func insist(_ body: () throws(EventStoreError) -> Void) throws(EventStoreError) {
  while true {
    do throws(EventStoreError) {
      return try body()
    } catch {
      guard error.code == .storageFull else { throw error }
    }
  }
}
