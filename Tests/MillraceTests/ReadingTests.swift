import EventModel
import Millrace
import MillraceTesting
import SimulationKit
import StorageIO
import SystemPackage
import Testing

@Suite("Reading")
struct ReadingTests {
  private static let start = Timestamp(microseconds: 1_750_000_000_000_000)
  /// Small, so that a few hundred events take many batches and several segments.
  private static let small = EventStore.Configuration(
    partitionCount: 1, segmentSize: .kibibytes(64), compression: CompressionCodec.none,
    batchSize: .kibibytes(4))

  /// A store of events that are a second apart, over several segments.
  private func filled(
    _ disk: some FileSystem, count: Int = 2_000, size: Int = 100
  ) async throws -> EventStore {
    let clock = ManualClock(at: Self.start)
    let store = try await disk.openStore(Self.small, clock: clock)
    let filler = String(repeating: ".", count: size)
    for number in 0..<count {
      try await store.append(
        Event(from: "d", body: Payload("\(number)\(filler)")),
        durability: number == count - 1 ? .durable : .buffered)
      clock.advance(by: .seconds(1))
    }
    return store
  }

  private func numbers(_ batches: EventBatches) async throws -> [Int] {
    var numbers: [Int] = []
    for try await batch in batches {
      try #require(batch.gap == nil && !batch.isEmpty)
      let first = numbers.last.map { $0 + 1 } ?? Int(batch.offsets.lowerBound.value)
      #expect(batch.offsets.lowerBound == Offset(UInt64(first)))
      for event in batch {
        let number = try #require(Int(event.text.prefix { $0 != "." }))
        #expect(event.position.offset == Offset(UInt64(number)))
        numbers.append(number)
      }
      #expect(batch.checkpoint.next == Offset(UInt64(numbers.last ?? 0) + 1))
    }
    return numbers
  }

  @Test("Who reads a little, again and again, never waits for a reader that has stopped")
  func beginnings() async throws {
    let store = try await filled(SimulatedDisk(), count: 500)
    for round in 0..<2_000 {
      var count = 0
      let batches = store.batches(
        in: 0, from: .offset(Offset(UInt64(round % 300))), until: .highWatermark)
      for try await batch in batches {
        #expect(batch.gap == nil)
        count += 1
        if count > round % 6 { break }
      }
      #expect(count == round % 6 + 1)
    }
    try await store.close()
  }

