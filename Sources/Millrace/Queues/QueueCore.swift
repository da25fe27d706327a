internal import CommitLog
internal import DeviceQueueing
internal import EventModel
internal import LogFormat
internal import StorageIO
internal import Synchronization

/// The device queues of a store that is open for writing.
///
/// Every change is decided by the ``QueueTable``, gets its number by being taken into the journal,
/// and is applied at once, all under one lock that is never held across a system call. Whoever
/// asked is answered when the journal has come to the disk.
final class QueueCore: Sendable {
  let journal: PartitionWriter
  private let streams: StreamWriters
  let reader: MessageReader
  private let filing: QueueFiling
  let clock: QueueClock
  let outcomes: OutcomeCopier
  let defaults: EventStore.Queues
  /// Threads that read messages.
  let readers: WorkerPool
  let state: Mutex<State>
  private let timer = QueueTimer()
  /// The numbers that dead letters had which were sent again.
  let sentAgain: SentAgain

  struct State: ~Copyable, Sendable {
    var table: QueueTable
    var scratch = ByteBuffer(capacity: 4 << 10)
    var receivers = Receivers()
    var isClosed = false
  }

  /// What is to be changed in a device's queue, and the message that it brings in.
  struct Decision {
    let device: EventModel.DeviceID
    var entry: JournalEntry
    var message: DeviceMessage?
  }

  /// What has been changed.
  struct Applied: Sendable {
    let device: EventModel.DeviceID
    let entry: JournalEntry
    let number: UInt64
    /// The right to settle, where it is a delivery.
    let token: LockToken?
  }

  /// Decides under the lock what to do next, given what was applied so far, until it says nothing
  /// more.
  ///
  /// Asked again for the rest where there was no room for all of it, and for the same where a
  /// message had to be read first: it must go by the table.
  typealias Plan = (inout QueueTable, QueueTime, [Applied]) throws(QueueRejection) -> [Decision]

  /// Opens the queues: reads the journal again, and ends the locks of those who stopped.
  ///
  /// Blocks.
  init(
    journal: PartitionWriter, streams: StreamWriters, source: any ReadSource,
    outcomes: OutcomeCopier, filing: QueueFiling,
    defaults: EventStore.Queues, environment: EngineEnvironment
  ) throws(EventStoreError) {
    self.journal = journal
    self.streams = streams
    self.outcomes = outcomes
    self.defaults = defaults
    readers = source.readers
    self.filing = filing
    reader = MessageReader(source)
    let replay = try JournalReplay.run(
      source, into: QueueTable(rules: defaults.rules, key: environment.random()))
    clock = QueueClock(environment, last: replay.lastTime)
    let uncopied = replay.outcomes
    let damaged = replay.damaged
    sentAgain = SentAgain(replay.sentAgain)
    state = Mutex(State(table: replay.takeTable()))
    outcomes.start(reader.journal, behind: journal, redoing: uncopied)
    _ = try carryOutBlocking { table, _, _ in table.decideRestart().map { Decision($0) } }
    timer.start { [weak self] in self?.turn() }
    filing.start(damaged: damaged) { [weak self] in self?.file() }
    streams.watchJournal { filing.wake() }
  }

  deinit {
    timer.stop()
    filing.stop()
  }

  // MARK: Changing

  private enum Attempt {
    case done
    case needsRoom
    /// These messages have to be read first: they go to the dead letters, or their id into a
    /// feedback record.
    case needsMessages([(number: UInt64, device: EventModel.DeviceID)])
  }

  /// Does what is decided and returns what was applied, at once or when there is room.
  ///
  /// Durable when ``durable(_:)`` says so.
  func carryOut(_ plan: Plan) async throws(EventStoreError) -> [Applied] {
    var applied: [Applied] = []
    var messages: [UInt64: SentMessage?] = [:]
    while true {
      switch try attempt(plan, &applied, messages) {
      case .done: return applied
      case .needsRoom:
        let wait = JoinedWait(count: 1)
        journal.enroll(Waiter(goal: .room, wait))
        try await wait.wait()
      case .needsMessages(let numbers):
        let found = try await readers.offload { [self] () throws(EventStoreError) in
          try read(numbers)
        }
        messages.merge(found) { $1 }
      }
    }
  }

  /// The same for threads that may block.
  func carryOutBlocking(_ plan: Plan) throws(EventStoreError) -> [Applied] {
    var applied: [Applied] = []
    var messages: [UInt64: SentMessage?] = [:]
    let wait = BlockingWait()
    while true {
      switch try attempt(plan, &applied, messages) {
      case .done: return applied
      case .needsRoom: try journal.waitForRoom(wait)
      case .needsMessages(let numbers): messages.merge(try read(numbers)) { $1 }
      }
    }
  }

  private func read(
    _ wanted: [(number: UInt64, device: EventModel.DeviceID)]
  ) throws(EventStoreError) -> [UInt64: SentMessage?] {
    var messages: [UInt64: SentMessage?] = [:]
    for (number, device) in wanted { messages[number] = .some(try message(number, to: device)) }
    return messages
  }

