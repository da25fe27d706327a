import EventModel
import Millrace
import MillraceTesting
import StorageIO
import SystemPackage
import Testing

/// Old events go, and nobody is left in the dark about it.
@Suite("Retention")
struct RetentionTests {
  private static let start: Int64 = 1_700_000_000_000_000
  private static let second: Int64 = 1_000_000

  private func configuration(_ retention: EventStore.Retention) -> EventStore.Configuration {
    EventStore.Configuration(
      partitionCount: 1, segmentSize: .kibibytes(64), compression: CompressionCodec.none,
      retention: retention, batchSize: .kibibytes(4))
  }

  /// About ten segments of events, one a second.
  private func fill(_ store: EventStore, from first: Int = 0, count: Int = 3_000) async throws {
    var appender = store.makeAppender()
    let body = [UInt8](repeating: 7, count: 190)
    for number in first..<first + count {
      try appender.append(
        from: "device-1", body: body,
        enqueuedTime: Timestamp(microseconds: Self.start + Int64(number) * Self.second))
    }
    try await appender.durable()
  }

  private func numbers(
    _ store: EventStore, from position: ReadPosition = .earliest
  ) async throws -> (events: [UInt64], gaps: [Gap]) {
    var events: [UInt64] = []
    var gaps: [Gap] = []
    for try await batch in store.batches(
      in: store.partitions[0], from: position, until: .highWatermark)
    {
      if let gap = batch.gap { gaps.append(gap) }
      events += batch.map { $0.position.offset.value }
    }
    return (events, gaps)
  }

  @Test("By size: the oldest segments go, their space comes back, a late reader hears of it")
  func bySize() async throws {
    let storage = InMemoryStorage()
    let store = try await storage.open(configuration: configuration(.unlimited))
    try await fill(store)
    let rule = EventStore.Retention(size: .kibibytes(300))
    let plan = try await store.retain(rule, isDryRun: true)
    #expect(try await numbers(store).events == Array(0..<3_000))
    let report = try await store.retain(rule)
    #expect(report.sizeAfter <= .kibibytes(300))
    #expect(report.partitions == plan.partitions)
    let dropped = try #require(report.partitions.first)
    #expect(dropped.earliest == Offset(dropped.events))
    let first = dropped.earliest.value
    let kept = try await numbers(store)
    #expect(kept.events == Array(first..<3_000))
    #expect(kept.gaps.isEmpty, "earliest is what is still there")
    let late = try await numbers(store, from: .offset(Offset(10)))
    #expect(late.events == Array(first..<3_000))
    let gap = try #require(late.gaps.first)
    #expect(late.gaps.count == 1)
    #expect(gap.reason == .retired)
    #expect(gap.first == Offset(10) && gap.next == dropped.earliest)
    #expect(try await store.retain(rule).partitions.isEmpty)
    try await store.close()
    let again = try await storage.open(configuration: configuration(.unlimited))
    #expect(try await numbers(again).events == Array(first..<3_000))
    try await again.close()
  }

  /// A flipped bit had taken the only group away, and its events went unread.
  @Test("Where groups may be lost, what is to be read first stays", arguments: [true, false])
  func lostGroups(_ isHealed: Bool) async throws {
    let storage = MemoryFileSystem()
    let rule = EventStore.Retention(size: .kibibytes(200), keepUntilConsumed: true)
    let store = try await storage.openStore(configuration(rule))
    _ = try await store.consumerGroup("readers")
    try await fill(store)
    #expect(try await store.retain().partitions.isEmpty)
    try await store.close()
    let path: FilePath = "/store/CHECKPOINTS"
    var bytes = try #require(storage.image[path])
    for index in 40..<(isHealed ? 41 : 60) { bytes[index] ^= 0x10 }
    let disk = storage.replacing(path, by: bytes)
    let again = try await disk.openStore(configuration(rule))
    #expect(try await again.retain().partitions.isEmpty)
    #expect(try await numbers(again).events == Array(0..<3_000))
    let notices = again.recoveryNotices.filter { $0.kind == .damaged }
    #expect(notices.map(\.partition) == (isHealed ? [] : [nil]))
    #expect(notices.allSatisfy { $0.message.contains("consumer groups") })
    try await again.close()
  }

