internal import DeviceQueueing
internal import EventModel
internal import LogFormat
internal import Synchronization

/// A change of the queues that is made step by step, under their lock as long as nothing keeps it.
///
/// Each step decides by the table as the steps before it left it, is journaled and applied; steps
/// that are about one device and different messages may be taken together (``EntryRun``). Where
/// there is no room for more, or a message has to be read first, the lock is given up and the work
/// asked again to go on: what had been decided is decided once more, by the table as it is then.
///
/// A protocol and not a closure, so that a group of steps is one loop over values of known types.
protocol QueueWork {
  /// Takes steps until nothing is left to do.
  mutating func goOn(
    _ core: QueueCore, _ state: inout QueueCore.State, _ turn: QueueCore.Turn
  ) throws(EventStoreError) -> QueueCore.Progress

  /// The number of the last change that was made; nil for none.
  var lastNumber: UInt64? { get }

  /// A message that the work needs cannot be read now, although nothing says that it is damaged.
  ///
  /// - Throws: the failure, where the work cannot go on without it.
  mutating func pass(
    over wanted: QueueCore.Wanted, _ failure: EventStoreError
  ) throws(EventStoreError)
}

extension QueueWork {
  func pass(over wanted: QueueCore.Wanted, _ failure: EventStoreError) throws(EventStoreError) {
    throw failure
  }
}

extension QueueCore {
  /// How far work has come.
  enum Progress {
    case done
    /// The journal takes no more now, because what it took is not written yet, or because its
    /// reserve is.
    case needsRoom
    /// The disk is full, and what is left of the journal's reserve is for those who settle.
    case needsSpace
    /// These messages have to be read first: they go to the dead letters, or their id into a
    /// feedback record.
    case needsMessages([Wanted])
  }

  /// A message that has to be read.
  struct Wanted {
    let number: UInt64
    let device: EventModel.DeviceID
  }

  /// What holds while somebody has the lock.
  struct Turn {
    let time: QueueTime
    /// What was read because the work needs it; nil where it cannot be read.
    let messages: [UInt64: SentMessage?]
  }

  /// Does work and returns when all of it is applied, at once or when there is room.
  ///
  /// Durable when ``durable(_:)`` says so.
  func carryOut(_ work: inout some QueueWork) async throws(EventStoreError) {
    var messages: [UInt64: SentMessage?] = [:]
    while true {
      switch try attempt(&work, messages) {
      case .done: return
      case .needsRoom:
        if filing.hasSpace(in: journal) {
          try await journal.wait(for: .room)
        } else {
          try await readers.offload { [self] () throws(EventStoreError) in
            try filing.makeSpace(self)
          }
        }
      case .needsSpace:
        try await readers.offload { [self] () throws(EventStoreError) in try takeSpace() }
      case .needsMessages(let wanted):
        let found = try await readers.offload { [self] () throws(EventStoreError) in
          read(wanted)
        }
        try take(found, into: &messages, for: &work)
      }
    }
  }

  /// The same for threads that may block.
  func carryOutBlocking(_ work: inout some QueueWork) throws(EventStoreError) {
    var messages: [UInt64: SentMessage?] = [:]
    while true {
      switch try attempt(&work, messages) {
      case .done: return
      case .needsRoom:
        if filing.hasSpace(in: journal) {
          try journal.waitForRoom(BlockingWait())
        } else {
          try filing.makeSpace(self)
        }
      case .needsSpace: try takeSpace()
      case .needsMessages(let wanted): try take(read(wanted), into: &messages, for: &work)
      }
    }
  }

  /// Looks whether there is space again for new messages.
  ///
  /// Blocks for the disk.
  private func takeSpace() throws(EventStoreError) {
    guard try !takeReserve() else { return }
    throw EventStoreError(
      .storageFull,
      "the disk is full, and what the queues keep in reserve is for settling messages; free some "
        + "space, or settle messages and send again")
  }

  private typealias Reading = (wanted: Wanted, result: Result<SentMessage?, EventStoreError>)

  private func read(_ wanted: [Wanted]) -> [Reading] {
    wanted.map { one in
      do throws(EventStoreError) {
        return (one, .success(try message(one.number, to: one.device)))
      } catch {
        return (one, .failure(error))
      }
    }
  }

  private func take(
    _ readings: [Reading], into messages: inout [UInt64: SentMessage?],
    for work: inout some QueueWork
  ) throws(EventStoreError) {
    for (wanted, result) in readings {
      switch result {
      case .success(let message): messages[wanted.number] = .some(message)
      case .failure(let failure): try work.pass(over: wanted, failure)
      }
    }
  }

