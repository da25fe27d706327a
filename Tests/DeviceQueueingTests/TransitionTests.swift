import DeviceQueueing
import EventModel
import LogFormat
import Testing

/// Every transition of the hub's state machine (reference sheet 3.2), and what this store adds.
@Suite("Transitions of a message")
struct TransitionTests {
  @Test("1, 2, 3: sent, received, completed; only one who asked hears of it")
  func completed() throws {
    for mode in FeedbackMode.allCases {
      var queues = TestQueues()
      let sequence = try queues.enqueue(feedback: mode)
      let (tokens, entries) = queues.receive()
      #expect(entries.locked == [sequence])
      #expect(queues.table.messages(of: "d").map(\.deliveryCount) == [1])
      #expect(queues.receive().tokens.isEmpty, "it is hidden")
      guard case .settled(let settled) = try queues.settle(tokens[0], .complete) else {
        Issue.record("not settled")
        return
      }
      #expect(settled.status == .success && settled.sequence == sequence)
      #expect(settled.givesFeedback == [.positive, .full].contains(mode))
      #expect(queues.table.counts(of: "d") == nil)
      #expect(queues.table.deviceCount == 0 && queues.table.messageCount == 0)
    }
  }

  @Test("4: rejected with a reason")
  func rejected() throws {
    for mode in FeedbackMode.allCases {
      var queues = TestQueues()
      try queues.enqueue(feedback: mode)
      let token = queues.receive().tokens[0]
      let entry = try queues.settle(token, .reject(reason: "too hot"))
      guard case .settled(let settled) = entry else {
        Issue.record("not settled")
        return
      }
      #expect(settled.status == .rejected && settled.description == "too hot")
      #expect(settled.givesFeedback == [.negative, .full].contains(mode))
      #expect(settled.deliveryCount == 1)
    }
  }

  @Test("5: abandoned, at once or later, and back at its own place")
  func abandoned() throws {
    var queues = TestQueues()
    let numbers = [try queues.enqueue(), try queues.enqueue(), try queues.enqueue()]
    let first = queues.receive(max: 2).tokens
    try queues.settle(first[0], .abandon(availableFrom: nil))
    #expect(queues.receive(max: 3).entries.locked == [numbers[0], numbers[2]])
    let later = Timestamp(microseconds: queues.time.wall.microseconds + 5 * TestQueues.second)
    try queues.settle(first[1], .abandon(availableFrom: later))
    #expect(queues.receive(max: 3).tokens.isEmpty)
    #expect(queues.table.nextDue(at: queues.time).wall <= later)
    queues.pass(4)
    #expect(queues.table.takeUndelayed(at: queues.time).isEmpty)
    queues.pass(1)
    #expect(queues.table.takeUndelayed(at: queues.time) == ["d"])
    #expect(queues.receive(max: 3).entries.locked == [numbers[1]])
    #expect(queues.table.messages(of: "d").map(\.deliveryCount) == [2, 2, 1])
  }

  @Test("6: the last delivery abandoned: dead")
  func tooOften() throws {
    var queues = TestQueues(QueueRules(deliveryCountMax: 3))
    try queues.enqueue(feedback: .negative)
    for round in 1...3 {
      let token = queues.receive().tokens[0]
      let entry = try queues.settle(token, .abandon(availableFrom: nil))
      #expect((entry.status == .deliveryCountExceeded) == (round == 3))
    }
    #expect(queues.table.messageCount == 0)
  }

