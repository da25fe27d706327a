import EventModel
import Millrace
import SimulationKit
import StorageIO
import Testing

@Suite("How long an append waits")
struct DurabilityTests {
  @Test("Buffered returns at once, written after the write, durable after the sync")
  func levels() async throws {
    let disk = ControlledDisk(MemoryFileSystem())
    let store = try await disk.openStore()
    // Behind the first write, so that nothing of opening is left to be done.
    try await store.append(0..<1)
    disk.control.hold(.write, .sync)
    try await store.append(1..<2, durability: .buffered)
    #expect(try store.offsets(in: 0).upperBound == 1)

    let wrote = Flag()
    let writer = Task {
      try await store.append(2..<3, durability: .written)
      wrote.raise()
    }
    await disk.control.untilHeld(.write)
    #expect(!wrote.isRaised)
    disk.control.release()
    try await writer.value

    disk.control.hold(.sync)
    let synced = Flag()
    let before = disk.control.finished
    let syncer = Task {
      let position = try await store.append(Event(from: "d", body: "3"))
      synced.raise()
      return position
    }
    await disk.control.untilHeld(.sync)
    // Written events do not wait for the sync that is under way.
    try await store.append(4..<5, durability: .written)
    #expect(disk.control.finished.dropFirst(before.count).contains(.write))
    #expect(!synced.isRaised)
    disk.control.release()
    let position = try await syncer.value
    #expect(position == LogPosition(partition: 0, offset: 3))
    #expect(try store.offsets(in: 0).upperBound > 3)
    #expect(disk.control.overlappingSyncsMax == 1)
    try await store.close()
  }

  @Test(
    "An event that nobody waits for becomes readable by itself",
    arguments: [
      Durability.written, .buffered,
    ])
  func background(durability: Durability) async throws {
    let store = try await MemoryFileSystem().openStore()
    try await store.append(0..<1, durability: durability)
    try await store.untilReadable(0)
    // And again, once everything has come to rest.
    try await store.append(1..<2, durability: durability)
    try await store.untilReadable(1)
    try await store.close()
  }

  @Test("A trickle of written events is synced while it goes on, long before much has gathered")
  func trickle() async throws {
    let disk = ControlledDisk(MemoryFileSystem())
    let store = try await disk.openStore()
    var count = 0
    // So many small frames stay below the size at which a sync begins by itself.
    while try store.offsets(in: 0).isEmpty, count < 20_000 {
      try await store.append(count..<count + 1, durability: .written)
      count += 1
    }
    #expect(count < 20_000)
    #expect(disk.control.unsyncedSizeMax < GroupCommit.syncSize)
    try await store.close()
  }

  @Test("durable(upTo:) waits for a position, and knows which ones there are")
  func durableUpTo() async throws {
    let disk = SimulatedDisk()
    let store = try await disk.openStore(.init(partitionCount: 2))
    let device = try store.device(in: 1)
    var last = LogPosition(partition: 1, offset: 0)
    for number in 0..<50 {
      last = try await store.append(
        Event(from: device, body: Payload("\(number)")), durability: .buffered)
    }
    try await store.durable(upTo: last)
    #expect(try store.offsets(in: 1).upperBound > last.offset)
    var random = SeededRandom(seed: 1)
    let lost = disk.crashImage(using: &random, .dropAll)
    let again = try await lost.openStore(access: .readWrite)
    #expect(try await again.texts(in: 1) == (0..<50).map(String.init))
    try await again.close()

    let ahead = LogPosition(partition: 1, offset: 50)
    #expect(await failure { try await store.durable(upTo: ahead) }?.code == .invalidArgument)
    let nowhere = LogPosition(partition: 7, offset: 0)
    #expect(await failure { try await store.durable(upTo: nowhere) }?.code == .invalidArgument)
    try await store.close()
  }

  @Test(
    "The unsynced tail stays within 8 MiB, however large batches and events are",
    arguments: [
      ByteCount.kibibytes(64), .mebibytes(1),
    ])
  func tailBound(batchSize: ByteCount) async throws {
    let disk = ControlledDisk(MemoryFileSystem())
    disk.control.slowSyncs(turns: 2_000)
    let store = try await disk.openStore(
      .init(partitionCount: 1, compression: CompressionCodec.none, batchSize: batchSize))
    let body = Payload([UInt8](repeating: 7, count: Limits.eventSizeMax))
    // The bound is not kept by writing nothing ahead: while no sync returns, writing goes on.
    disk.control.hold(.sync)
    for _ in 0..<8 {
      try await store.append(Event(from: "d", body: body), durability: .written)
    }
    #expect(disk.control.unsyncedSizeMax > 1 << 20)
    disk.control.release()
    for _ in 0..<300 {
      try await store.append(Event(from: "d", body: body), durability: .buffered)
    }
    try await store.close()
    #expect(disk.control.unsyncedSizeMax <= 8 << 20)
    #expect(disk.control.overlappingSyncsMax == 1)
  }

  @Test(
    "Whatever a reader may see, a power loss at that moment leaves",
    arguments: [
      CrashStyle.dropAll, .random,
    ])
  func visibleIsDurable(style: CrashStyle) async throws {
    let seed = UInt64.random(in: 1...1_000_000)
    print("seed \(seed); put it into this test to replay its disks")
    var random = SeededRandom(seed: seed)
    let disk = SimulatedDisk()
    let configuration = EventStore.Configuration(
      partitionCount: 1, segmentSize: .kibibytes(64), batchSize: .kibibytes(4))
    let store = try await disk.openStore(configuration)
    let producer = Task {
      for number in 0..<3_000 {
        let durability = [Durability.buffered, .written, .buffered, .durable][number % 61 % 4]
        let filler = String(repeating: "x", count: number % 90)
        try await store.append(
          Event(from: "d", body: Payload("\(number):\(filler)")), durability: durability)
      }
    }
    var seen: UInt64 = 0
    var images = 0
    while seen < 3_000 {
      seen = try store.offsets(in: 0).upperBound.value
      let image = disk.crashImage(using: &random, style)
      images += 1
      guard images % 4 == 0 || seen == 3_000 else {
        await Task.yield()
        continue
      }
      let again = try await image.openStore(configuration, access: .readWrite)
      let texts = try await again.texts()
      #expect(UInt64(texts.count) >= seen)
      for (number, text) in texts.enumerated() {
        try #require(text.hasPrefix("\(number):"))
      }
      try await again.close()
      if images > 400 { break }
    }
    try await producer.value
    try await store.close()
  }
}
