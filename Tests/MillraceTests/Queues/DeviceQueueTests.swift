import EventModel
import Millrace
import MillraceTesting
import Testing

/// Messages to devices through the public interface.
@Suite("Device queues")
struct DeviceQueueTests {
  private static let start = Timestamp(microseconds: 1_700_000_000_000_000)
  private let clock = ManualClock(at: start)
  private let storage = InMemoryStorage()

  private func open(
    _ queues: EventStore.Queues = .init(), _ access: EventStore.Access = .createIfAbsent
  ) async throws -> EventStore {
    try await storage.open(
      configuration: .init(partitionCount: 1, queues: queues), access: access, clock: clock)
  }

  private func feedback(_ store: EventStore) async throws -> [FeedbackReport] {
    var reports: [FeedbackReport] = []
    for try await batch in store.batches(in: .feedback, until: .highWatermark) {
      #expect(batch.gap == nil)
      reports += batch.compactMap(\.feedbackReport)
    }
    return reports
  }

  private func deadLetters(_ store: EventStore) async throws -> [DeadLetter] {
    var letters: [DeadLetter] = []
    for try await batch in store.batches(in: .deadLetters, until: .highWatermark) {
      #expect(batch.gap == nil)
      letters += batch.compactMap(\.deadLetter)
    }
    return letters
  }

  @Test("A message comes back as it was sent, once, and its sender hears of it")
  func roundTrip() async throws {
    let store = try await open()
    let queue = store.deviceQueue(for: "thermostat-17")
    let message = DeviceMessage(
      id: "set-point", body: "21.5", contentType: "text/plain", generationID: "g7",
      properties: ["unit": "C"], timeToLive: .seconds(60), feedback: .full)
    #expect(try await queue.receive(max: 1).isEmpty)
    let sequence = try await queue.enqueue(message)
    #expect(try await queue.counts()?.pending == 1)
    let peeked = try #require(try await queue.peek().first)
    #expect(peeked.deliveryCount == 0 && !peeked.isLocked)
    guard let delivery = try await queue.receive() else {
      Issue.record("nothing was delivered")
      return
    }
    let locked = delivery.message
    #expect(locked.sequenceNumber == sequence && locked.deliveryCount == 1)
    #expect(locked.enqueuedTime == Self.start)
    #expect(locked.expiryTime == Self.start.advanced(by: .seconds(60)))
    #expect(locked.message.body == message.body)
    #expect(locked.message.properties == message.properties)
    #expect(locked.message.systemProperties == message.systemProperties)
    #expect(try await queue.peek().first?.isLocked == true)
    try await delivery.complete()
    #expect(try await queue.counts() == nil)
    try await store.close()
    let again = try await open()
    let report = try #require(try await feedback(again).first)
    #expect(report.originalMessageID == "set-point" && report.statusCode == .success)
    #expect(report.device == "thermostat-17" && report.deviceGenerationID == "g7")
    #expect(report.sequenceNumber == sequence)
    #expect(try await feedback(again).count == 1)
    #expect(try await deadLetters(again).isEmpty)
    #expect(try await again.queueSummaries().isEmpty)
    try await again.close()
  }

  @Test("A store without queues has no trace of them, and answers")
  func none() async throws {
    let store = try await open()
    #expect(try await store.queueSummaries().isEmpty)
    #expect(try await store.deviceQueue(for: "d").peek().isEmpty)
    #expect(try await feedback(store).isEmpty)
    try await store.close()
    let reader = try await open(.init(), .readOnly)
    #expect(try await reader.queueSummaries().isEmpty)
    let failure = await failure { try await reader.deviceQueue(for: "d").purge() }
    #expect(failure?.code == .readOnly)
    try await reader.close()
  }

