import EventModel
import Millrace
import MillraceTesting
import SimulationKit
import StorageIO
import Testing

/// Messages to devices from threads that block.
@Suite("Blocking queues")
struct BlockingQueuesTests {
  private static let device: DeviceID = "thermostat-17"
  /// No lock runs out before the test is over, however slow the machine.
  private static let lock: Duration = .seconds(86_400)

  @Test("Sends, receives and settles like the asynchronous form")
  func everyOperation() async throws {
    let store = try await MemoryFileSystem().openStore(
      .init(partitionCount: 1, queues: .init(depthMax: 4)))
    let queues = try store.makeBlockingQueues()
    let device = Self.device
    #expect(try queues.receive(by: device, max: 1).isEmpty)
    let first = try queues.enqueue(DeviceMessage(body: "0"), to: device)
    let outcome = try queues.enqueue(
      (1..<6).map { (device, DeviceMessage(body: Payload("\($0)"))) })
    #expect(outcome.refusal?.code == .queueFull && outcome.sequenceNumbers.count == 3)
    #expect(throws: EventStoreError.self) {
      try queues.enqueue(DeviceMessage(body: "x"), to: device)
    }
    let locked = try queues.receive(by: device, max: 10, lockFor: Self.lock)
    #expect(locked.map(\.message.body) == ["0", "1", "2", "3"])
    #expect(locked.map(\.sequenceNumber) == [first] + outcome.sequenceNumbers)
    try queues.complete(locked[0].lockToken, of: device)
    try queues.abandon(locked[1].lockToken, of: device)
    try queues.reject(locked[2].lockToken, of: device, reason: "too hot")
    let done = try queues.complete([
      (device, locked[0].lockToken), (device, locked[3].lockToken), ("other", locked[3].lockToken),
    ])
    #expect(done == [false, true, false])
    let again = try queues.receive(by: device, max: 10, lockFor: Self.lock)
    #expect(again.map(\.message.body) == ["1"] && again.first?.deliveryCount == 2)
    try queues.complete(again.map { (device, $0.lockToken) })
    #expect(try await store.queueTotals().pending == 0)
    try await store.close()
  }

  @Test("Every sender of a large group hears that its message is done")
  func groupWithFeedback() async throws {
    let storage = InMemoryStorage()
    let store = try await storage.open(
      configuration: .init(partitionCount: 1, queues: .init(depthMax: 1_000)))
    let queues = try store.makeBlockingQueues()
    let device = Self.device
    // More than are read at once, and in between some of whom nobody hears.
    let outcome = try queues.enqueue(
      try (0..<600).map {
        (
          device,
          DeviceMessage(
            id: try MessageID("m\($0)"), body: "x",
            feedback: $0 % 5 == 0 ? FeedbackMode.none : .full)
        )
      })
    let received = try queues.receive(by: device, max: 1_000, lockFor: Self.lock)
    #expect(received.map(\.sequenceNumber) == outcome.sequenceNumbers)
    let done = try queues.complete(received.map { (device, $0.lockToken) })
    #expect(done == Array(repeating: true, count: 600))
    try await store.close()
    let again = try await storage.open(access: .readOnly)
    var names: [String?] = []
    for try await batch in again.batches(in: .feedback, until: .highWatermark) {
      names += batch.compactMap(\.feedbackReport).map(\.originalMessageID)
    }
    #expect(names == (0..<600).filter { $0 % 5 != 0 }.map { "m\($0)" })
    try await again.close()
  }

  @Test("What cannot be done changes nothing and is told")
  func refusals() async throws {
    let storage = InMemoryStorage()
    let store = try await storage.open(configuration: .init(partitionCount: 1))
    let queues = try store.makeBlockingQueues()
    let device = Self.device
    try queues.enqueue(DeviceMessage(body: "1"), to: device)
    let token = try queues.receive(by: device, max: 1, lockFor: Self.lock)[0].lockToken
    func code(_ body: () throws(EventStoreError) -> Void) -> EventStoreError.Code? {
      do throws(EventStoreError) {
        try body()
        return nil
      } catch {
        return error.code
      }
    }
    let long = String(repeating: "x", count: 5_000)
    #expect(
      code { () throws(EventStoreError) in try queues.complete(token, of: "other") } == .lockLost)
    #expect(
      code { () throws(EventStoreError) in
        try queues.abandon(token, of: device, delay: .seconds(-1))
      } == .invalidArgument)
    #expect(
      code { () throws(EventStoreError) in
        try queues.reject(token, of: device, reason: long)
      } == .limitExceeded)
    #expect(
      code { () throws(EventStoreError) in
        _ = try queues.receive(by: device, max: 1, lockFor: .zero)
      } == .invalidArgument)
    let follower = try await storage.open(access: .readOnly)
    #expect(
      code { () throws(EventStoreError) in _ = try follower.makeBlockingQueues() } == .readOnly)
    try await follower.close()
    try queues.complete(token, of: device)
    try await store.close()
    #expect(
      code { () throws(EventStoreError) in
        try queues.enqueue(DeviceMessage(body: "2"), to: device)
      } == .closed)
  }

  @Test("What has returned survives a crash of the machine (I1)")
  func durability() async throws {
    let disk = SimulatedDisk()
    let store = try await disk.openStore()
    let queues = try store.makeBlockingQueues()
    var random = SeededRandom(seed: 4)
    func pending() async throws -> [String] {
      let image = disk.crashImage(using: &random, .dropAll)
      let again = try await image.openStore(access: .readWrite)
      let messages = try await again.deviceQueue(for: Self.device).peek(max: 100)
      try await again.close()
      return messages.map { String(decoding: $0.message.body.bytes, as: UTF8.self) }
    }
    var waiting: [String] = []
    for number in 0..<6 {
      waiting.append("\(number)")
      try queues.enqueue(DeviceMessage(body: Payload("\(number)")), to: Self.device)
      #expect(try await pending() == waiting)
    }
    for message in try queues.receive(by: Self.device, max: 3, lockFor: Self.lock) {
      waiting.removeFirst()
      try queues.complete(message.lockToken, of: Self.device)
      #expect(try await pending() == waiting)
    }
    let rest = try queues.receive(by: Self.device, max: 3, lockFor: Self.lock)
    try queues.complete(rest.map { (Self.device, $0.lockToken) })
    #expect(try await pending().isEmpty)
    try await store.close()
  }

  @Test("Threads with queues each: every message delivered and settled once, in order (I12)")
  func manyThreads() async throws {
    let store = try await MemoryFileSystem().openStore(
      .init(partitionCount: 1, queues: .init(depthMax: 10_000, feedback: .full)))
    let (threads, perThread) = (6, 200)
    let devices: [DeviceID] = ["d-0", "d-1", "d-2"]
    let tasks = (0..<threads).map { thread in
      onThread { () -> (sent: [UInt64], settled: [UInt64]) in
        let queues = try store.makeBlockingQueues()
        var (sent, settled): ([UInt64], [UInt64]) = ([], [])
        for number in 0..<perThread {
          let message = DeviceMessage(body: Payload("\(thread)-\(number)"))
          let device = devices[(thread + number) % devices.count]
          sent.append(try queues.enqueue(message, to: device))
          for locked in try queues.receive(by: device, max: 2, lockFor: Self.lock) {
            if locked.sequenceNumber % 7 == 0, locked.deliveryCount == 1 {
              try queues.abandon(locked.lockToken, of: device)
            } else {
              try queues.complete(locked.lockToken, of: device)
              settled.append(locked.sequenceNumber)
            }
          }
        }
        return (sent, settled)
      }
    }
    var (sent, settled): ([UInt64], [UInt64]) = ([], [])
    for task in tasks {
      let (sentByOne, settledByOne) = try await task.value
      #expect(sentByOne == sentByOne.sorted())
      sent += sentByOne
      settled += settledByOne
    }
    #expect(Set(sent).count == threads * perThread)
    let queues = try store.makeBlockingQueues()
    for device in devices {
      let rest = try queues.receive(by: device, max: 10_000, lockFor: Self.lock)
      #expect(rest.map(\.sequenceNumber) == rest.map(\.sequenceNumber).sorted())
      #expect(try queues.complete(rest.map { (device, $0.lockToken) }).allSatisfy { $0 })
      settled += rest.map(\.sequenceNumber)
    }
    #expect(settled.sorted() == sent.sorted())
    try await store.close()
    #expect(throws: EventStoreError.self) {
      try queues.enqueue(DeviceMessage(body: "late"), to: devices[0])
    }
  }
}