  @Test("7: a lock that runs out counts, or does not", arguments: [true, false])
  func lockTimeout(counts: Bool) throws {
    var queues = TestQueues(QueueRules(deliveryCountMax: 3, lockTimeoutsCount: counts))
    let sequence = try queues.enqueue(timeToLive: 1_000_000)
    for round in 1...5 {
      let (tokens, entries) = queues.receive(seconds: 10)
      guard !counts || round <= 3 else {
        #expect(entries.isEmpty)
        continue
      }
      #expect(entries.locked == [sequence])
      #expect(queues.table.messages(of: "d")[0].deliveryCount == (counts ? round : 1))
      #expect(queues.table.nextDue(at: queues.time).steady == queues.time.steady + 10_000_000)
      queues.pass(9.9)
      #expect(queues.expire().isEmpty)
      queues.pass(0.1)
      #expect(throws: QueueRejection.lockLost(sequence: sequence), "too late, noticed or not") {
        try queues.settle(tokens[0], .complete)
      }
      let ended = queues.expire()
      #expect(ended.count == 1)
      #expect((ended[0].status == .deliveryCountExceeded) == (counts && round == 3))
    }
  }

  @Test("7: a receive finds out by itself that a lock has run out")
  func lockTimeoutAtReceive() throws {
    var queues = TestQueues(QueueRules(deliveryCountMax: 2))
    let sequence = try queues.enqueue()
    _ = queues.receive(seconds: 1)
    queues.pass(1)
    let again = queues.receive(seconds: 1)
    #expect(again.entries.count == 2 && again.entries.locked == [sequence])
    queues.pass(1)
    let last = queues.receive(seconds: 1)
    #expect(last.entries.map(\.status) == [.deliveryCountExceeded])
  }

  @Test("8: expired, available, locked or delayed; feedback as for any failure")
  func expired() throws {
    var queues = TestQueues()
    for number in 0..<3 {
      try queues.enqueue(timeToLive: Double(10 + number), feedback: .full)
    }
    let tokens = queues.receive(max: 2).tokens
    let later = Timestamp(microseconds: queues.time.wall.microseconds + 100 * TestQueues.second)
    try queues.settle(tokens[1], .abandon(availableFrom: later))
    queues.pass(10)
    #expect(throws: QueueRejection.lockLost(sequence: 0)) {
      try queues.settle(tokens[0], .complete)
    }
    queues.pass(5)
    let ended = queues.expire()
    #expect(ended.map(\.status) == [.expired, .expired, .expired])
    #expect(queues.table.messageCount == 0 && queues.table.lockedCount == 0)
    #expect(queues.table.takeUndelayed(at: queues.time).isEmpty)
  }

  @Test("8: a receive settles what has expired, and passes it over")
  func expiredAtReceive() throws {
    var queues = TestQueues()
    try queues.enqueue(timeToLive: 1)
    let second = try queues.enqueue()
    queues.pass(1)
    let (_, entries) = queues.receive()
    #expect(entries.first?.status == .expired)
    #expect(entries.locked == [second])
  }

  @Test("9: purged, locked ones too")
  func purged() throws {
    var queues = TestQueues()
    try queues.enqueue(feedback: .negative)
    try queues.enqueue(feedback: .positive)
    let token = queues.receive().tokens[0]
    try queues.enqueue(to: "other")
    let entries = queues.table.decidePurge(of: "d")
    #expect(entries.map(\.status) == [.purged, .purged])
    let feedback = entries.map {
      if case .settled(let settled) = $0 { settled.givesFeedback } else { false }
    }
    #expect(feedback == [true, false])
    for entry in entries { queues.apply(entry, to: "d") }
    #expect(throws: QueueRejection.self) { try queues.settle(token, .complete) }
    #expect(queues.table.deviceCount == 1 && queues.table.counts(of: "other")?.pending == 1)
  }

  @Test("10: a device that is removed leaves nothing")
  func removed() throws {
    var queues = TestQueues()
    for _ in 0..<3 { try queues.enqueue(feedback: .full) }
    let token = queues.receive().tokens[0]
    queues.apply(.deviceRemoved, to: "d")
    queues.apply(.deviceRemoved, to: "nobody")
    #expect(queues.table.deviceCount == 0 && queues.table.lockedCount == 0)
    #expect(throws: QueueRejection.self) { try queues.settle(token, .complete) }
    queues.pass(10_000)
    #expect(queues.expire().isEmpty)
  }

  @Test("11: a token that is stale, foreign, doubled or of an earlier opening")
  func tokens() throws {
    var queues = TestQueues()
    let sequence = try queues.enqueue()
    try queues.enqueue(to: "other")
    let old = queues.receive(seconds: 1).tokens[0]
    queues.pass(1)
    let fresh = queues.receive(seconds: 10).tokens[0]
    #expect(old.sequenceNumber == fresh.sequenceNumber && old != fresh)
    let lost = QueueRejection.lockLost(sequence: sequence)
    #expect(throws: lost) { try queues.settle(old, .complete) }
    #expect(throws: lost) { try queues.settle(fresh, .complete, of: "other") }
    #expect(throws: lost) { try queues.settle(fresh, .complete, of: "nobody") }
    var restarted = queues.replayed()
    #expect(throws: lost) {
      try restarted.decideSettle(fresh, of: "d", .complete, at: queues.time)
    }
    #expect(throws: lost) {
      try restarted.renew(fresh, of: "d", for: 1_000_000, at: queues.time)
    }
    try queues.settle(fresh, .complete)
    #expect(throws: lost) { try queues.settle(fresh, .complete) }
    #expect(LockToken("\(fresh)") == fresh)
    for text in [
      "", "12", "\(fresh)0", "+" + "\(fresh)".dropFirst(), "zz" + "\(fresh)".dropFirst(2),
    ] {
      #expect(LockToken(text) == nil, "\(text)")
    }
  }

  @Test("A lock that is renewed runs out later")
  func renewed() throws {
    var queues = TestQueues()
    try queues.enqueue()
    let token = queues.receive(seconds: 10).tokens[0]
    queues.pass(9)
    try queues.table.renew(token, of: "d", for: 10 * TestQueues.second, at: queues.time)
    queues.pass(9)
    #expect(queues.expire().isEmpty)
    queues.pass(1)
    #expect(queues.expire().count == 1)
    #expect(throws: QueueRejection.self) {
      try queues.table.renew(token, of: "d", for: 10, at: queues.time)
    }
  }

  @Test("A restart ends every lock, and the delivery counts", arguments: [true, false])
  func restart(counts: Bool) throws {
    var queues = TestQueues(QueueRules(deliveryCountMax: 1, lockTimeoutsCount: counts))
    let sequence = try queues.enqueue()
    _ = queues.receive()
    var table = queues.replayed()
    let entries = table.decideRestart()
    #expect(entries.count == 1)
    #expect((entries.first?.entry.status == .deliveryCountExceeded) == counts)
    for (device, entry) in entries {
      table.apply(entry, number: 10, device: device, at: queues.time)
    }
    #expect(table.lockedCount == 0)
    #expect(table.messages(of: "d").map(\.sequence) == (counts ? [] : [sequence]))
    #expect(table.messages(of: "d").allSatisfy { $0.deliveryCount == 0 })
  }

  @Test("A journal that counts a delivery as none makes no count fall below it")
  func countOfNone() throws {
    var queues = TestQueues(QueueRules(lockTimeoutsCount: false))
    let sequence = try queues.enqueue()
    queues.apply(.locked(.init(sequence: sequence, deliveryCount: 0, duration: 1)), to: "d")
    queues.pass(1)
    #expect(queues.expire() == [.returned(.init(sequence: sequence, deliveryCount: 0))])
  }

  @Test("A full queue, by number and by size, and a message that is dead on arrival")
  func refused() throws {
    var queues = TestQueues(QueueRules(depthMax: 3, sizeMax: 100))
    try queues.enqueue(size: 60)
    #expect(throws: QueueRejection.sizeExceeded(size: 101, limit: 100)) {
      try queues.enqueue(size: 41)
    }
    try queues.enqueue(size: 40)
    try queues.enqueue(size: 0)
    _ = queues.receive()
    #expect(throws: QueueRejection.full(depth: 3, limit: 3)) { try queues.enqueue(size: 0) }
    try queues.enqueue(to: "other", size: 100)
    let now = queues.time.wall
    #expect(throws: QueueRejection.expired(now)) { try queues.enqueue(to: "x", timeToLive: 0) }
    let counts = queues.table.counts(of: "d")
    #expect(counts?.pending == 3 && counts?.locked == 1)
    #expect(counts?.size == 100 && counts?.first == 0)
  }

  @Test("What is not durable is not given out")
  func notDurable() throws {
    var queues = TestQueues()
    let first = try queues.enqueue()
    try queues.enqueue()
    var found: [FoundMessage] = []
    let due = queues.table.decideReceive(
      by: "d", max: 5, below: first + 1, at: queues.time, into: &found)
    #expect(due.isEmpty && found.map(\.sequence) == [first])
  }
}
