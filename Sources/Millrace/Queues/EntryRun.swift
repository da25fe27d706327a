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
      let entry = JournalEntry.settled(settled)
      state.scratch.removeAll()
      entry.encode(into: &state.scratch)
      let number = try append(message, of: device, &state, at: turn.time)
      if let number {
        state.table.apply(entry, number: number, device: device, at: turn.time)
        note(entry, number, &state)
      }
      return number
    }
    // As a span: entries are large to copy.
    let entries = run.span
    state.scratch.removeAll()
    for place in entries.indices { entries[place].encode(into: &state.scratch) }
    guard let number = try append(of: device, state, at: turn.time) else { return nil }
    state.table.apply(entries, number: number, device: device, at: turn.time)
    for place in entries.indices { note(entries[place], number, &state) }
    return number
  }

  /// The same for entries of one device in as many records as it takes, and for the messages that
  /// they need: what is not done where this is not done has to be decided once more.
  ///
  /// - Parameters:
  ///   - entries: what was decided.
  ///   - device: whose queue it is.
  ///   - state: what the lock guards.
  ///   - turn: what holds now.
  ///   - lastNumber: becomes the number of the last record.
  /// - Returns: whether all of it was done.
  /// - Throws: ``EventStoreError`` where the journal takes no more.
  func put(
    _ entries: [JournalEntry], of device: borrowing EventModel.DeviceID, _ state: inout State,
    _ turn: Turn, last lastNumber: inout UInt64?
  ) throws(EventStoreError) -> Progress {
    let missing = entries.compactMap { turn.messageNeeded(for: $0, of: device, state) }
    guard missing.isEmpty else { return .needsMessages(missing) }
    var next = 0
    while next < entries.count {
      state.run.removeAll()
      while next < entries.count, state.run.take(entries[next]) { next += 1 }
      guard let number = try putRun(of: device, &state, turn) else { return .needsRoom }
      lastNumber = number
    }
    return .done
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

  /// The same for the messages that were found to be completed, of which nothing is kept.
  func putCompleted(
    of device: borrowing EventModel.DeviceID, _ state: inout State, at time: QueueTime
  ) throws(EventStoreError) -> UInt64? {
    state.scratch.removeAll()
    for place in state.found.indices {
      state.found[place].completed.encode(into: &state.scratch)
    }
    guard let number = try append(of: device, state, at: time) else { return nil }
    for place in state.found.indices {
      state.recent.remove(state.found[place].sequence)
      state.table.applyCompleted(state.found[place])
    }
    return number
  }
}
