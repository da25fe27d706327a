package import EventModel
package import LogFormat

/// What stands before the message in a record about a device's queue (format-spec §14).
package struct QueueRecord: Sendable {
  package enum Content: Sendable {
    /// Changes of the queue, one or more; in the feedback and the dead letters one, with the number
    /// that it has in the journal.
    case entries([JournalEntry], number: UInt64?)
    /// A message of a queue file.
    case filed(FiledMessage)
    /// What the directory says of a queue file.
    case directory(FiledQueue)
  }

  package let content: Content
  /// The message's own body; empty where there is none.
  package let body: Payload
}

extension InspectedRecord {
  /// The record as one about a device's queue; nil for an event, or where it is none.
  package var queueRecord: QueueRecord? {
    let bytes = batch.body(at: index)
    do throws(FormatError) {
      var reader = ByteReader(bytes)
      let content: QueueRecord.Content
      switch (kind, stream) {
      case (.queueDirectory, _):
        return QueueRecord(content: .directory(try FiledQueue(decoding: bytes)), body: .empty)
      case (.queue, _): content = .filed(try FiledMessage(decoding: &reader))
      case (_, .events): return nil
      case (_, .journal):
        var entries: [JournalEntry] = []
        try reader.skip(try JournalEntry.decodeAll(bytes, into: &entries))
        content = .entries(entries, number: nil)
      case (_, .feedback), (_, .deadLetter):
        let outcome = try OutcomeEntry(decoding: bytes, in: stream)
        try reader.skip(outcome.size)
        content = .entries([outcome.entry], number: outcome.number)
      }
      return QueueRecord(
        content: content,
        body: Payload(copying: bytes.extracting(reader.position..<bytes.byteCount)))
    } catch {
      // What it is not the check of its file tells.
      return nil
    }
  }
}
