internal import DeviceQueueing
internal import EventModel
internal import LogFormat

/// Entries of one device that were decided and go into the journal as one record
/// (format-spec §14.1).
///
/// None is applied before the next is decided: whoever fills a run decides nothing twice in it.
/// Filled again and again, so that a group of entries costs no memory of its own.
struct EntryRun: ~Copyable, Sendable {
  private(set) var entries: [JournalEntry] = []
  private var isFull = false

  mutating func removeAll() {
    entries.removeAll(keepingCapacity: true)
    isFull = false
  }

  /// Adds an entry; false where it has to go into another record.
  mutating func take(_ entry: JournalEntry) -> Bool {
    let isAlone = entry.standsAlone || entry.needsMessage
    guard entries.isEmpty || !(isAlone || isFull) else { return false }
    entries.append(entry)
    isFull = isAlone || entries.count == Limits.journalRunCountMax
    return true
  }
}

extension JournalEntry {
  /// Whether something of the message is kept with it.
  var needsMessage: Bool {
    guard case .settled(let settled) = self else { return false }
    return settled.status.isDeadLetter || settled.givesFeedback
  }
}

extension QueueCore {
  /// Journals the entries of the run as one record, with what they keep of a message, and applies
  /// them; nil when there is no room.
  ///
  /// - Parameters:
  ///   - device: whose queue it is.
  ///   - state: what the lock guards, with the run; the message it needs has been read.
  ///   - turn: what holds now.
  /// - Returns: the record's number.
  /// - Throws: ``EventStoreError`` where the journal takes no more.
  func putRun(
    of device: borrowing EventModel.DeviceID, _ state: inout State, _ turn: Turn
  ) throws(EventStoreError) -> UInt64? {
    let run = state.run.entries
    if let first = run.first, first.needsMessage, case .settled(var settled) = first,
      let sent = state.recent[settled.sequence] ?? turn.messages[settled.sequence] ?? nil
    {
      let message = sent.kept(by: &settled)
      return try put(.settled(settled), device, carrying: message, &state, at: turn.time)
    }
    // As a span: entries are large to copy.
    let entries = run.span
    state.scratch.removeAll()
    for place in entries.indices { entries[place].encode(into: &state.scratch) }
    let number = try state.scratch.withBytes { (bytes) throws(EventStoreError) in
      try journal.append(
        from: device, body: bytes, properties: Properties(), systemProperties: nil,
        at: turn.time.wall.microseconds)
    }
    if let number {
      state.table.apply(entries, number: number, device: device, at: turn.time)
      for place in entries.indices { note(entries[place], number, &state) }
    }
    return number
  }

  /// The same for a single entry.
  func put(
    _ entry: JournalEntry, of device: borrowing EventModel.DeviceID, _ state: inout State,
    _ turn: Turn
  ) throws(EventStoreError) -> UInt64? {
    state.run.removeAll()
    _ = state.run.take(entry)
    return try putRun(of: device, &state, turn)
  }
}
