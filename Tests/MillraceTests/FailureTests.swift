import EventModel
import Millrace
import SimulationKit
import StorageIO
import SystemPackage
import Testing

@Suite("When the disk fails")
struct FailureTests {
  @Test("A failed sync stops its partition alone; opening again finds what was acknowledged (I8)")
  func failedSync() async throws {
    let disk = SimulatedDisk()
    let store = try await disk.openStore(.init(partitionCount: 2))
    let (bad, good) = (try store.device(in: 0), try store.device(in: 1))
    try await store.append(0..<10, from: bad)
    disk.plan = .failing(.synchronize, ".segment")
    let unknown = await failure { try await store.append(10..<12, from: bad) }
    #expect(unknown?.code == .outcomeUnknown)
    #expect(unknown?.cause?.isInjected == true)

    for durability in Durability.allCases {
      let refused = await failure {
        try await store.append(12..<13, from: bad, durability: durability)
      }
      #expect(refused?.code == .poisoned)
    }
    var appender = store.makeAppender()
    do throws(EventStoreError) {
      try appender.append(from: bad, body: [1])
      Issue.record("a poisoned partition took an event in")
    } catch {
      #expect(error.code == .poisoned)
    }
    // What was durable before is so for ever, and says so.
    try await store.durable(upTo: LogPosition(partition: 0, offset: 9))
    let lost = LogPosition(partition: 0, offset: 11)
    #expect(await failure { try await store.durable(upTo: lost) }?.code == .outcomeUnknown)
    try await store.append(0..<5, from: good)
    #expect(try await store.texts(in: 0) == (0..<10).map(String.init))
    #expect(try await store.texts(in: 1) == (0..<5).map(String.init))
    let group = try await store.consumerGroup("g")
    try await group.commit(Checkpoint(partition: 0, next: 10))
    #expect(await failure { try await store.close() }?.code == .outcomeUnknown)

    // Closing released the lock although it failed.
    let again = try await disk.openStore(access: .readWrite)
    let texts = try await again.texts(in: 0)
    #expect(texts.starts(with: (0..<10).map(String.init)) && texts.count <= 12)
    #expect(try await again.texts(in: 1) == (0..<5).map(String.init))
    try await again.append(20..<21, from: bad)
    #expect(try await again.texts(in: 0) == texts + ["20"])
    try await again.close()
  }

  @Test("Everybody who waits for a sync that fails is told so, and nobody waits on")
  func failedSyncOfMany() async throws {
    let simulated = SimulatedDisk()
    let disk = ControlledDisk(simulated)
    let store = try await disk.openStore()
    try await store.append(0..<1)
    disk.control.hold(.sync)
    let first = Task { await failure { try await store.append(1..<2) } }
    await disk.control.untilHeld(.sync)
    simulated.plan = .failing(.synchronize, ".segment")
    let others = (2..<40).map { number in
      Task { await failure { try await store.append(number..<number + 1) } }
    }
    let blocked = onThread { () -> EventStoreError? in
      var appender = store.makeAppender()
      do throws(EventStoreError) {
        try appender.append(from: "d", body: [1])
        try appender.synchronize()
        return nil
      } catch {
        return error
      }
    }
    disk.control.release()
    #expect(await first.value?.code == .outcomeUnknown)
    var codes = [try await blocked.value?.code]
    for task in others { codes.append(await task.value?.code) }
    #expect(codes.allSatisfy { $0 == .outcomeUnknown || $0 == .poisoned })
    _ = await failure { try await store.close() }
  }

