internal import EventModel
internal import LogFormat

/// A record of the feedback or dead-letter stream: a copy of a record in the journal, with its
/// number there before it (format-spec §14.3).
struct OutcomeRecord {
  /// What it tells.
  enum Content {
    case settled(JournalEntry.Settled)
    /// The dead letter that had this sequence number is in its queue again.
    case sentAgain(UInt64)
  }

  let number: UInt64
  let content: Content
  let record: JournalRecord

  /// - Throws: ``FormatError`` where the event is no such record.
  init(_ event: EventView) throws(FormatError) {
    guard let stream = PartitionID.stream(event.position.partition.number) else {
      throw .corrupt("an event of a partition is no outcome")
    }
    let outcome = try OutcomeEntry(decoding: event.body, in: stream)
    number = outcome.number
    record = JournalRecord(entry: outcome.entry, event: event, bodyStart: outcome.size)
    switch outcome.entry {
    case .settled(let settled): content = .settled(settled)
    case .enqueued(let enqueued):
      guard let letter = enqueued.deadLetter else { fallthrough }
      content = .sentAgain(letter)
    default: throw .corrupt("a record of an outcome holds none")
    }
  }

  /// Encodes a copy of a journal's record.
  static func encode(_ record: JournalRecord, withMessage: Bool, into buffer: inout ByteBuffer) {
    buffer.appendVariableLength(record.number)
    if withMessage {
      buffer.append(record.event.body)
    } else {
      var entry = record.entry
      if case .settled(var settled) = entry {
        settled.deadLetter = nil
        entry = .settled(settled)
      }
      entry.encode(into: &buffer)
    }
  }
}
