import EventModel
import Millrace
import MillraceTesting
import StorageIO
import Testing

/// What no consumer should ask for, and the answer it gets.
@Suite("Reading at places that are not there")
struct BadInputTests {
  private static let day: Int64 = 86_400_000_000

  @Test("A checkpoint beyond the end is refused, one before the start hears of what it missed")
  func checkpoints() async throws {
    let store = try await MemoryFileSystem().openStore()
    try await store.append(0..<10)
    let group = try await store.consumerGroup("g")
    for offset in [11, UInt64.max] as [UInt64] {
      let refused = await failure {
        try await group.commit(Checkpoint(partition: 0, next: Offset(offset)))
      }
      #expect(refused?.code == .checkpointAhead)
      #expect(
        await failure { try await group.reset(to: .offset(Offset(offset))) }?.code
          == .checkpointAhead)
    }
    #expect(group.checkpoint(in: 0) == nil)
    try await group.commit(Checkpoint(partition: 0, next: 10))
    #expect(try await store.texts(of: group.batches(in: 0, until: .highWatermark)) == [])
    try await store.close()
  }

  @Test("A time in the future is behind the last event, a time before all events the first one")
  func times() async throws {
    let clock = ManualClock(at: Timestamp(microseconds: 1_700_000_000_000_000))
    let store = try await MemoryFileSystem().openStore(clock: clock)
    let texts = try await store.append(0..<5)
    let future = Timestamp(microseconds: clock.now.microseconds + Self.day)
    #expect(try await store.texts(from: .time(future)) == [])
    #expect(try await store.texts(from: .time(Timestamp(microseconds: .max))) == [])
    #expect(try await store.texts(from: .time(Timestamp(microseconds: .min))) == texts)
    let group = try await store.consumerGroup("g")
    try await group.reset(to: .time(future))
    #expect(group.checkpoint(in: 0)?.next == 5)
    let until = store.batches(in: 0, until: .time(future))
    #expect(try await store.texts(of: until) == texts)
    try await store.close()
  }

  @Test("A group that is deleted while it is read: reading goes on, committing does not")
  func deletedGroup() async throws {
    let store = try await MemoryFileSystem().openStore()
    try await store.append(0..<10)
    let group = try await store.consumerGroup("g")
    let owner = try await group.takeOver(0)
    var iterator = group.batches(in: 0, until: .highWatermark).makeAsyncIterator()
    try await store.deleteConsumerGroup("g")
    let batch = try #require(try await iterator.next())
    #expect(batch.count == 10)
    #expect(await failure { try await group.commit(batch.checkpoint) }?.code == .unknownGroup)
    #expect(
      await failure { try await group.commit(batch.checkpoint, as: owner) }?.code == .unknownGroup)
    #expect(await failure { try await group.takeOver(0) }?.code == .unknownGroup)
    #expect(await failure { try await group.reset(to: .latest) }?.code == .unknownGroup)
    #expect(
      await failure { try await store.deleteConsumerGroup("nobody") }?.code == .unknownGroup)
    try await store.close()
  }

  @Test("A clock that steps backwards: times stay in order, and so does what a time finds")
  func clock() async throws {
    let clock = ManualClock(at: Timestamp(microseconds: 1_700_000_000_000_000))
    let store = try await MemoryFileSystem().openStore(clock: clock)
    try await store.append(0..<1)
    let first = clock.now
    clock.advance(by: .seconds(-3_600))
    try await store.append(1..<2)
    clock.advance(by: .seconds(7_200))
    try await store.append(2..<3)
    var times: [Timestamp] = []
    for try await batch in store.batches(in: 0, until: .highWatermark) {
      times += batch.map(\.enqueuedTime)
    }
    #expect(times == times.sorted() && times.count == 3)
    #expect(try await store.texts(from: .time(first)).count == 3)
    let later = Timestamp(microseconds: first.microseconds + 1_000_000)
    #expect(try await store.texts(from: .time(later)) == ["2"])
    try await store.close()
  }
}