  @Test("A failed sync of the checkpoints stops commits, and nothing else (I8)")
  func failedCheckpointSync() async throws {
    let disk = SimulatedDisk()
    let store = try await disk.openStore()
    try await store.append(0..<10)
    let group = try await store.consumerGroup("g")
    try await group.commit(Checkpoint(partition: 0, next: 3))
    disk.plan = .failing(.synchronize, "CHECKPOINTS")
    func commit(_ next: Offset) async -> EventStoreError? {
      await failure { try await group.commit(Checkpoint(partition: 0, next: next)) }
    }
    #expect(await commit(5)?.code == .outcomeUnknown)
    #expect(await commit(6)?.code == .poisoned)
    #expect(await failure { try await store.consumerGroup("h") }?.code == .poisoned)
    #expect(group.checkpoint(in: 0)?.next == 3)
    try await store.append(10..<12)
    #expect(try await store.texts().count == 12)
    try await store.close()

    let again = try await disk.openStore(access: .readWrite)
    let found = try await again.consumerGroup("g")
    #expect([3, 5].contains(found.checkpoint(in: 0)?.next.value))
    try await found.commit(Checkpoint(partition: 0, next: 12))
    try await again.close()
  }

  @Test("A first commit after opening is not tried again where its sync failed (I8)")
  func failedCheckpointRepair() async throws {
    let disk = SimulatedDisk()
    let store = try await disk.openStore()
    try await store.append(0..<10)
    try await store.consumerGroup("g").commit(Checkpoint(partition: 0, next: 3))
    try await store.close()
    // A torn tail behind the commits: the first commit cuts it, and syncs the cut.
    var files = disk.image
    let path = try #require(files.keys.first { $0.string.hasSuffix("CHECKPOINTS") })
    files[path]?.append(contentsOf: [1, 2, 3])
    let torn = SimulatedDisk(files: files, directories: disk.directories)
    let again = try await torn.openStore(access: .readWrite)
    let group = try await again.consumerGroup("g")
    torn.plan = .failing(.synchronize, "CHECKPOINTS")
    for expected in [EventStoreError.Code.outcomeUnknown, .poisoned] {
      let refused = await failure { try await group.commit(Checkpoint(partition: 0, next: 5)) }
      #expect(refused?.code == expected)
    }
    try await again.close()
  }

  @Test("A full disk refuses appends only, and keeps what it took in for better times (I9)")
  func fullDisk() async throws {
    let disk = SimulatedDisk()
    let configuration = EventStore.Configuration(
      partitionCount: 1, segmentSize: .kibibytes(64), batchSize: .kibibytes(4))
    let store = try await disk.openStore(configuration)
    let group = try await store.consumerGroup("g")
    try await group.commit(Checkpoint(partition: 0, next: 0))
    try await store.append(0..<100)
    disk.plan = .full(".segment")
    #expect(await failure { try await store.append(100..<101) }?.code == .storageFull)
    #expect(
      await failure { try await store.append(101..<102, durability: .written) }?.code
        == .storageFull)
    #expect(try await store.texts() == (0..<100).map(String.init))
    try await group.commit(Checkpoint(partition: 0, next: 100))

