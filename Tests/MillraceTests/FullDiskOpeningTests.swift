import EventModel
import LogFormat
import Millrace
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// A store opens wherever there is no room for what opening writes, and goes on once there is (I9).
@Suite("Opening a store without room")
struct FullDiskOpeningTests {
  private static let settings = EventStore.Configuration(
    partitionCount: 2, queues: .init(feedback: .full))

  /// A store with events in both partitions, a group, and messages to a device: one was completed,
  /// one rejected and one waits.
  private func disk(isClosed: Bool) async throws -> SimulatedDisk {
    let disk = SimulatedDisk()
    let store = try await disk.openStore(Self.settings)
    for partition in store.partitions {
      try await store.append(0..<3, from: try store.device(in: partition))
    }
    try await store.consumerGroup("g").commit(Checkpoint(partition: 0, next: 2))
    let queue = store.deviceQueue(for: "d")
    for id: MessageID in ["done", "bad", "left"] {
      try await queue.enqueue(DeviceMessage(id: id, body: "x"))
    }
    let messages = try await queue.receive(max: 2)
    try await queue.complete(messages[0].lockToken)
    try await queue.reject(messages[1].lockToken, reason: "no")
    var random = SeededRandom(seed: 1)
    let killed = disk.crashImage(using: &random, .processOnly)
    try await store.close()
    return isClosed ? disk : killed
  }

  private func full(_ suffix: String) -> FaultPlan {
    FaultPlan(
      failures: [IOFailure.Operation.write, .reserve, .create, .createDirectory].map {
        .init(.call($0, pathSuffix: suffix), .noSpace, isLasting: true)
      })
  }

  /// A store that was killed before anything testified to its three events, opened without room.
  private func openedUnproven() async throws -> (SimulatedDisk, EventStore) {
    while true {
      let disk = SimulatedDisk()
      let store = try await disk.openStore(Self.settings)
      try await store.append(0..<3, from: try store.device(in: 0))
      var random = SeededRandom(seed: 1)
      let killed = disk.crashImage(using: &random, .processOnly)
      try await store.close()
      killed.plan = full(".segment")
      let again = try await killed.openStore(access: .readWrite)
      if try again.offsets(in: 0).upperBound == 0 { return (killed, again) }
      // So slow was the machine that the mark behind the sync had been written.
      killed.plan = .none
      try await again.close()
    }
  }

  @Test("What nothing proves yet is not called durable, nor left out of a copy")
  func unproven() async throws {
    let (disk, store) = try await openedUnproven()
    let last = LogPosition(partition: 0, offset: 2)
    let refused = await #expect(throws: EventStoreError.self) {
      try await store.durable(upTo: last)
    }
    #expect(refused?.code == .storageFull)
    let copied = await #expect(throws: EventStoreError.self) {
      try await store.snapshot(to: "/copy")
    }
    #expect(copied?.code == .storageFull)
    disk.plan = .none
    try await store.durable(upTo: last)
    #expect(try store.offsets(in: 0).upperBound == 3)
    try await store.snapshot(to: "/copy")
    try await store.close()
    let system = EngineEnvironment.system()
    let copy = try await EventStore.open(
      at: "/copy", configuration: Self.settings, access: .readWrite,
      environment: EngineEnvironment(fileSystem: disk, now: system.now, random: system.random))
    #expect(try await copy.texts(in: 0) == ["0", "1", "2"])
    try await copy.close()
  }

  /// Where the manifest, or what nothing proves in a log, could not be written anew, the store did
  /// not open.
  @Test(
    "It is read, says so, refuses what needs room, and has lost nothing when there is some",
    arguments: ["", "MANIFEST", ".segment", ".journal"], [false, true])
  func opens(_ suffix: String, _ isClosed: Bool) async throws {
    let disk = try await disk(isClosed: isClosed)
    disk.plan = full(suffix)
    let store = try await disk.openStore(Self.settings, access: .readWrite)
    let kinds = store.recoveryNotices.map(\.kind)
    #expect(!kinds.isEmpty && kinds.allSatisfy { $0 == .storageFull })
    for partition in store.partitions {
      let texts = try await store.texts(in: partition)
      // After a kill nothing may prove the last group.
      if isClosed || suffix == "MANIFEST" { #expect(texts == ["0", "1", "2"]) }
      #expect(["0", "1", "2"].starts(with: texts))
      let device = try store.device(in: partition)
      guard suffix != ".journal" else { continue }
      let refusal = await failure { try await store.append(3..<4, from: device) }
      #expect(refusal?.code == .storageFull)
    }
    #expect(try await store.consumerGroup("g").checkpoint(in: 0)?.next == 2)
    if suffix != ".segment" {
      let refusal = await failure {
        try await store.deviceQueue(for: "d").enqueue(DeviceMessage(id: "full", body: "x"))
      }
      #expect(refusal?.code == .storageFull)
    }
    disk.plan = .none
    for partition in store.partitions {
      try await store.append(4..<5, from: try store.device(in: partition))
      let texts = try await store.texts(in: partition)
      // What was refused had been taken in.
      #expect(texts == ["0", "1", "2"] + (suffix == ".journal" ? [] : ["3"]) + ["4"])
    }
    let messages = try await store.deviceQueue(for: "d").receive(max: 9)
    #expect(messages.map { $0.message.systemProperties[.messageID] } == ["left"])
    try await store.deviceQueue(for: "d").complete(messages[0].lockToken)
    try await store.close()
    let again = try await disk.openStore(Self.settings, access: .readWrite)
    #expect(again.recoveryNotices.isEmpty)
    #expect(try await again.deviceQueue(for: "d").peek(max: 9).isEmpty)
    try await again.close()
    let all = try await disk.openStore(Self.settings, access: .readOnly)
    #expect(try await all.count(of: .feedback) == 3)
    #expect(try await all.count(of: .deadLetters) == 1)
    try await all.close()
  }

  @Test("It can be closed without room, and opens again as it was", arguments: [false, true])
  func closes(_ isClosed: Bool) async throws {
    let disk = try await disk(isClosed: isClosed)
    disk.plan = full("")
    for _ in 0..<2 {
      let store = try await disk.openStore(Self.settings, access: .readWrite)
      #expect(!store.recoveryNotices.isEmpty)
      try await store.close()
    }
    disk.plan = .none
    let again = try await disk.openStore(Self.settings, access: .readWrite)
    for partition in again.partitions {
      #expect(try await again.texts(in: partition) == ["0", "1", "2"])
    }
    #expect(try await again.deviceQueue(for: "d").receive(max: 9).count == 1)
    try await again.close()
  }
}