  @Test("The store drops by itself what its rule lets go", arguments: [true, false])
  func byItself(bySize: Bool) async throws {
    let clock = ManualClock(at: Timestamp(microseconds: Self.start))
    let rule: EventStore.Retention = bySize ? .init(size: .kibibytes(200)) : .init(age: .seconds(9))
    let store = try await InMemoryStorage().open(
      configuration: configuration(rule), clock: clock)
    // Every new segment makes it look; time and size leave at least the first one behind.
    clock.advance(by: .seconds(10_000))
    try await fill(store)
    while try store.offsets(in: 0).lowerBound == .zero { await Task.yield() }
    let first = try store.offsets(in: 0).lowerBound.value
    #expect(try await numbers(store).events.suffix(10) == Array(2_990..<3_000))
    let late = try await numbers(store, from: .offset(.zero))
    #expect(late.gaps.first?.reason == .retired)
    #expect(late.gaps.first.map { $0.next.value >= first } == true)
    try await store.close()
  }

  @Test("By age: the store's own rule, with a clock that moves")
  func byAge() async throws {
    let clock = ManualClock(at: Timestamp(microseconds: Self.start))
    let storage = InMemoryStorage()
    let store = try await storage.open(
      configuration: configuration(.init(age: .seconds(1_000))), clock: clock)
    try await fill(store)
    _ = try await store.retain()
    #expect(try await numbers(store).events.count == 3_000, "nothing is that old")
    clock.advance(by: .seconds(3_000))
    _ = try await store.retain()
    let kept = try await numbers(store).events
    let first = try #require(kept.first)
    #expect(first > 0 && first <= 2_000)
    #expect(kept == Array(first..<3_000))
    try await store.close()
  }

  @Test("A checkpoint behind the first event that is kept: the group hears how many it missed")
  func lateGroup() async throws {
    let store = try await InMemoryStorage().open(configuration: configuration(.unlimited))
    try await fill(store)
    let group = try await store.consumerGroup("slow")
    try await group.commit(Checkpoint(partition: store.partitions[0], next: Offset(5)))
    let report = try await store.retain(.init(size: .kibibytes(200)))
    let first = try #require(report.partitions.first?.earliest)
    var iterator = group.batches(in: store.partitions[0], until: .highWatermark)
      .makeAsyncIterator()
    let notice = try #require(try await iterator.next())
    #expect(notice.gap?.first == Offset(5) && notice.gap?.next == first)
    #expect(notice.checkpoint.next == first)
    try await group.commit(notice.checkpoint)
    #expect(try await iterator.next()?.offsets.lowerBound == first)
    try await store.close()
  }

  @Test("What a group has not read stays until it has, or the bound is met")
  func unread() async throws {
    let store = try await InMemoryStorage().open(
      configuration: configuration(.init(size: .kibibytes(100), keepUntilConsumed: true)))
    let group = try await store.consumerGroup("reader")
    try await fill(store)
    _ = try await store.retain()
    #expect(try await numbers(store).events.first == 0)
    try await group.commit(Checkpoint(partition: store.partitions[0], next: Offset(1_500)))
    _ = try await store.retain()
    let first = try #require(try await numbers(store).events.first)
    #expect(first > 0 && first <= 1_500)
    _ = try await store.retain(
      .init(
        size: .kibibytes(100), keepUntilConsumed: true, unreadSizeMax: .kibibytes(150)))
    #expect(try #require(try await numbers(store).events.first) > 1_500)
    try await store.close()
  }

