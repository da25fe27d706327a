import EventModel
import FuzzHarness
import LogFormat

/// What stands before the message in the records of device queues, made of any bytes: in the
/// journal, in feedback and dead letters, in queue files and their directory.
///
/// The input of the last two begins with a byte that says which of the two it is.
enum QueueRecords {
  static let journal = FuzzTarget("journal", seeds: journalSeeds) { input in
    do throws(FormatError) {
      try examineAlone(input)
      try examineRun(input)
    } catch {
      // Damage that was noticed.
    }
  }

  static let outcomes = FuzzTarget("outcomes", seeds: outcomeSeeds) { input in
    do throws(FormatError) {
      try examineOutcome(
        Array(input.dropFirst()), in: (input.first ?? 0) & 1 == 0 ? .feedback : .deadLetter)
    } catch {
      // Damage that was noticed.
    }
  }

  static let filed = FuzzTarget("filed", seeds: filedSeeds) { input in
    do throws(FormatError) {
      let body = Array(input.dropFirst())
      if (input.first ?? 0) & 1 == 0 { try examineMessage(body) } else { try examineQueue(body) }
    } catch {
      // Damage that was noticed.
    }
  }

  private static func examineAlone(_ body: [UInt8]) throws(FormatError) {
    do throws(FormatError) {
      let (entry, size) = try JournalEntry.decodeAlone(body.span.bytes)
      precondition(size <= body.count, "an entry of \(size) bytes in \(body.count)")
      precondition(entry.standsAlone, "an entry of a run stands alone")
    } catch .corrupt {
      // It may be one of a run.
    }
  }

  private static func examineRun(_ body: [UInt8]) throws(FormatError) {
    var entries: [JournalEntry] = []
    let size = try JournalEntry.decodeAll(body.span.bytes, into: &entries)
    precondition(size <= body.count, "entries of \(size) bytes in \(body.count)")
    precondition(
      size == body.count || entries[0].standsAlone, "bytes are left behind a run of entries")
    var buffer = ByteBuffer()
    for entry in entries { entry.encode(into: &buffer) }
    var again: [JournalEntry] = []
    _ = try buffer.withBytes { bytes throws(FormatError) in
      try JournalEntry.decodeAll(bytes, into: &again)
    }
    precondition(again == entries, "journal entries change when they are written again")
    if entries.count > 1 { Fuzzing.landmark() }
  }

  private static func examineOutcome(
    _ body: [UInt8], in stream: FileHeader.Stream
  ) throws(FormatError) {
    let outcome = try OutcomeEntry(decoding: body.span.bytes, in: stream)
    precondition(outcome.size <= body.count, "an outcome of \(outcome.size) in \(body.count)")
    var buffer = ByteBuffer()
    buffer.appendVariableLength(outcome.number)
    outcome.entry.encode(into: &buffer)
    let again = try buffer.withBytes { bytes throws(FormatError) in
      try OutcomeEntry(decoding: bytes, in: stream)
    }
    precondition(again.number == outcome.number, "an outcome's number changes")
    precondition(again.entry == outcome.entry, "an outcome changes when it is written again")
    if stream == .deadLetter { Fuzzing.landmark() }
  }

  private static func examineMessage(_ body: [UInt8]) throws(FormatError) {
    var reader = ByteReader(body.span.bytes)
    let message = try FiledMessage(decoding: &reader)
    var buffer = ByteBuffer()
    message.encode(into: &buffer)
    let again = try buffer.withBytes { bytes throws(FormatError) in
      var reader = ByteReader(bytes)
      return try FiledMessage(decoding: &reader)
    }
    precondition(again == message, "a message changes when it is filed again")
  }

  private static func examineQueue(_ body: [UInt8]) throws(FormatError) {
    let queue = try FiledQueue(decoding: body.span.bytes)
    precondition(queue.messages.count <= FiledQueue.messageCountMax, "too many messages")
    var buffer = ByteBuffer()
    queue.encode(into: &buffer)
    let again = try buffer.withBytes { bytes throws(FormatError) in
      try FiledQueue(decoding: bytes)
    }
    precondition(again.checkpoint == queue.checkpoint, "a directory's checkpoint changes")
    precondition(again.isOutdated == queue.isOutdated, "a queue file is outdated no more")
    precondition(
      again.messages.map(\.message) == queue.messages.map(\.message)
        && again.messages.map(\.size) == queue.messages.map(\.size),
      "a directory changes when it is written again")
    if queue.messages.count > 1 { Fuzzing.landmark() }
  }

  private static let time = Timestamp(microseconds: 1_700_000_000_000_000)
  private static let letter = JournalEntry.settled(
    .init(
      sequence: 301, status: .rejected, givesFeedback: true, deliveryCount: 1,
      description: "too hot", deadLetter: .init(enqueued: time, expiry: time, feedback: .full)))
  private static let success = JournalEntry.settled(
    .init(
      sequence: 301, status: .success, givesFeedback: true, deliveryCount: 1,
      description: "Success"))

  private static func journalSeeds() -> [[UInt8]] {
    let run: [JournalEntry] = [
      .returned(.init(sequence: 300, deliveryCount: 1, availableFrom: time)),
      .locked(.init(sequence: 300, deliveryCount: 2, duration: 60_000_000)),
      .settled(
        .init(
          sequence: 301, status: .success, givesFeedback: false, deliveryCount: 1,
          description: "Success")),
    ]
    let alone: [JournalEntry] = [
      letter, success, .deviceRemoved, .enqueued(.init(expiry: time, feedback: .full)),
      .enqueued(.init(expiry: time, feedback: .negative, deadLetter: 7)),
    ]
    return [bytes { for entry in run { entry.encode(into: &$0) } }]
      + alone.map { entry in bytes { entry.encode(into: &$0) } }
  }

  private static func outcomeSeeds() -> [[UInt8]] {
    let again = JournalEntry.enqueued(.init(expiry: time, feedback: .negative, deadLetter: 7))
    return [(0, success), (1, letter), (1, again)].map { stream, entry in
      [stream]
        + bytes {
          $0.appendVariableLength(300)
          entry.encode(into: &$0)
        }
    }
  }

  private static func filedSeeds() -> [[UInt8]] {
    let messages = [
      FiledMessage(sequence: 300, expiry: time, feedback: .full, deliveryCount: 1),
      FiledMessage(
        sequence: 301, expiry: time, feedback: .none, deliveryCount: 2, availableFrom: time,
        isLocked: true),
    ]
    let queue = FiledQueue(
      checkpoint: 4, isOutdated: true, messages: messages.map { (message: $0, size: 17) })
    return messages.map { message in [0] + bytes { message.encode(into: &$0) } }
      + [[1] + bytes { queue.encode(into: &$0) }]
  }

  private static func bytes(_ write: (inout ByteBuffer) -> Void) -> [UInt8] {
    var buffer = ByteBuffer()
    write(&buffer)
    return buffer.array(0..<buffer.count)
  }
}
