import EventModel
import Millrace
import MillraceTesting
import SimulationKit
import StorageIO
import Testing

@Suite("Consumer groups")
struct ConsumerGroupTests {
  @Test("$Default is always there; others are made, listed, deleted and made anew")
  func lifecycle() async throws {
    let disk = SimulatedDisk()
    let store = try await disk.openStore()
    try await store.append(0..<5)
    #expect(store.consumerGroups == [.standard])
    let standard = try await store.consumerGroup("$Default")
    #expect(standard.checkpoint(in: 0) == nil)
    try await standard.commit(Checkpoint(partition: 0, next: 2))
    let billing = try await store.consumerGroup("billing")
    _ = try await store.consumerGroup("audit")
    _ = try await store.consumerGroup("billing")
    #expect(store.consumerGroups == [.standard, "audit", "billing"])
    try await billing.commit(Checkpoint(partition: 0, next: 4))

    #expect(
      await failure { try await store.deleteConsumerGroup(.standard) }?.code
        == .invalidArgument)
    #expect(await failure { try await store.deleteConsumerGroup("none") }?.code == .unknownGroup)
    try await store.deleteConsumerGroup("billing")
    // Whoever still holds the group cannot bring it back.
    let stale = await failure { try await billing.commit(Checkpoint(partition: 0, next: 5)) }
    #expect(stale?.code == .unknownGroup)
    #expect(await failure { try await billing.reset(to: .latest) }?.code == .unknownGroup)
    #expect(store.consumerGroups == [.standard, "audit"])
    let anew = try await store.consumerGroup("billing")
    #expect(anew.checkpoint(in: 0) == nil)