  @Test("Rejected, expired, delivered too often, purged: dead letters and feedback, exactly once")
  func outcomes() async throws {
    let store = try await open(.init(feedback: .full, deliveryCountMax: 1))
    let queue = store.deviceQueue(for: "d")
    func send(_ id: MessageID, _ live: Int = 3_600) async throws {
      try await queue.enqueue(
        DeviceMessage(id: id, body: Payload("body of \(id)"), timeToLive: .seconds(live)))
    }
    try await send("rejected")
    let first = try #require(try await queue.receive(max: 1).first)
    try await queue.reject(first.lockToken, reason: "too hot")
    try await send("abandoned")
    let second = try #require(try await queue.receive(max: 1).first)
    try await queue.abandon(second.lockToken)
    try await send("expired", 5)
    clock.advance(by: .seconds(5))
    #expect(try await queue.receive(max: 1).isEmpty)
    try await send("purged")
    #expect(try await queue.purge() == 1)
    try await send("completed")
    let last = try #require(try await queue.receive(max: 1).first)
    try await queue.complete(last.lockToken)
    try await store.close()
    for _ in 0..<2 {
      let again = try await open()
      let reports = try await feedback(again)
      #expect(
        reports.map(\.originalMessageID) == [
          "rejected", "abandoned", "expired", "purged", "completed",
        ])
      #expect(
        reports.map(\.statusCode) == [
          .rejected, .deliveryCountExceeded, .expired, .purged, .success,
        ])
      #expect(reports.first?.description == "too hot")
      let letters = try await deadLetters(again)
      #expect(letters.map(\.statusCode) == [.rejected, .deliveryCountExceeded, .expired])
      #expect(letters.map(\.reason) == ["too hot", "DeliveryCountExceeded", "Expired"])
      #expect(letters.map(\.deliveryCount) == [1, 1, 0])
      #expect(letters.first?.message.body == "body of rejected")
      try await again.close()
    }
    let final = try await open()
    let letter = try #require(try await deadLetters(final).last)
    try await final.resend(letter)
    let resent = try #require(try await final.deviceQueue(for: "d").receive(max: 1).first)
    #expect(resent.message.body == "body of expired" && resent.deliveryCount == 1)
    try await final.deviceQueue(for: "d").complete(resent.lockToken)
    let twice = await failure { _ = try await final.resend(letter) }
    #expect(twice?.code == .invalidArgument)
    try await final.close()
    let restarted = try await open()
    #expect(try await restarted.deadLettersSentAgain() == [letter.sequenceNumber])
    let later = await failure { _ = try await restarted.resend(letter) }
    #expect(later?.code == .invalidArgument)
    #expect(try await deadLetters(restarted).count == 3)
    #expect(try await restarted.queueTotals().pending == 0)
    try await restarted.close()
  }

  @Test("Messages outlast a restart in their order; locks do not, and the delivery counts")
  func restart() async throws {
    let store = try await open()
    let outcome = try await store.enqueue(
      (0..<10).map { ("d", DeviceMessage(body: Payload("\($0)"))) })
    #expect(outcome.refusal == nil && outcome.sequenceNumbers.count == 10)
    let queue = store.deviceQueue(for: "d")
    let locked = try await queue.receive(max: 3)
    try await queue.complete(locked[1].lockToken)
    try await store.close()
    let again = try await open()
    let queueAgain = again.deviceQueue(for: "d")
    let lost = await failure { try await queueAgain.complete(locked[0].lockToken) }
    #expect(lost?.code == .lockLost)
    let messages = try await queueAgain.receive(max: 50)
    #expect(messages.map(\.message.body) == [0, 2, 3, 4, 5, 6, 7, 8, 9].map { Payload("\($0)") })
    #expect(messages.map(\.deliveryCount) == [2, 2, 1, 1, 1, 1, 1, 1, 1])
    #expect(messages.map(\.sequenceNumber) == messages.map(\.sequenceNumber).sorted())
    let done = try await queueAgain.complete(
      contentsOf: messages.map(\.lockToken) + [locked[0].lockToken, messages[0].lockToken])
    #expect(done == Array(repeating: true, count: 9) + [false, false])
    #expect(try await queueAgain.counts() == nil)
    try await again.close()
  }

  @Test("A receiver that waits is woken by a new message, an abandoned one, and a lock's end")
  func waiting() async throws {
    // Real time: the lock ends by itself.
    let store = try await storage.open(configuration: .init(partitionCount: 1))
    let queue = store.deviceQueue(for: "d")
    let receiver = Task {
      // Abandoned with a delay, then a lock that runs out: each comes back by itself.
      let first = try await queue.receiveNext(for: .seconds(3_600))
      try await queue.abandon(first.lockToken, delay: .milliseconds(20))
      let second = try await queue.receiveNext(for: .milliseconds(20))
      let third = try await queue.receiveNext(for: .seconds(3_600))
      try await queue.complete(third.lockToken)
      return [first, second, third]
    }
    try await queue.enqueue(DeviceMessage(body: "a"))
    let messages = try await receiver.value
    #expect(messages.map(\.message.body) == ["a", "a", "a"])
    #expect(messages.map(\.deliveryCount) == [1, 2, 3])
    let last = Task { try await queue.receiveNext(for: .seconds(3_600)) }
    try await queue.enqueue(DeviceMessage(body: "b"))
    #expect(try await last.value.message.body == "b")
    let cancelled = Task { try await queue.receive() == nil }
    cancelled.cancel()
    #expect(try await cancelled.value)
    let closed = Task { try await queue.receiveNothing() }
    try await store.close()
    #expect(try await closed.value)
  }

  @Test("Time passes by itself: an offline device's message expires, and its sender hears of it")
  func expiry() async throws {
    let store = try await storage.open(configuration: .init(partitionCount: 1))
    let queue = store.deviceQueue(for: "offline")
    try await queue.enqueue(
      DeviceMessage(id: "m", body: "x", timeToLive: .milliseconds(10), feedback: .negative))
    for try await batch in store.batches(in: .feedback) {
      #expect(batch.compactMap(\.feedbackReport).map(\.statusCode) == [.expired])
      break
    }
    #expect(try await queue.counts() == nil)
    try await store.close()
  }

  @Test("What is refused says why and changes nothing")
  func refused() async throws {
    let store = try await open(.init(depthMax: 2))
    let queue = store.deviceQueue(for: "d")
    for message in [
      DeviceMessage(body: "x", expiryTime: Self.start),
      DeviceMessage(body: "x", timeToLive: .zero),
      DeviceMessage(body: "x", timeToLive: .seconds(-1)),
    ] {
      let failure = await failure { try await queue.enqueue(message) }
      #expect(failure?.code == .invalidArgument)
    }
    let large = DeviceMessage(body: Payload([UInt8](repeating: 1, count: (64 << 10) + 1)))
    #expect(await failure { try await queue.enqueue(large) }?.code == .limitExceeded)
    var wrong = DeviceMessage(body: "x")
    wrong.systemProperties[.messageID] = "no spaces"
    #expect(await failure { try await queue.enqueue(wrong) }?.code == .invalidArgument)
    let outcome = try await store.enqueue(
      (0..<4).map { ("d", DeviceMessage(body: Payload("\($0)"))) })
    #expect(outcome.sequenceNumbers.count == 2)
    #expect(outcome.refusal?.code == .queueFull)
    #expect(outcome.refusal?.message.contains("2 messages, the limit is 2") == true)
    let message = try #require(try await queue.receive(max: 1).first)
    let foreign = await failure {
      try await store.deviceQueue(for: "other").complete(message.lockToken)
    }
    #expect(foreign?.code == .lockLost)
    try await queue.renew(message.lockToken, for: .seconds(100))
    clock.advance(by: .seconds(99))
    try await queue.complete(message.lockToken)
    #expect(await failure { try await queue.complete(message.lockToken) }?.code == .lockLost)
    #expect(await failure { try await queue.renew(message.lockToken) }?.code == .lockLost)
    try await queue.remove()
    #expect(try await queue.counts() == nil)
    try await store.close()
    #expect(await failure { try await queue.enqueue(DeviceMessage(body: "x")) }?.code == .closed)
  }

  @Test("A clock that is set back lets nothing live again")
  func clocks() async throws {
    let store = try await open()
    let queue = store.deviceQueue(for: "d")
    try await queue.enqueue(DeviceMessage(body: "short", timeToLive: .seconds(10)))
    try await queue.enqueue(DeviceMessage(body: "long"))
    clock.advance(by: .seconds(20))
    #expect(try await queue.receive(max: 1).first?.message.body == "long")
    clock.advance(by: .seconds(-1_000))
    #expect(try await queue.counts()?.pending == 1)
    try await store.close()
    let again = try await open()
    let queueAgain = again.deviceQueue(for: "d")
    #expect(try await queueAgain.receive(max: 5).map(\.message.body) == ["long"])
    try await queueAgain.enqueue(DeviceMessage(body: "later", timeToLive: .seconds(10)))
    clock.advance(by: .seconds(1_009))
    _ = try await queueAgain.receive(max: 5)
    try await again.close()
  }

  @Test("Dead letters are sent again once in any order, whatever the stream says behind them")
  func resentBackwards() async throws {
    let store = try await open()
    let queue = store.deviceQueue(for: "d")
    for number in 0..<6 { try await queue.enqueue(DeviceMessage(body: Payload("\(number)"))) }
    for message in try await queue.receive(max: 6) { try await queue.reject(message.lockToken) }
    while try await deadLetters(store).count < 6 { await Task.yield() }
    let letters = try await deadLetters(store)
    try await store.resend(letters[1])
    try await store.resend(letters[4])
    try await store.close()
    let again = try await open()
    for (index, letter) in letters.enumerated().reversed() {
      guard index == 1 || index == 4 else {
        try await again.resend(letter)
        continue
      }
      let refused = await failure { _ = try await again.resend(letter) }
      #expect(refused?.code == .invalidArgument)
    }
    let bodies = try await again.deviceQueue(for: "d").peek(max: 10).map(\.message.body)
    #expect(bodies == ["1", "4", "5", "3", "2", "0"])
    try await again.close()
  }

  @Test("A clock that is set wakes whoever waits for a delay to end, and ends times to live")
  func clockIsSet() async throws {
    let store = try await open(.init(feedback: .negative))
    let queue = store.deviceQueue(for: "d")
    try await queue.enqueue(DeviceMessage(body: "delayed"))
    let first = try #require(try await queue.receive(max: 1).first)
    try await queue.abandon(first.lockToken, delay: .seconds(600))
    let waiting = Task { try await queue.receive()?.message.message.body }
    clock.advance(by: .seconds(601))
    #expect(try await waiting.value == "delayed")
    clock.advance(by: .seconds(3_600))
    var statuses: [SettlementStatus] = []
    while statuses.isEmpty {
      statuses = try await feedback(store).map(\.statusCode)
      await Task.yield()
    }
    #expect(statuses == [.expired])
    try await store.close()
  }

  @Test("Consumer groups keep their place in the feedback")
  func groups() async throws {
    let store = try await open(.init(feedback: .full))
    let group = try await store.consumerGroup("billing")
    let queue = store.deviceQueue(for: "d")
    for number in 0..<3 {
      try await queue.enqueue(DeviceMessage(id: "m", body: Payload("\(number)")))
      let message = try #require(try await queue.receive(max: 1).first)
      try await queue.complete(message.lockToken)
    }
    var seen = 0
    for try await batch in group.batches(in: .feedback) {
      seen += batch.count
      try await group.commit(batch.checkpoint)
      if seen == 3 { break }
    }
    #expect(group.checkpoint(in: .feedback)?.next == 3)
    #expect(try await group.lag(in: .feedback).events == 0)
    try await store.close()
    let again = try await open()
    let groupAgain = try await again.consumerGroup("billing")
    #expect(groupAgain.checkpoint(in: .feedback)?.next == 3)
    try await again.close()
  }

  @Test("A snapshot holds the queues and what was said of them")
  func snapshot() async throws {
    let store = try await open(.init(feedback: .full))
    let queue = store.deviceQueue(for: "d")
    for id: MessageID in ["a", "b"] {
      try await queue.enqueue(DeviceMessage(id: id, body: "x"))
    }
    let message = try #require(try await queue.receive(max: 1).first)
    try await queue.complete(message.lockToken)
    try await store.snapshot(to: "/copy")
    try await queue.purge()
    try await store.close()
    let copy = try await storage.open(at: "/copy", clock: clock)
    #expect(try await copy.deviceQueue(for: "d").counts()?.pending == 1)
    try await copy.close()
    let again = try await storage.open(at: "/copy", access: .readOnly, clock: clock)
    #expect(try await feedback(again).map(\.originalMessageID) == ["a"])
    #expect(try await again.deviceQueue(for: "d").peek().count == 1)
    try await again.close()
  }
}

extension DeviceQueue {
  fileprivate func receiveNext(for duration: Duration) async throws -> LockedMessage {
    var iterator = messages(lockFor: duration).makeAsyncIterator()
    return try #require(try await iterator.next())
  }

  /// Whether the wait ends without a message.
  fileprivate func receiveNothing() async throws -> Bool {
    do throws(EventStoreError) {
      return try await receive() == nil
    } catch  where error.code == .closed {
      return true
    }
  }
}
