import EventModel
import Millrace
import MillraceTesting
import StorageIO
import Testing

/// What is done to messages of one device together is one record of the journal
/// (format-spec §14.1).
@Suite("Runs of entries in the journal")
struct JournalRunTests {
  /// Entries of one record.
  private static let runMax = 256

  private let disk = MemoryFileSystem()
  /// Nobody is woken when it moves: what is due is settled by whoever looks next.
  private let clock = ManualClock(at: Timestamp(microseconds: 1_700_000_000_000_000))

  private func open(
    _ queues: EventStore.Queues = .init(depthMax: 10_000),
    _ access: EventStore.Access = .createIfAbsent
  ) async throws -> EventStore {
    try await disk.openStore(
      .init(partitionCount: 1, queues: queues), access: access, clock: clock)
  }

  private func send(
    _ count: Int, to device: EventModel.DeviceID = "d", _ store: EventStore,
    feedback: (Int) -> FeedbackMode = { _ in .none }
  ) async throws {
    let outcome = try await store.enqueue(
      (0..<count).map { (device, DeviceMessage(body: Payload("\($0)"), feedback: feedback($0))) })
    #expect(outcome.sequenceNumbers.count == count)
  }

  /// The number that the journal gives its next record.
  private func nextNumber(_ store: EventStore) async throws -> UInt64 {
    try await store.deviceQueue(for: "probe").enqueue(DeviceMessage(body: "x"))
  }

  /// What waits for a device, as a store finds it that only reads.
  private func reread(_ device: EventModel.DeviceID = "d") async throws -> [QueuedMessage] {
    let store = try await open(.init(), .readOnly)
    let messages = try await store.deviceQueue(for: device).peek(max: .max)
    try await store.close()
    return messages
  }

  @Test("A receive is one record, and so is what is completed or purged of one device")
  func oneRecord() async throws {
    let store = try await open()
    let queue = store.deviceQueue(for: "d")
    try await send(100, store)
    #expect(try await nextNumber(store) == 100)
    let messages = try await queue.receive(max: 60)
    #expect(messages.map(\.sequenceNumber) == Array(0..<60))
    #expect(try await nextNumber(store) == 102)
    let done = try await queue.complete(contentsOf: messages.map(\.lockToken))
    #expect(done == Array(repeating: true, count: 60))
    #expect(try await nextNumber(store) == 104)
    #expect(try await queue.purge() == 40)
    #expect(try await nextNumber(store) == 106)
    try await store.close()
    #expect(try await reread().isEmpty)
    #expect(try await reread("probe").map(\.sequenceNumber) == [100, 102, 104, 106])
  }

  @Test("What is too much for one record takes several", arguments: [runMax, runMax + 1])
  func cap(_ count: Int) async throws {
    let store = try await open()
    let queue = store.deviceQueue(for: "d")
    try await send(count, store)
    let messages = try await queue.receive(max: count)
    #expect(messages.count == count)
    let done = try await queue.complete(contentsOf: messages.map(\.lockToken))
    #expect(done.count { $0 } == count)
    let records = count > Self.runMax ? 4 : 2
    #expect(try await nextNumber(store) == UInt64(count + records))
    try await store.close()
    #expect(try await reread().isEmpty)
  }

