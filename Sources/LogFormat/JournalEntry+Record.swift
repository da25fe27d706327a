internal import EventModel

/// What the body of a record holds: one entry that stands alone, or a run of others
/// (format-spec §14.1).
extension JournalEntry {
  /// Whether a record with this entry holds no other: what is behind it is the message's body.
  package var standsAlone: Bool {
    switch self {
    case .enqueued, .deviceRemoved: true
    case .settled(let settled): settled.givesFeedback || settled.deadLetter != nil
    case .locked, .returned: false
    }
  }

  /// Whether a message's body follows the entry; behind any other nothing does.
  package var carriesBody: Bool {
    switch self {
    case .enqueued: true
    case .settled(let settled): settled.deadLetter != nil
    case .locked, .returned, .deviceRemoved: false
    }
  }

  /// Decodes the entry of a record that holds one which stands alone.
  ///
  /// - Parameter bytes: the record's body.
  /// - Returns: the entry, and how many bytes it took; the message's body follows, if there is one.
  /// - Throws: as ``decodeAll(_:into:)``, and `.corrupt` for an entry of a run.
  package static func decodeAlone(
    _ bytes: RawSpan
  ) throws(FormatError) -> (entry: JournalEntry, size: Int) {
    let (entry, size) = try decode(bytes)
    guard entry.standsAlone else { throw .corrupt("a record about messages carries none") }
    try entry.checkEnd(bytes.byteCount - size)
    return (entry, size)
  }

  /// - Throws: `.corrupt` where there are bytes behind the entry and it carries no message.
  func checkEnd(_ count: Int) throws(FormatError) {
    guard count == 0 || carriesBody else {
      throw .corrupt("\(count) bytes follow an entry that no message follows")
    }
  }

  /// Decodes all entries of a record's body: where one of them cannot be read, none of them holds.
  ///
  /// - Parameters:
  ///   - bytes: the body.
  ///   - entries: what they replace, so that its memory is used again; of no meaning where this
  ///     throws.
  /// - Returns: how many bytes they took; the message's body follows, if there is one.
  /// - Throws: `.corrupt` for what is no entry, or not in its place, `.unsupportedFeatures` for an
  ///   entry of a later program.
  package static func decodeAll(
    _ bytes: RawSpan, into entries: inout [JournalEntry]
  ) throws(FormatError) -> Int {
    entries.removeAll(keepingCapacity: true)
    var position = 0
    repeat {
      let (entry, size) = try decode(bytes.extracting(position..<bytes.byteCount))
      guard entries.isEmpty || !entry.standsAlone else {
        throw .corrupt("an entry at \(position) that stands alone is behind another")
      }
      guard entries.count < Limits.journalRunCountMax else {
        throw .corrupt("a record of more than \(Limits.journalRunCountMax) entries")
      }
      entries.append(entry)
      position += size
      if entry.standsAlone {
        try entry.checkEnd(bytes.byteCount - position)
        break
      }
    } while position < bytes.byteCount
    return position
  }
}
