import EventModel
import Millrace
import SimulationKit
import StorageIO
import Synchronization
import SystemPackage
import Testing

/// On a full disk nothing more is sent, and what waits is received and settled (I9).
@Suite("Queues on a full disk")
struct FullDiskQueueTests {
  private static let devices = (0..<8).map { "device-\($0)" }

  private func open(_ disk: any FileSystem) async throws -> EventStore {
    var queues = EventStore.Queues(depthMax: 10_000, lockDuration: .seconds(86_400))
    queues.journalSegmentSize = 1 << 20
    return try await disk.openStore(
      .init(
        partitionCount: 1, segmentSize: .kibibytes(64), batchSize: .kibibytes(16),
        queues: queues))
  }

  private func taken(_ disk: SimulatedDisk) -> Int {
    disk.image.values.reduce(0) { $0 + $1.count }
  }

  /// Sends what does not compress until there is no room, and returns the numbers that were
  /// accepted.
  private func fill(_ store: EventStore, seed: UInt64 = 1) async throws -> [UInt64] {
    var numbers: [UInt64] = []
    var random = SeededRandom(seed: seed)
    while numbers.count < 100_000 {
      let messages = try (0..<80).map { index in
        (
          try EventModel.DeviceID(Self.devices[index % Self.devices.count]),
          DeviceMessage(body: Payload(random.bytes(4_000)))
        )
      }
      do throws(EventStoreError) {
        let outcome = try await store.enqueue(messages)
        numbers += outcome.sequenceNumbers
        guard let refusal = outcome.refusal else { continue }
        throw refusal
      } catch {
        #expect(error.code == .storageFull)
        return numbers
      }
    }
    Issue.record("the disk is not full")
    return numbers
  }

  /// Receives and completes everything, a few messages of each device in turn.
  private func settleAll(
    _ store: EventStore, max: Int = 20, progress: Progress? = nil
  ) async throws -> [UInt64] {
    var settled: [UInt64] = []
    while true {
      let before = settled.count
      for name in Self.devices {
        let queue = store.deviceQueue(for: try EventModel.DeviceID(name))
        let messages = try await queue.receive(max: max)
        let done = try await queue.complete(contentsOf: messages.map(\.lockToken))
        #expect(done.allSatisfy { $0 })
        settled += messages.map(\.sequenceNumber)
        progress?.count.add(1, ordering: .relaxed)
      }
      if settled.count == before { return settled.sorted() }
    }
  }

