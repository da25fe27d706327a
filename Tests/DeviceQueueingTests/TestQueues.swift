import DeviceQueueing
import EventModel
import LogFormat

/// A table with a journal that forgets everything but its numbers, and clocks set by hand.
struct TestQueues: ~Copyable {
  var table: QueueTable
  var time = QueueTime(wall: Timestamp(microseconds: 1_700_000_000_000_000), steady: 0)
  /// What has been applied.
  private(set) var journal: [Record] = []
  private var durable: UInt64 = 0

  struct Record {
    let device: DeviceID
    let entry: JournalEntry
    let size: Int
    let time: Timestamp
  }

  init(_ rules: QueueRules = QueueRules(), key: UInt64 = 1) {
    table = QueueTable(rules: rules, key: key)
  }

  static let second: Int64 = 1_000_000

  /// Both clocks go on.
  mutating func pass(_ seconds: Double) {
    let delta = Int64(seconds * 1_000_000)
    time.wall = Timestamp(microseconds: time.wall.microseconds + delta)
    time.steady += delta
  }

  @discardableResult
  mutating func apply(_ entry: JournalEntry, to device: DeviceID, size: Int = 0) -> UInt64 {
    let number = durable
    table.apply(entry, number: number, device: device, size: size, at: time)
    journal.append(Record(device: device, entry: entry, size: size, time: time.wall))
    durable += 1
    return number
  }

  /// Enqueues, and returns the sequence number.
  @discardableResult
  mutating func enqueue(
    to device: DeviceID = "d", size: Int = 10, timeToLive: Double = 3_600,
    feedback: FeedbackMode = .none
  ) throws(QueueRejection) -> UInt64 {
    let expiry = Timestamp(microseconds: time.wall.microseconds + Int64(timeToLive * 1_000_000))
    let entry = try table.decideEnqueue(
      to: device, size: size, expiry: expiry, feedback: feedback, at: time)
    return apply(.enqueued(entry), to: device, size: size)
  }

  /// Receives; what it settled on the way comes first.
  mutating func receive(
    by device: DeviceID = "d", max: Int = 1, seconds: Double = 60
  ) -> (tokens: [LockToken], entries: [JournalEntry]) {
    let duration = Int64(seconds * 1_000_000)
    var found: [FoundMessage] = []
    var entries = table.decideReceive(by: device, max: max, below: durable, at: time, into: &found)
    for entry in entries { apply(entry, to: device) }
    var tokens: [LockToken] = []
    for message in found {
      tokens.append(table.applyReceived(message, for: duration, at: time))
      entries.append(.locked(message.locked(for: duration)))
      journal.append(
        Record(
          device: device, entry: .locked(message.locked(for: duration)), size: 0, time: time.wall))
      durable += 1
    }
    return (tokens, entries)
  }

  @discardableResult
  mutating func settle(
    _ token: LockToken, _ verb: QueueVerb, of device: DeviceID = "d"
  ) throws(QueueRejection) -> JournalEntry {
    let entry = try table.decideSettle(token, of: device, verb, at: time)
    guard verb == .complete else {
      apply(entry, to: device)
      return entry
    }
    // The way of those who complete many at once.
    let found = try table.decideComplete(token, of: device, beside: nil, at: time)
    precondition(entry == .settled(found.completed), "\(found.completed) is not \(entry)")
    table.applyCompleted(found)
    journal.append(Record(device: device, entry: entry, size: 0, time: time.wall))
    durable += 1
    return entry
  }

  /// Does what time has done.
  @discardableResult
  mutating func expire() -> [JournalEntry] {
    var all: [JournalEntry] = []
    while true {
      let due = table.decideDue(at: time, max: 3)
      if due.isEmpty { return all }
      for (device, entry) in due { apply(entry, to: device) }
      all += due.map(\.entry)
    }
  }

  /// Another table that has applied the same journal: what is left after a restart.
  func replayed(key: UInt64 = 2) -> QueueTable {
    var other = QueueTable(rules: table.rules, key: key)
    for (number, record) in journal.enumerated() {
      other.apply(
        record.entry, number: UInt64(number), device: record.device, size: record.size, at: time)
    }
    return other
  }
}

extension JournalEntry {
  var status: SettlementStatus? {
    if case .settled(let settled) = self { settled.status } else { nil }
  }
}

extension [JournalEntry] {
  var locked: [UInt64] {
    compactMap { if case .locked(let locked) = $0 { locked.sequence } else { nil } }
  }
}
