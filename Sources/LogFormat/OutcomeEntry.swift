/// What a record of the feedback or the dead letters begins with: a copy of an entry of the journal
/// (format-spec §14.3).
package struct OutcomeEntry: Hashable, Sendable {
  /// The number that the entry has in the journal.
  package let number: UInt64
  package let entry: JournalEntry
  /// Bytes of it; in the dead letters a message's body may follow.
  package let size: Int

  /// Decodes one at the start of a record's body.
  ///
  /// - Parameters:
  ///   - bytes: the body.
  ///   - stream: the feedback or the dead letters.
  /// - Throws: `.corrupt` for what is no record of that stream, `.unsupportedFeatures` for one of a
  ///   later program.
  package init(decoding bytes: RawSpan, in stream: FileHeader.Stream) throws(FormatError) {
    var reader = ByteReader(bytes)
    number = try reader.variableLengthNumber()
    let decoded = try JournalEntry.decode(bytes.extracting(reader.position..<bytes.byteCount))
    entry = decoded.entry
    size = reader.position + decoded.size
    let carriesBody: Bool
    switch (stream, entry) {
    case (.feedback, .settled(let settled)) where settled.givesFeedback:
      guard settled.deadLetter == nil else {
        throw .corrupt("a record of the feedback holds a dead letter")
      }
      carriesBody = false
    case (.deadLetter, .settled(let settled)) where settled.deadLetter != nil:
      carriesBody = true
    case (.deadLetter, .enqueued(let enqueued)) where enqueued.deadLetter != nil:
      carriesBody = false
    default: throw .corrupt("a record of an outcome holds none")
    }
    guard carriesBody || size == bytes.byteCount else {
      throw .corrupt("\(bytes.byteCount - size) bytes follow an outcome that no message follows")
    }
  }
}