  /// A message that waits, wherever it is; nil where it cannot be read.
  ///
  /// Blocks for the disk.
  func message(
    _ number: UInt64, to device: EventModel.DeviceID
  ) throws(EventStoreError) -> SentMessage? {
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
    _ plan: Plan, _ applied: inout [Applied], _ messages: [UInt64: SentMessage?]
  ) throws(EventStoreError) -> Attempt {
    try state.withLock { (state) throws(EventStoreError) -> Attempt in
      guard !state.isClosed else { throw .isClosed }
      let time = clock.now()
      defer {
        timer.look(at: state.table.nextDue(at: time), now: time)
        if state.table.emptiedCount > QueueFiling.emptiedCountMax { filing.wake() }
      }
      while true {
        let decisions: [Decision]
        do throws(QueueRejection) {
          decisions = try plan(&state.table, time, applied)
        } catch {
          throw EventStoreError(error)
        }
        if decisions.isEmpty { return .done }
        let missing = decisions.compactMap { decision in
          decision.messageNeeded.map { (number: $0, device: decision.device) }
        }.filter { messages[$0.number] == nil }
        guard missing.isEmpty else { return .needsMessages(missing) }
        for decision in decisions {
          guard let one = try take(decision, messages, &state, at: time) else { return .needsRoom }
          applied.append(one)
        }
      }
    }
  }

  /// Gives a decision its number and applies it; nil when there is no room.
  private func take(
    _ decision: Decision, _ messages: [UInt64: SentMessage?], _ state: inout State,
    at time: QueueTime
  ) throws(EventStoreError) -> Applied? {
    var entry = decision.entry
    var message = decision.message
    if case .settled(var settled) = entry, let sent = messages[settled.sequence] ?? nil {
      message = sent.kept(by: &settled)
      entry = .settled(settled)
    }
    state.scratch.removeAll()
    entry.encode(into: &state.scratch)
    if let message { message.body.withBytes { state.scratch.append($0) } }
    let system = message?.systemProperties ?? .empty
    let number = try state.scratch.withBytes { (bytes) throws(EventStoreError) in
      try journal.append(
        from: decision.device, body: bytes, properties: message?.properties ?? .empty,
        systemProperties: system.isEmpty ? nil : system, at: time.wall.microseconds)
    }
    guard let number else { return nil }
    state.table.apply(
      entry, number: number, device: decision.device, size: decision.message?.size ?? 0, at: time)
    // Noted with the change, so that the journal keeps the record until it is copied.
    if entry.hasOutcome { outcomes.note(number) }
    var token: LockToken?
    if case .locked(let locked) = entry { token = state.table.token(of: locked.sequence) }
    return Applied(device: decision.device, entry: entry, number: number, token: token)
  }

  /// Returns when everything up to the last change is durable.
  func durable(_ applied: [Applied]) async throws(EventStoreError) {
    guard let last = applied.last else { return }
    try await journal.wait(upTo: last.number + 1, .durable)
  }

  // MARK: Space

  /// What waits for long goes into queue files, and what is settled gives its space back.
  private func file() {
    do throws(EventStoreError) {
      try filing.run(self)
    } catch {
      // Everything is in the journal, and the next roll tries again.
      return
    }
  }

  /// The checkpoint that moved messages last.
  var checkpoint: UInt32 { filing.checkpoint }

  /// Gives back whole segments of the journal, but for outcomes that are not copied yet.
  ///
  /// - Parameter floor: what is below it is settled, or in queue files.
  /// - Throws: ``EventStoreError``; the space is given back another time.
  func releaseJournal(below floor: UInt64) throws(EventStoreError) {
    let floor = min(floor, outcomes.firstWaiting ?? floor)
    // The table goes by settlements that a crash could still take back.
    try journal.lead(to: .durable(journal.nextNumber), BlockingWait())
    try streams.releaseJournal(below: floor)
  }

  // MARK: Time

  /// Does what time has done, a part at a time so that others have their turn.
  private func turn() {
    do throws(EventStoreError) {
      while true {
        let applied = try carryOutBlocking { table, time, applied in
          applied.isEmpty ? table.decideDue(at: time, max: 256).map { Decision($0) } : []
        }
        wakeReceivers(of: applied.map(\.device))
        guard !applied.isEmpty else { break }
      }
      wakeReceivers(
        of: state.withLock { state in state.table.takeUndelayed(at: clock.now()) })
    } catch {
      // The journal stopped or the store is closed: whoever asks next hears of it.
      return
    }
  }

  /// Ends the threads.
  func stop() {
    close()
    outcomes.stop()
  }

  /// Takes no more changes; what was taken can still be led to the disk.
  func close() {
    let waiting = state.withLock { state in
      state.isClosed = true
      return state.receivers.takeAll()
    }
    for suspension in waiting { suspension.resume(false) }
    timer.stop()
    filing.stop()
  }
}

extension QueueCore.Decision {
  init(_ due: (device: EventModel.DeviceID, entry: JournalEntry)) {
    self.init(device: due.device, entry: due.entry)
  }

  /// The message that has to be known before this can be written.
  fileprivate var messageNeeded: UInt64? {
    guard case .settled(let settled) = entry else { return nil }
    return settled.status.isDeadLetter || settled.givesFeedback ? settled.sequence : nil
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

extension EventStoreError {
  init(_ rejection: QueueRejection) {
    switch rejection {
    case .full(let depth, let limit):
      self.init(
        .queueFull,
        "the device's queue holds \(depth) messages, the limit is \(limit); wait until some are "
          + "settled, or purge it")
    case .sizeExceeded(let size, let limit):
      self.init(
        .queueFull,
        "the device's queue would hold \(size) bytes, the limit is \(limit); wait until some "
          + "messages are settled, or purge it")
    case .expired(let time):
      self.init(
        .invalidArgument,
        "the message's expiry time, \(time.microseconds) microseconds since 1970, has passed; give "
          + "it a later one")
    case .lockLost(let sequence):
      self.init(
        .lockLost,
        "the lock on message \(sequence) is lost: it ran out, the message is settled or expired, "
          + "or the token is another device's or from before the store was opened; receive it again"
      )
    }
  }
}