  @Test("Every place to begin and every place to end, over batches and segments")
  func places() async throws {
    let disk = MemoryFileSystem()
    let count = 2_000
    let store = try await filled(disk, count: count)
    var random = SeededRandom(seed: 7)
    let cuts = [0, 1, 2, count - 1, count] + (0..<12).map { _ in random.below(count) }
    for first in cuts {
      let offset = Offset(UInt64(first))
      #expect(
        try await numbers(store.batches(in: 0, from: .offset(offset), until: .highWatermark))
          == Array(first..<count))
      #expect(
        try await numbers(store.batches(in: 0, until: .offset(offset))) == Array(0..<first))
      let time = Self.start.advanced(by: .seconds(first))
      #expect(
        try await numbers(store.batches(in: 0, from: .time(time), until: .highWatermark))
          == Array(first..<count))
      // Between two events: the later one.
      let between = time.advanced(by: .milliseconds(-500))
      #expect(
        try await numbers(store.batches(in: 0, from: .time(between), until: .highWatermark)).first
          == (first < count ? first : nil))
    }
    #expect(try await numbers(store.batches(in: 0, from: .latest, until: .highWatermark)) == [])
    // Ends before it begins, begins beyond the end, ends beyond the end: nothing, and no wait.
    #expect(try await numbers(store.batches(in: 0, from: .offset(9), until: .offset(3))) == [])
    let beyond = Offset(UInt64(count) + 5)
    #expect(
      try await numbers(store.batches(in: 0, from: .offset(beyond), until: .highWatermark)) == [])
    #expect(
      try await numbers(store.batches(in: 0, from: .offset(.init(1_990)), until: .offset(beyond)))
        == Array(1_990..<count))
    try await store.close()
  }

  @Test("A partition that does not exist is an error wherever it is named")
  func noPartition() async throws {
    let store = try await MemoryFileSystem().openStore()
    let group = try await store.consumerGroup(.standard)
    let nowhere = PartitionID(9)
    func first(_ batches: EventBatches) async throws(EventStoreError) -> EventBatch? {
      var iterator = batches.makeAsyncIterator()
      return try await iterator.next()
    }
    for end in [ReadEnd.never, .highWatermark, .offset(4)] {
      let read = await failure { try await first(store.batches(in: nowhere, until: end)) }
      #expect(read?.code == .invalidArgument)
      let consumed = await failure { try await first(group.batches(in: nowhere, until: end)) }
      #expect(consumed?.code == .invalidArgument)
    }
    #expect(await failure { try await group.lag(in: nowhere) }?.code == .invalidArgument)
    let commit = await failure { try await group.commit(Checkpoint(partition: nowhere, next: 0)) }
    #expect(commit?.code == .invalidArgument)
    #expect(group.checkpoint(in: nowhere) == nil)
    do throws(EventStoreError) {
      _ = try store.offsets(in: nowhere)
      Issue.record("a partition that does not exist has offsets")
    } catch {
      #expect(error.code == .invalidArgument)
    }
    try await store.close()
  }

  @Test("Readers follow the tail across rolls, each on its own")
  func follow() async throws {
    let store = try await MemoryFileSystem().openStore(Self.small)
    let count = 1_500
    let readers = (0..<3).map { reader in
      Task {
        let batches = store.batches(in: 0, until: .never)
        var numbers: [Int] = []
        for try await batch in batches {
          numbers += batch.compactMap { Int($0.text.prefix { $0 != "." }) }
          if reader == 2 { await Task.yield() }
          if numbers.count >= count { break }
        }
        return numbers
      }
    }
    let filler = String(repeating: ".", count: 120)
    for number in 0..<count {
      try await store.append(
        Event(from: "d", body: Payload("\(number)\(filler)")),
        durability: number % 50 == 0 ? .durable : .buffered)
    }
    for reader in readers { #expect(try await reader.value == Array(0..<count)) }
    try await store.close()
  }

  @Test("An iterator that is dropped anywhere leaves nothing behind that others would feel")
  func dropped() async throws {
    let store = try await filled(MemoryFileSystem(), count: 2_000)
    for taken in 0..<40 {
      var iterator = store.batches(in: 0).makeAsyncIterator()
      for _ in 0..<taken { _ = try await iterator.next() }
    }
    #expect(
      try await numbers(store.batches(in: 0, until: .highWatermark)) == Array(0..<2_000))
    try await store.close()
  }

  @Test("The bytes of properties are those of the set, each for the event that has it")
  func propertyBytes() async throws {
    let store = try await MemoryFileSystem().openStore()
    let sets: [Properties] = [
      ["unit": "C", "room": "7"], [:], ["unit": "C"], ["room": "", "å": "€"],
      ["unit": "C", "room": "7"],
    ]
    for properties in sets {
      try await store.append(Event(from: "d", body: "1", properties: properties))
    }
    var found: [[String]] = []
    for try await batch in store.batches(in: 0, until: .highWatermark) {
      for event in batch {
        var texts: [String] = []
        event.forEachProperty { (name, value) in
          for text in [Payload(copying: name), Payload(copying: value)] {
            texts.append(String(decoding: text.bytes, as: UTF8.self))
          }
        }
        #expect(texts == event.properties.flatMap { [$0.name, $0.value] })
        found.append(texts)
        // What is thrown ends the walk and comes out.
        if !event.properties.isEmpty {
          #expect(throws: CancellationError.self) {
            try event.forEachProperty { (_, _) in throw CancellationError() }
          }
        }
      }
    }
    #expect(found == sets.map { $0.flatMap { [$0.name, $0.value] } })
    try await store.close()
  }

  @Test("Views show an event's bytes where they lie, and stay valid with their batch gone")
  func views() async throws {
    let store = try await MemoryFileSystem().openStore()
    try await store.append(
      Event(
        from: "thermo-2", body: "21.5", contentType: "text/plain", messageID: "m-7",
        properties: ["unit": "C"]))
    var kept: EventView?
    for try await batch in store.batches(in: 0, until: .highWatermark) { kept = batch.first }
    try await store.close()
    let view = try #require(kept)
    #expect(view.text == "21.5" && view.bodySize == 4)
    #expect(view.deviceID == "thermo-2")
    #expect(view.withDeviceID { $0.byteCount } == 8)
    #expect(view[.contentType] == "text/plain" && view[.messageID] == "m-7")
    #expect(view[.userID] == nil)
    #expect(view.properties["unit"] == "C")
    #expect(view.event.body == "21.5")
    #expect(view.position == LogPosition(partition: 0, offset: 0))
    // The same bytes both times: looking copies nothing.
    let first = view.body.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
    let second = view.body.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
    #expect(first == second && first != 0)
  }

  @Test("Damage is a value that a consumer meets once, and goes on behind")
  func gap() async throws {
    let disk = SimulatedDisk()
    let store = try await filled(disk, count: 1_000)
    try await store.close()
    var files = disk.image
    let segments = files.keys.filter { $0.string.hasSuffix(".segment") }
      .sorted { $0.string < $1.string }
    let damaged = try #require(segments.first)
    try #require(segments.count > 1)
    // In the middle of a sealed segment: no crash makes this.
    for position in 20_000..<20_010 { files[damaged]?[position] ^= 0xff }
    let broken = SimulatedDisk(files: files, directories: disk.directories)
    let again = try await broken.openStore(Self.small, access: .readWrite)
    let group = try await again.consumerGroup("g")
    var gaps: [Gap] = []
    var numbers: [Int] = []
    for try await batch in group.batches(in: 0, until: .highWatermark) {
      if let gap = batch.gap {
        #expect(batch.isEmpty && batch.checkpoint.next == gap.next)
        gaps.append(gap)
      }
      numbers += batch.compactMap { Int($0.text.prefix { $0 != "." }) }
      try await group.commit(batch.checkpoint)
    }
    let gap = try #require(gaps.first)
    #expect(gaps.count == 1 && gap.reason == .damaged && gap.count > 0)
    let missing = Int(gap.first.value)..<Int(gap.next.value)
    #expect(numbers == (0..<1_000).filter { !missing.contains($0) })
    // Not met again from the checkpoint, and never passed over from before it.
    #expect(try await again.texts(of: group.batches(in: 0, until: .highWatermark)) == [])
    var iterator = again.batches(in: 0, from: .offset(gap.first)).makeAsyncIterator()
    #expect(try await iterator.next()?.gap?.next == gap.next)
    // Nor by who begins at the time of one of the lost.
    for lost in [missing.lowerBound + 1, missing.upperBound - 1, missing.upperBound + 1] {
      let time = Self.start.advanced(by: .seconds(lost))
      let late = again.batches(in: 0, from: .time(time), until: .highWatermark)
      var iterator = late.makeAsyncIterator()
      let first = try await iterator.next()
      if missing.contains(lost) {
        #expect(first?.gap?.first == gap.first)
      } else {
        #expect(first?.offsets.lowerBound == Offset(UInt64(lost)))
      }
    }
    try await again.close()
  }
}
