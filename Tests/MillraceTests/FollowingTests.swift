import EventModel
import Millrace
import StorageIO
import Testing

@Suite("A store that another one writes")
struct FollowingTests {
  private static let small = EventStore.Configuration(
    partitionCount: 2, segmentSize: .kibibytes(64), compression: CompressionCodec.none,
    batchSize: .kibibytes(4))

  @Test("A follower sees every event while the writer rolls and closes and comes back (I14)")
  func follow() async throws {
    let disk = MemoryFileSystem()
    var writer = try await disk.openStore(Self.small)
    let reader = try await disk.openStore(access: .readOnly)
    let devices = try writer.partitions.map { try writer.device(in: $0) }
    let count = 900
    let readers = writer.partitions.map { partition in
      Task {
        var numbers: [Int] = []
        for try await batch in reader.batches(in: partition) {
          try #require(batch.gap == nil)
          numbers += batch.compactMap { Int($0.text.prefix { $0 != "." }) }
          if numbers.count >= count { break }
        }
        return numbers
      }
    }
    let filler = String(repeating: ".", count: 200)
    for number in 0..<count {
      for device in devices {
        try await writer.append(
          Event(from: device, body: Payload("\(number)\(filler)")),
          durability: number % 40 == 0 ? .durable : .buffered)
      }
      if number % 300 == 299 {
        try await writer.close()
        writer = try await disk.openStore(Self.small, access: .readWrite)
      }
    }
    for task in readers { #expect(try await task.value == Array(0..<count)) }
    try await writer.close()
    try await reader.close()
  }

  @Test("A store open for reading sees what came since, without following")
  func lookAgain() async throws {
    let disk = MemoryFileSystem()
    let writer = try await disk.openStore()
    let reader = try await disk.openStore(access: .readOnly)
    #expect(try await reader.texts() == [])
    try await writer.append(0..<10)
    let group = try await writer.consumerGroup("g")
    try await group.commit(Checkpoint(partition: 0, next: 4))
    // Closing writes where the log ends, so that nothing has to be waited for.
    try await writer.close()
    #expect(try await reader.texts() == (0..<10).map(String.init))
    #expect(try reader.offsets(in: 0).upperBound == 10)
    let seen = try await reader.consumerGroup("g")
    #expect(seen.checkpoint(in: 0)?.next == 4)
    #expect(try await seen.lag(in: 0).events == 6)
    #expect(try await reader.texts(of: seen.batches(in: 0, until: .highWatermark)).first == "4")

    let next = try await disk.openStore(access: .readWrite)
    try await next.append(10..<12)
    try await next.consumerGroup("g").commit(Checkpoint(partition: 0, next: 8))
    try await next.close()
    #expect(try await seen.lag(in: 0).events == 4)
    #expect(try await reader.texts(of: seen.batches(in: 0, until: .highWatermark)).first == "8")
    try await reader.close()
  }

  /// Who looked first took the news away from those who waited.
  @Test("What one reader finds out wakes those who wait")
  func sharedNews() async throws {
    let disk = MemoryFileSystem()
    try await disk.openStore().close()
    let reader = try await disk.openStore(access: .readOnly)
    for number in 0..<10 {
      let waiting = Task {
        for try await batch in reader.batches(in: 0, from: .offset(Offset(UInt64(number)))) {
          return batch.first?.text
        }
        return nil
      }
      await Task.yield()
      let writer = try await disk.openStore(access: .readWrite)
      try await writer.append(number..<number + 1)
      try await writer.close()
      while try await reader.texts().count == number {}
      #expect(try await waiting.value == "\(number)")
    }
    try await reader.close()
  }

  @Test("A store open for reading changes nothing and says why not")
  func readOnly() async throws {
    let disk = MemoryFileSystem()
    let writer = try await disk.openStore()
    try await writer.append(0..<3)
    try await writer.close()
    let before = disk.image
    let store = try await disk.openStore(access: .readOnly)
    let position = LogPosition(partition: 0, offset: 0)
    let group = try await store.consumerGroup(.standard)
    for refused in [
      await failure { try await store.append(3..<4) },
      await failure { try await store.durable(upTo: position) },
      await failure { try await group.commit(Checkpoint(partition: 0, next: 1)) },
      await failure { try await group.reset(to: .latest) },
      await failure { try await store.deleteConsumerGroup("g") },
    ] {
      #expect(refused?.code == .readOnly)
    }
    #expect(await failure { try await store.consumerGroup("g") }?.code == .unknownGroup)
    var appender = store.makeAppender()
    do throws(EventStoreError) {
      try appender.append(from: "d", body: [1])
      Issue.record("a store open for reading took an event in")
    } catch {
      #expect(error.code == .readOnly)
    }
    try await appender.durable()
    #expect(try await store.texts() == ["0", "1", "2"])
    try await store.close()
    #expect(
      await failure { try await store.texts(of: store.batches(in: 0)).count }?.code == .closed)
    #expect(disk.image == before)
  }
}