  @Test("A token that is given twice settles once, in whatever order")
  func doubledTokens() async throws {
    let store = try await open()
    try await send(6, store)
    try await send(2, to: "e", store)
    let tokens = try await store.deviceQueue(for: "d").receive(max: 6).map(\.lockToken)
    let others = try await store.deviceQueue(for: "e").receive(max: 2).map(\.lockToken)
    let lost = LockToken(sequenceNumber: tokens[4].sequenceNumber, nonce: ~tokens[4].nonce)
    let deliveries: [(device: EventModel.DeviceID, token: LockToken)] = [
      ("d", tokens[1]), ("d", tokens[1]), ("d", tokens[2]), ("d", lost), ("d", tokens[0]),
      ("d", tokens[1]), ("e", others[0]), ("e", tokens[3]), ("d", others[1]), ("e", others[0]),
      ("d", tokens[3]), ("d", tokens[4]), ("d", tokens[3]), ("d", lost),
    ]
    let done = try await store.complete(deliveries)
    #expect(
      done == [
        true, false, true, false, true, false, true, false, false, false, true, true, false, false,
      ])
    #expect(try await store.deviceQueue(for: "d").peek(max: 9).map(\.sequenceNumber) == [5])
    #expect(try await store.deviceQueue(for: "e").peek(max: 9).map(\.sequenceNumber) == [7])
    try await store.close()
    #expect(try await reread().map(\.sequenceNumber) == [5])
    #expect(try await reread("e").map(\.sequenceNumber) == [7])
  }

  @Test("Messages whose settlement is told or kept have records of their own, in their place")
  func mixedCompletion() async throws {
    let store = try await open()
    let queue = store.deviceQueue(for: "d")
    try await send(10, store) { $0 == 3 || $0 == 7 ? .full : .none }
    let messages = try await queue.receive(max: 10)
    let before = try await nextNumber(store)
    let done = try await queue.complete(contentsOf: messages.map(\.lockToken))
    #expect(done == Array(repeating: true, count: 10))
    // 0 to 2, 3, 4 to 6, 7, 8 and 9.
    #expect(try await nextNumber(store) == before + 6)
    try await store.close()
    let again = try await open()
    var reports: [UInt64] = []
    for try await batch in again.batches(in: .feedback, until: .highWatermark) {
      reports += batch.compactMap(\.feedbackReport?.sequenceNumber)
    }
    #expect(reports == [3, 7])
    #expect(try await again.queueSummaries().map(\.device) == ["probe"])
    try await again.close()
  }

  @Test("Expired, timed-out and available messages in one receive: all is there after reopening")
  func mixedReceive() async throws {
    let store = try await open(.init(deliveryCountMax: 2))
    let queue = store.deviceQueue(for: "d")
    func send(_ body: Payload, _ live: Int, _ feedback: FeedbackMode = .none) async throws {
      try await queue.enqueue(
        DeviceMessage(body: body, timeToLive: .seconds(live), feedback: feedback))
    }
    try await send("too often", 3_600)
    try await queue.abandon(try #require(try await queue.receive(max: 1).first).lockToken)
    try await send("times out", 3_600)
    #expect(try await queue.receive(max: 2, lockFor: .seconds(10)).map(\.deliveryCount) == [2, 1])
    try await send("expires", 5)
    try await send("expires and is told of", 5, .full)
    try await send("is new", 3_600)
    try await send("is new and will be told of", 3_600, .full)
    try await send("stays", 3_600)
    // What is due may be settled by the timer's thread before the receive comes to it.
    clock.advance(by: .seconds(10))
    let received = try await queue.receive(max: 3)
    #expect(
      received.map(\.message.body) == ["times out", "is new", "is new and will be told of"])
    #expect(received.map(\.deliveryCount) == [2, 1, 1])
    let waiting = try await queue.peek(max: 9)
    #expect(waiting.map(\.isLocked) == [true, true, true, false])
    try await store.close()

    #expect(try await reread() == waiting)
    let again = try await open(.init(deliveryCountMax: 2))
    let left = try await again.deviceQueue(for: "d").receive(max: 9)
    #expect(left.map(\.message.body) == ["is new", "is new and will be told of", "stays"])
    #expect(left.map(\.deliveryCount) == [2, 2, 1])
    try await again.deviceQueue(for: "d").complete(contentsOf: left.map(\.lockToken))
    try await again.close()
    let last = try await open()
    var letters: [String] = []
    for try await batch in last.batches(in: .deadLetters, until: .highWatermark) {
      letters += batch.compactMap(\.deadLetter).map {
        "\(String(decoding: $0.message.body.bytes, as: UTF8.self)): \($0.statusCode)"
      }
    }
    #expect(
      letters.sorted() == [
        "expires and is told of: expired", "expires: expired",
        // Its lock was the last, and the restart ended it.
        "times out: deliveryCountExceeded", "too often: deliveryCountExceeded",
      ])
    #expect(try await last.queueSummaries().isEmpty)
    try await last.close()
  }

  // MARK: A journal without room

  private func openHeld(_ disk: ControlledDisk) async throws -> EventStore {
    try await disk.openStore(
      .init(
        partitionCount: 1, batchSize: .kibibytes(4), bufferSize: .kibibytes(16),
        queues: .init(depthMax: 10_000)), clock: clock)
  }

  /// Waits until something has been applied, and then for all that comes of it on a held disk.
  private func untilStalled(_ hasBegun: () async throws -> Bool) async throws {
    while try await !hasBegun() { await Task.yield() }
    for _ in 0..<1_000 { await Task.yield() }
  }

  @Test("Completing goes on where there was no room in the middle, and no run is done in part")
  func noRoomCompleting() async throws {
    let controlled = ControlledDisk(disk, holding: ".journal")
    let store = try await openHeld(controlled)
    let queue = store.deviceQueue(for: "d")
    let count = 3_000
    try await send(count, store)
    var received: [LockToken] = []
    // A receive gives what there was room for in the journal.
    while received.count < count {
      received += try await queue.receive(max: count).map(\.lockToken)
    }
    let tokens = received
    #expect(tokens.count == count)
    controlled.control.hold(.write)
    let completing = Task { try await queue.complete(contentsOf: tokens) }
    try await untilStalled { try await store.queueTotals().pending < count }
    let left = try await store.queueTotals().pending
    #expect(left > 0 && (count - left).isMultiple(of: Self.runMax))
    controlled.control.release()
    #expect(try await completing.value.count { $0 } == count)
    #expect(try await store.queueTotals().pending == 0)
    try await store.close()
    #expect(try await reread().isEmpty)
  }

  @Test("A receive that finds no room for all gives what it locked")
  func noRoomReceiving() async throws {
    let controlled = ControlledDisk(disk, holding: ".journal")
    let store = try await openHeld(controlled)
    let queue = store.deviceQueue(for: "d")
    let count = 6_000
    try await send(count, store)
    controlled.control.hold(.write)
    let receiving = Task { try await queue.receive(max: count) }
    try await untilStalled { try await store.queueTotals().locked > 0 }
    let locked = try await store.queueTotals().locked
    #expect(locked < count && locked.isMultiple(of: Self.runMax))
    controlled.control.release()
    let received = try await receiving.value
    #expect(received.map(\.sequenceNumber) == (0..<UInt64(locked)).map { $0 })
    let waiting = try await queue.peek(max: count)
    #expect(waiting.count { $0.isLocked } == locked)
    try await store.close()
    #expect(try await reread().count { $0.deliveryCount == 1 } == locked)
  }
}