    var random = SeededRandom(seed: 1)
    let lost = disk.crashImage(using: &random, .dropAll)
    let again = try await lost.openStore(access: .readWrite)
    #expect(again.consumerGroups == [.standard, "audit", "billing"])
    #expect(try await again.consumerGroup(.standard).checkpoint(in: 0)?.next == 2)
    #expect(try await again.consumerGroup("billing").checkpoint(in: 0) == nil)
    try await again.close()
    try await store.close()
  }

  @Test("A commit is durable when it returns, and never runs ahead of what is (I3)")
  func commits() async throws {
    let disk = SimulatedDisk()
    let store = try await disk.openStore()
    let group = try await store.consumerGroup("g")
    var random = SeededRandom(seed: 3)
    for round in 0..<10 {
      try await store.append(round * 10..<(round + 1) * 10)
      let end = UInt64(round + 1) * 10
      let ahead = Checkpoint(partition: 0, next: Offset(end + 1))
      #expect(await failure { try await group.commit(ahead) }?.code == .checkpointAhead)
      try await group.commit(Checkpoint(partition: 0, next: Offset(end - 3)))
      let lost = disk.crashImage(using: &random, .dropAll)
      let again = try await lost.openStore(access: .readWrite)
      let found = try await again.consumerGroup("g")
      #expect(found.checkpoint(in: 0)?.next == Offset(end - 3))
      #expect(try await again.texts(of: found.batches(in: 0, until: .highWatermark)).count == 3)
      try await again.close()
    }
    try await store.close()
  }

  @Test("Events that are only buffered cannot be committed")
  func commitsOfBuffered() async throws {
    let disk = ControlledDisk(MemoryFileSystem())
    let store = try await disk.openStore()
    try await store.append(0..<1)
    disk.control.hold(.sync)
    try await store.append(1..<9, durability: .written)
    let group = try await store.consumerGroup("g")
    let ahead = await failure { try await group.commit(Checkpoint(partition: 0, next: 9)) }
    #expect(ahead?.code == .checkpointAhead)
    #expect(try await group.lag(in: 0).events == 1)
    disk.control.release()
    try await store.untilReadable(8)
    try await group.commit(Checkpoint(partition: 0, next: 9))
    try await store.close()
  }

  @Test("Commits that come at once, in any order, never move a group back")
  func concurrentCommits() async throws {
    let store = try await MemoryFileSystem().openStore()
    try await store.append(0..<300)
    let group = try await store.consumerGroup("g")
    try await withThrowingTaskGroup { tasks in
      for number in (1...300).shuffled() {
        tasks.addTask {
          try await group.commit(Checkpoint(partition: 0, next: Offset(UInt64(number))))
          let reached = try #require(group.checkpoint(in: 0)?.next)
          #expect(reached.value >= number)
        }
      }
      try await tasks.waitForAll()
    }
    #expect(group.checkpoint(in: 0)?.next == 300)
    // Only a reset moves back.
    try await group.commit(Checkpoint(partition: 0, next: 7))
    #expect(group.checkpoint(in: 0)?.next == 300)
    try await group.reset(to: .offset(7))
    #expect(group.checkpoint(in: 0)?.next == 7)
    try await store.close()
  }

  @Test("Reset goes to any place that reading can begin at")
  func reset() async throws {
    let clock = ManualClock(at: Timestamp(microseconds: 1_000_000_000))
    let store = try await MemoryFileSystem().openStore(.init(partitionCount: 2), clock: clock)
    let devices = try store.partitions.map { try store.device(in: $0) }
    for number in 0..<10 {
      for device in devices { try await store.append(number..<number + 1, from: device) }
      clock.advance(by: .seconds(1))
    }
    let group = try await store.consumerGroup("g")
    func next() -> [UInt64?] { store.partitions.map { group.checkpoint(in: $0)?.next.value } }
    try await group.reset(to: .latest)
    #expect(next() == [10, 10])
    try await group.reset(to: .time(Timestamp(microseconds: 1_003_500_000)))
    #expect(next() == [4, 4])
    try await group.reset(to: .offset(8))
    #expect(next() == [8, 8])
    try await group.reset(to: .earliest)
    #expect(next() == [0, 0])
    #expect(await failure { try await group.reset(to: .offset(11)) }?.code == .checkpointAhead)
    #expect(next() == [0, 0])
    try await store.close()
  }

  @Test("Lag is counted in events, bytes and time")
  func lag() async throws {
    let clock = ManualClock(at: Timestamp(microseconds: 1_000_000_000))
    let store = try await MemoryFileSystem().openStore(
      .init(partitionCount: 1, compression: CompressionCodec.none, batchSize: .kibibytes(4)),
      clock: clock)
    let group = try await store.consumerGroup("g")
    let empty = try await group.lag(in: 0)
    #expect(empty.events == 0 && empty.size == .zero && empty.time == .zero)
    let body = Payload([UInt8](repeating: 9, count: 1_000))
    for _ in 0..<500 {
      try await store.append(Event(from: "d", body: body), durability: .buffered)
      clock.advance(by: .seconds(2))
    }
    try await store.append(Event(from: "d", body: body))
    let all = try await group.lag(in: 0)
    #expect(all.events == 501 && all.time == .seconds(1_000))
    #expect(abs(all.size.bytes - 501 * 1_001) <= 64 << 10)
    try await group.commit(Checkpoint(partition: 0, next: 400))
    let rest = try await group.lag(in: 0)
    #expect(rest.events == 101 && rest.time == .seconds(200))
    #expect(abs(rest.size.bytes - 101 * 1_001) <= 64 << 10)
    try await group.reset(to: .latest)
    #expect(try await group.lag(in: 0) == empty)
    try await store.close()
  }

  @Test("A sequence of batches begins at the checkpoint as it is when it is iterated")
  func iterateAgain() async throws {
    let store = try await MemoryFileSystem().openStore()
    try await store.append(0..<6)
    let group = try await store.consumerGroup("g")
    let batches = group.batches(in: 0, from: .checkpoint(orElse: .latest), until: .highWatermark)
    #expect(try await store.texts(of: batches) == [])
    try await group.commit(Checkpoint(partition: 0, next: 4))
    #expect(try await store.texts(of: batches) == ["4", "5"])
    let all = group.batches(in: 0, from: .position(.earliest), until: .highWatermark)
    #expect(try await store.texts(of: all).count == 6)
    try await store.close()
  }

  @Test("A thousand groups find room beside $Default, one more does not")
  func thousand() async throws {
    let disk = MemoryFileSystem()
    let store = try await disk.openStore()
    try await store.append(0..<1)
    try await store.consumerGroup(.standard).commit(Checkpoint(partition: 0, next: 1))
    try await withThrowingTaskGroup { tasks in
      for number in 0..<1_000 {
        tasks.addTask {
          let group = try await store.consumerGroup(GroupName("g\(number)"))
          try await group.commit(Checkpoint(partition: 0, next: 1))
        }
      }
      try await tasks.waitForAll()
    }
    #expect(store.consumerGroups.count == 1_001)
    #expect(await failure { try await store.consumerGroup("more") }?.code == .limitExceeded)
    _ = try await store.consumerGroup("g7")
    try await store.deleteConsumerGroup("g8")
    _ = try await store.consumerGroup("more")
    try await store.close()
    let again = try await disk.openStore(access: .readWrite)
    #expect(again.consumerGroups.count == 1_001)
    let group = try await again.consumerGroup("g999")
    #expect(group.checkpoint(in: 0)?.next == 1)
    try await again.close()
  }
}