  /// A message that waits, wherever it is; nil where it cannot be read.
  ///
  /// Blocks for the disk.
  func message(
    _ number: UInt64, to device: EventModel.DeviceID
  ) throws(EventStoreError) -> SentMessage? {
    if let sent = state.withLock({ $0.recent[number] }) { return sent }
    if let sent = try reader.journal.record(number)?.sent { return sent }
    func place() -> UInt32? { state.withLock { $0.table.checkpoint(of: number, device) } }
    var checkpoint = place()
    while true {
      if let message = try reader.message(number, to: device, checkpoint: checkpoint ?? 0) {
        return message
      }
      // A checkpoint may have moved it meanwhile.
      let now = place()
      guard now != checkpoint else { return nil }
      checkpoint = now
    }
  }

  private func attempt(
    _ work: inout some QueueWork, _ messages: [UInt64: SentMessage?]
  ) throws(EventStoreError) -> Progress {
    try state.withLock { (state) throws(EventStoreError) -> Progress in
      guard !state.isClosed else { throw .isClosed }
      let time = clock.now()
      defer {
        timer.look(at: state.table.nextDue(at: time), now: time)
        if state.table.emptiedCount > QueueFiling.emptiedCountMax { filing.wake() }
      }
      return try work.goOn(self, &state, Turn(time: time, messages: messages))
    }
  }

  // MARK: One step

  /// Journals that a message joins its queue, and applies that; nil when there is no room.
  ///
  /// - Parameters:
  ///   - enqueued: what was decided.
  ///   - message: the message.
  ///   - size: its size.
  ///   - device: whose queue it is.
  ///   - state: what the lock guards.
  ///   - time: now.
  /// - Returns: the record's number, which is the message's.
  /// - Throws: ``EventStoreError`` where the journal takes no more.
  @inline(__always)
  func put(
    _ enqueued: JournalEntry.Enqueued, _ message: consuming DeviceMessage, size: Int,
    to device: borrowing EventModel.DeviceID, _ state: inout State, at time: QueueTime
  ) throws(EventStoreError) -> UInt64? {
    state.scratch.removeAll()
    enqueued.encode(into: &state.scratch)
    guard let number = try append(message, of: device, &state, at: time) else { return nil }
    state.table.apply(enqueued, number: number, device: device, size: size)
    // Noted with the change, so that the journal keeps the record until it is copied.
    if enqueued.deadLetter != nil { outcomes.note(number) }
    state.recent.insert(
      message, size: size, number, expiry: enqueued.expiry, feedback: enqueued.feedback,
      at: time.wall)
    return number
  }

  /// Takes a record with a message, or with what is kept of it, into the journal behind the entry
  /// that has been encoded; nil when there is no room.
  @inline(__always)
  func append(
    _ message: borrowing DeviceMessage, of device: borrowing EventModel.DeviceID,
    _ state: inout State, at time: QueueTime
  ) throws(EventStoreError) -> UInt64? {
    guard filing.hasSpace(in: journal) else { return nil }
    message.body.withBytes { state.scratch.append($0) }
    let hasSystemProperties = !message.systemProperties.isEmpty
    return try state.scratch.withBytes { (bytes) throws(EventStoreError) in
      try journal.append(
        from: device, body: bytes, properties: message.properties,
        systemProperties: hasSystemProperties ? message.systemProperties : nil,
        at: time.wall.microseconds)
    }
  }

  /// The same for a record without a message: the entries that have been encoded.
  @inline(__always)
  func append(
    of device: borrowing EventModel.DeviceID, _ state: borrowing State, at time: QueueTime
  ) throws(EventStoreError) -> UInt64? {
    guard filing.hasSpace(in: journal) else { return nil }
    return try state.scratch.withBytes { (bytes) throws(EventStoreError) in
      try journal.append(
        from: device, body: bytes, properties: Properties(), systemProperties: nil,
        at: time.wall.microseconds)
    }
  }

  /// Notes an entry that has been applied where more than the table goes by it.
  func note(_ entry: JournalEntry, _ number: UInt64, _ state: inout State) {
    if case .settled(let settled) = entry { state.recent.remove(settled.sequence) }
    // Noted with the change, so that the journal keeps the record until it is copied.
    if entry.hasOutcome { outcomes.note(number) }
  }
}

extension QueueCore.Turn {
  /// The message that has to be known before an entry can be written, and is not.
  @inline(__always)
  func messageNeeded(
    for entry: JournalEntry, of device: borrowing EventModel.DeviceID,
    _ state: borrowing QueueCore.State
  ) -> QueueCore.Wanted? {
    guard entry.needsMessage, case .settled(let settled) = entry,
      messages[settled.sequence] == nil, !state.recent.contains(settled.sequence)
    else { return nil }
    return QueueCore.Wanted(number: settled.sequence, device: copy device)
  }
}

extension JournalEntry {
  /// Whether something has to be copied to the feedback or the dead letters.
  var hasOutcome: Bool {
    switch self {
    case .enqueued(let enqueued): enqueued.deadLetter != nil
    case .settled(let settled): settled.givesFeedback || settled.deadLetter != nil
    default: false
    }
  }
}
