internal import EventModel
internal import LogFormat

/// A record of the feedback or dead-letter stream: a copy of a settlement's record in the journal,
/// with its number there before it (format-spec §14.3).
struct OutcomeRecord {
  let number: UInt64
  let settled: JournalEntry.Settled
  let record: JournalRecord

  /// - Throws: ``FormatError`` where the event is no such record.
  init(_ event: EventView) throws(FormatError) {
    var reader = ByteReader(event.body)
    number = try reader.variableLengthInteger()
    record = try JournalRecord(event, skipping: reader.position)
    guard case .settled(let settled) = record.entry else {
      throw .corrupt("a record of an outcome holds no settlement")
    }
    self.settled = settled
  }

  /// Encodes a copy of a journal's record.
  static func encode(_ record: JournalRecord, withMessage: Bool, into buffer: inout ByteBuffer) {
    buffer.appendVariableLength(record.number)
    if withMessage {
      buffer.append(record.event.body)
    } else if case .settled(var settled) = record.entry {
      settled.deadLetter = nil
      JournalEntry.settled(settled).encode(into: &buffer)
    }
  }
}
