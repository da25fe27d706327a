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
    var reader = ByteReader(event.body)
    number = try reader.variableLengthInteger()
    record = try JournalRecord(event, skipping: reader.position)
    switch record.entry {
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