    // Closing says that something is not on the disk, and loses none of it.
    #expect(await failure { try await store.close() }?.code == .storageFull)
    #expect(await failure { try await store.append(200..<201) }?.code == .closed)
    #expect(try await store.texts() == (0..<100).map(String.init))
    disk.plan = .none
    try await store.close()
    let again = try await disk.openStore(configuration, access: .readWrite)
    let texts = try await again.texts()
    // In order, whatever was refused after it had been taken in.
    #expect(texts.starts(with: (0..<101).map(String.init)))
    #expect(texts == texts.compactMap(Int.init).sorted().map(String.init))
    #expect(again.recoveryNotices.isEmpty)
    try await again.close()
  }

  @Test(
    "When there is room again, events taken in while the disk was full are written by themselves")
  func roomAgain() async throws {
    let disk = SimulatedDisk()
    let store = try await disk.openStore()
    try await store.append(0..<1)
    disk.plan = .full(".segment")
    let refused = await failure { try await store.append(1..<4) }
    #expect(refused?.code == .storageFull)
    disk.plan = .none
    try await store.untilReadable(3)
    try await store.append(4..<6)
    #expect(try await store.texts() == (0..<6).map(String.init))
    try await store.close()
  }

  @Test("On a disk that nothing fits onto, groups commit and retention makes room again (I9)")
  func roomKept() async throws {
    let disk = SimulatedDisk()
    let created = try await disk.openStore(
      .init(partitionCount: 1, segmentSize: .kibibytes(64), compression: CompressionCodec.none))
    try await created.consumerGroup("g").commit(Checkpoint(partition: 0, next: 0))
    try await created.close()
    let store = try await disk.openStore(access: .readWrite)
    let group = try await store.consumerGroup("g")
    disk.plan = FaultPlan(capacity: .kibibytes(600))
    let event = Event(from: "d", body: Payload(String(repeating: "-", count: 3_000)))
    var count = 0
    do throws(EventStoreError) {
      while count < 1_000 {
        try await store.append(event)
        count += 1
      }
    } catch {
      #expect(error.code == .storageFull)
    }
    #expect((100..<1_000).contains(count))
    for next in 1...100 {
      try await group.commit(Checkpoint(partition: 0, next: Offset(UInt64(next))))
    }
    let dropped = try await store.retain(.init(size: .kibibytes(200)))
    #expect(dropped.partitions.first.map { $0.segments > 3 } == true)
    try await store.append(event)
    try await store.close()
  }

  @Test("A disk that is full to the last byte opens, reads, commits nothing and closes (I9)")
  func fullFromTheStart() async throws {
    let disk = SimulatedDisk()
    let store = try await disk.openStore()
    try await store.append(0..<50)
    try await store.close()
    let used = disk.image.values.reduce(0) { $0 + $1.count }
    disk.plan = FaultPlan(capacity: .bytes(used))
    let full = try await disk.openStore(access: .readWrite)
    #expect(try await full.texts() == (0..<50).map(String.init))
    #expect(await failure { try await full.append(50..<51) }?.code == .storageFull)
    let group = try await full.consumerGroup(.standard)
    let commit = await failure { try await group.commit(Checkpoint(partition: 0, next: 9)) }
    #expect(commit?.code == .storageFull)
    disk.plan = .none
    try await group.commit(Checkpoint(partition: 0, next: 9))
    try await full.append(51..<52)
    #expect(try await full.texts() == (0..<52).map(String.init))
    // Full again, with nothing left to write: that is no reason to complain.
    let taken = disk.image.values.reduce(0) { $0 + $1.count }
    disk.plan = FaultPlan(capacity: .bytes(taken))
    try await full.close()
    disk.plan = .none
    let again = try await disk.openStore(access: .readWrite)
    #expect(try await again.texts() == (0..<52).map(String.init))
    try await again.close()
  }

  @Test("A closed store says so to everybody and leaves the files to others (I14)")
  func closed() async throws {
    let disk = SimulatedDisk()
    let store = try await disk.openStore()
    try await store.append(0..<10)
    let group = try await store.consumerGroup("g")
    var atStart = store.batches(in: 0).makeAsyncIterator()
    try await store.close()
    let next = try await disk.openStore(access: .readWrite)
    // A second close writes nothing into what is somebody else's now.
    try await store.close()
    let before = disk.operationCount
    #expect(await failure { try await store.append(10..<11) }?.code == .closed)
    #expect(await failure { try await atStart.next() }?.code == .closed)
    #expect(await failure { try await group.lag(in: 0) }?.code == .closed)
    #expect(await failure { try await group.reset(to: .earliest) }?.code == .closed)
    #expect(await failure { try await store.consumerGroup("h") }?.code == .closed)
    #expect(await failure { try await store.deleteConsumerGroup("g") }?.code == .closed)
    let commit = await failure { try await group.commit(Checkpoint(partition: 0, next: 9)) }
    #expect(commit?.code == .closed)
    try await store.durable(upTo: LogPosition(partition: 0, offset: 9))
    #expect(disk.operationCount == before)
    try await next.append(10..<11)
    #expect(try await next.texts() == (0..<11).map(String.init))
    try await next.close()
  }
}

extension FaultPlan {
  /// No more room for files of a kind.
  fileprivate static func full(_ suffix: String) -> FaultPlan {
    FaultPlan(failures: [
      Failure(.call(.write, pathSuffix: suffix), .noSpace, isLasting: true),
      Failure(.call(.reserve, pathSuffix: suffix), .noSpace, isLasting: true),
    ])
  }
}