  @Test(
    "What waits is received and completed, and gives room for new messages",
    arguments: [false, true])
  func settling(_ reopens: Bool) async throws {
    let disk = SimulatedDisk()
    var store = try await open(disk)
    try await store.deviceQueue(for: "first").enqueue(DeviceMessage(body: "stays"))
    disk.plan = FaultPlan(capacity: ByteCount(taken(disk) + 6 << 20))
    var sent = try await fill(store)
    #expect(sent.count > 500)
    if reopens {
      try await store.close()
      store = try await open(disk)
      // What the close gave back is in reserve again; there may be room for a few more.
      sent += try await fill(store, seed: 2)
    }
    #expect(try await settleAll(store) == sent)
    // The space comes back by itself.
    var isSent = false
    while !isSent {
      do throws(EventStoreError) {
        try await store.deviceQueue(for: "first").enqueue(DeviceMessage(body: "again"))
        isSent = true
      } catch {
        try #require(error.code == .storageFull)
        await Task.yield()
      }
    }
    try await store.close()
    let again = try await open(disk)
    #expect(
      try await again.deviceQueue(for: "first").peek(max: 10).map(\.message.body)
        == ["stays", "again"])
    #expect(try await again.queueSummaries().map(\.device) == ["first"])
    try await again.close()
  }

  @Test("Settling waits for the thread that gives space back")
  func filingHeldUp() async throws {
    let disk = SimulatedDisk()
    let controlled = ControlledDisk(disk, holding: ".queue")
    let store = try await open(controlled)
    try await store.deviceQueue(for: "first").enqueue(DeviceMessage(body: "stays"))
    disk.plan = FaultPlan(capacity: ByteCount(taken(disk) + 8 << 20))
    controlled.control.hold(.write)
    let sent = try await fill(store)
    let progress = Progress()
    let settling = Task { try await settleAll(store, max: 1, progress: progress) }
    // As long as it gets on: if it waited for nobody it would come to the end of the reserve, of
    // which it needs more than there is.
    var (seen, idleCount) = (0, 0)
    while idleCount < 50_000 {
      await Task.yield()
      let count = progress.count.load(ordering: .relaxed)
      idleCount = count == seen ? idleCount + 1 : 0
      seen = count
    }
    #expect(seen < sent.count)
    controlled.control.release()
    #expect(try await settling.value == sent)
    try await store.close()
  }

  /// How often somebody has settled.
  private final class Progress: Sendable {
    let count = Atomic(0)
  }

  @Test(
    "Feedback and dead letters that have no room come later, each once", arguments: [false, true])
  func outcomes(_ reopens: Bool) async throws {
    let disk = SimulatedDisk()
    var store = try await open(disk)
    let queue = store.deviceQueue(for: "d")
    for number in 0..<6 {
      try await queue.enqueue(
        DeviceMessage(id: try MessageID("m\(number)"), body: Payload("\(number)"), feedback: .full))
    }
    // The journal has other names.
    disk.plan = FaultPlan(
      failures: [IOFailure.Operation.write, .reserve].map {
        .init(.call($0, pathSuffix: ".segment"), .noSpace, isLasting: true)
      })
    let messages = try await queue.receive(max: 6)
    try await queue.complete(contentsOf: messages[..<3].map(\.lockToken))
    for message in messages[3...] { try await queue.reject(message.lockToken, reason: "no") }
    #expect(try await queue.counts() == nil)
    #expect(try await outcomes(of: store) == .init())
    if reopens {
      try await store.close()
      disk.plan = .none
      store = try await open(disk)
    } else {
      disk.plan = .none
    }
    var found = Outcomes()
    while found.feedback.count < 6 || found.deadLetters.count < 3 {
      await Task.yield()
      found = try await outcomes(of: store)
    }
    #expect(found.feedback == (0..<6).map { "m\($0)" })
    #expect(found.deadLetters == ["3", "4", "5"])
    try await store.close()
    store = try await open(disk)
    #expect(try await outcomes(of: store) == found)
    try await store.close()
  }

  /// The copying ended until the store was opened again.
  @Test("A settlement that had no room at first has its feedback once there is some")
  func heldUpSettlement() async throws {
    let disk = SimulatedDisk()
    let store = try await open(disk)
    let queue = store.deviceQueue(for: "d")
    for number in 0..<2 {
      try await queue.enqueue(
        DeviceMessage(id: try MessageID("m\(number)"), body: "b", feedback: .full))
    }
    let messages = try await queue.receive(max: 2)
    disk.plan = FaultPlan(failures: [
      .init(.call(.write, pathSuffix: ".journal"), .noSpace, isLasting: true)
    ])
    do throws(EventStoreError) {
      try await queue.complete(messages[0].lockToken)
      Issue.record("it had room")
    } catch {
      #expect(error.code == .storageFull)
    }
    // The thread that copies meets it as well.
    while disk.failureCount < 3 { await Task.yield() }
    disk.plan = .none
    try await queue.complete(messages[1].lockToken)
    var found = Outcomes()
    while found.feedback.count < 2 {
      await Task.yield()
      found = try await outcomes(of: store)
    }
    #expect(found.feedback == ["m0", "m1"])
    try await store.close()
  }

  private struct Outcomes: Hashable {
    var feedback: [String] = []
    var deadLetters: [String] = []
  }

  private func outcomes(of store: EventStore) async throws -> Outcomes {
    var outcomes = Outcomes()
    for try await batch in store.batches(in: .feedback, until: .highWatermark) {
      for event in batch {
        outcomes.feedback.append(try #require(event.feedbackReport?.originalMessageID))
      }
    }
    for try await batch in store.batches(in: .deadLetters, until: .highWatermark) {
      for event in batch {
        let body = try #require(event.deadLetter).message.body
        outcomes.deadLetters.append(String(decoding: body.bytes, as: UTF8.self))
      }
    }
    return outcomes
  }
}