  @Test("A reader in the middle of a segment that goes finishes it")
  func midway() async throws {
    let store = try await InMemoryStorage().open(configuration: configuration(.unlimited))
    try await fill(store)
    var iterator = store.batches(in: store.partitions[0], until: .highWatermark)
      .makeAsyncIterator()
    var seen: [UInt64] = []
    seen += try #require(try await iterator.next()).map { $0.position.offset.value }
    let report = try await store.retain(.init(size: .kibibytes(100)))
    let first = try #require(report.partitions.first?.earliest.value)
    var gaps: [Gap] = []
    while let batch = try await iterator.next() {
      if let gap = batch.gap { gaps.append(gap) }
      seen += batch.map { $0.position.offset.value }
    }
    let gap = try #require(gaps.first)
    #expect(gaps.count == 1)
    #expect(seen == Array(0..<gap.first.value) + Array(first..<3_000))
    #expect(gap.first.value > 100, "the rest of its segment was still read")
    try await store.close()
  }
}

/// One consumer of a partition, and no other.
@Suite("Ownership of partitions")
struct OwnershipTests {
  @Test("A newer owner fences the older one, also after the store was opened again")
  func fencing() async throws {
    let storage = InMemoryStorage()
    let store = try await storage.open(configuration: .init(partitionCount: 2))
    for number in 0..<20 {
      try await store.append(Event(from: .init(stringLiteral: "d-\(number)"), body: Payload([1])))
    }
    let partition = store.partitions[0]
    let end = try store.offsets(in: partition).upperBound
    let group = try await store.consumerGroup("billing")
    let first = try await group.takeOver(partition)
    try await group.commit(Checkpoint(partition: partition, next: Offset(1)), as: first)
    let second = try await group.takeOver(partition)
    #expect(second.epoch > first.epoch)
    await #expect(throws: EventStoreError.self) {
      try await group.commit(Checkpoint(partition: partition, next: end), as: first)
    }
    #expect(group.checkpoint(in: partition)?.next == Offset(1))
    try await group.commit(Checkpoint(partition: partition, next: Offset(2)), as: second)
    try await store.close()

    let again = try await storage.open()
    let same = try await again.consumerGroup("billing")
    await #expect {
      try await same.commit(Checkpoint(partition: partition, next: end), as: first)
    } throws: {
      ($0 as? EventStoreError)?.code == .ownershipLost
    }
    try await same.commit(Checkpoint(partition: partition, next: Offset(3)), as: second)
    let third = try await same.takeOver(partition)
    #expect(third.epoch > second.epoch)
    #expect(same.checkpoint(in: partition)?.next == Offset(3), "taking over moves nothing")
    try await again.close()
  }

  @Test("Behind the last epoch there is no owner, and the store stays as it is")
  func lastEpoch() async throws {
    // By a clock at its end the first owner gets the last epoch.
    let clock = ManualClock(at: Timestamp(microseconds: .max))
    let storage = InMemoryStorage()
    let store = try await storage.open(configuration: .init(partitionCount: 1), clock: clock)
    let group = try await store.consumerGroup("billing")
    let last = try await group.takeOver(0)
    #expect(last.epoch == Limits.numberMax)
    await #expect {
      try await group.takeOver(0)
    } throws: {
      ($0 as? EventStoreError)?.code == .corrupt
    }
    try await store.close()
    let again = try await storage.open(clock: clock)
    let same = try await again.consumerGroup("billing")
    try await same.commit(Checkpoint(partition: 0, next: Offset(0)), as: last)
    try await again.close()
  }

  @Test("A group that was deleted and made again has no owners")
  func deleted() async throws {
    let store = try await InMemoryStorage().open(configuration: .init(partitionCount: 1))
    let position = try await store.append(Event(from: "d", body: Payload([1])))
    let group = try await store.consumerGroup("jobs")
    let owner = try await group.takeOver(position.partition)
    try await store.deleteConsumerGroup("jobs")
    let checkpoint = Checkpoint(partition: position.partition, next: Offset(1))
    await #expect {
      try await group.commit(checkpoint, as: owner)
    } throws: {
      ($0 as? EventStoreError)?.code == .unknownGroup
    }
    let again = try await store.consumerGroup("jobs")
    await #expect {
      try await again.commit(checkpoint, as: owner)
    } throws: {
      ($0 as? EventStoreError)?.code == .ownershipLost
    }
    let newer = try await again.takeOver(position.partition)
    #expect(newer.epoch > owner.epoch)
    try await again.commit(checkpoint, as: newer)
    try await store.close()
  }
}
