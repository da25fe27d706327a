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
  let filing: QueueFiling
  let clock: QueueClock
  let outcomes: OutcomeCopier
  let defaults: EventStore.Queues
  /// Microseconds that a message lives, and a lock holds, where nobody says another time.
  let usualLife: Int64
  let usualLock: Int64
  /// Threads that read messages.
  let readers: WorkerPool
  let state: Mutex<State>
  let timer = QueueTimer()
  /// Tasks that wait for a message, or are about to.
  let receiverCount = Atomic<Int>(0)
  /// The numbers that dead letters had which were sent again.
  let sentAgain: SentAgain
  /// What could not be read when the queues were opened.
  let damages: [QueueDamage]

  struct State: ~Copyable, Sendable {
    var table: QueueTable
    var recent: RecentMessages
    var run = EntryRun()
    /// What is received or completed next.
    var found: [FoundMessage] = []
    var scratch = ByteBuffer(capacity: 4 << 10)
    var receivers = Receivers()
    var isClosed = false
  }

  /// Opens the queues: reads the journal again, and ends the locks of those who stopped.
  ///
  /// Blocks.
  init(
    streams: StreamWriters, source: any ReadSource,
    outcomes: OutcomeCopier, filing: QueueFiling,
    defaults: EventStore.Queues, environment: EngineEnvironment, metrics: StoreMetrics
  ) throws(EventStoreError) {
    self.streams = streams
    self.outcomes = outcomes
    self.defaults = defaults
    usualLife = defaults.timeToLive.microseconds
    usualLock = defaults.lockDuration.microseconds
    readers = source.readers
    self.filing = filing
    reader = MessageReader(source)
    var replay = try JournalReplay.run(
      source, into: QueueTable(rules: defaults.rules, key: environment.random()))
    let testified = max(replay.testifiedNumber, outcomes.testifiedNumber)
    if let lost = try streams.goOn(behind: testified) { replay.noteLost(lost) }
    journal = try streams.writer(of: .journal)
    clock = QueueClock(environment, last: replay.lastTime)
    let uncopied = replay.outcomes
    let (damaged, outOfReach) = (replay.damaged, replay.outOfReach)
    damages = replay.damages
    for numbers in replay.unreadable { metrics.noteUnreadable(numbers) }
    sentAgain = SentAgain(replay.sentAgain)
    state = Mutex(
      State(
        table: replay.takeTable(), recent: RecentMessages(sizeMax: defaults.cacheSize.bytes)))
    // Before anything is sent: later there may be no room.
    _ = try takeReserve()
    outcomes.start(reader.journal, behind: journal, redoing: uncopied)
    try carryOutReadable { table, _, _ in table.decideRestart() }
    timer.start { [weak self] in self?.turn() ?? true }
    environment.watchClocks { [weak timer] in timer?.wake() ?? false }
    filing.start(damaged: damaged, outOfReach: outOfReach) { [weak self] in self?.file($0) }
    streams.watchJournal { filing.wake() }
  }

  deinit {
    timer.stop()
    filing.stop()
  }

  // MARK: Waiting

  /// Returns when everything up to the last change is durable.
  func durable(_ work: some QueueWork) async throws(EventStoreError) {
    guard let last = work.lastNumber else { return }
    try await journal.wait(upTo: last + 1, .durable)
  }

  /// Blocks until everything up to the last change is durable: the caller leads its group.
  func lead(_ work: some QueueWork, _ wait: BlockingWait) throws(EventStoreError) {
    guard let last = work.lastNumber else { return }
    try journal.lead(to: .durable(last + 1), wait)
  }

  // MARK: Space

  /// What waits for long goes into queue files, and what is settled gives its space back.
  private func file(_ mayFile: Bool) { filing.run(self, filing: mayFile) }

  /// The checkpoint that moved messages last.
  var checkpoint: UInt32 { filing.checkpoint }

  /// Gives back whole segments of the journal, but for outcomes that are not copied yet.
  ///
  /// - Parameter floor: what is below it is settled, or in queue files.
  /// - Throws: ``EventStoreError``; the space is given back another time.
  func releaseJournal(below floor: UInt64) throws(EventStoreError) {
    // The table goes by settlements that a crash could still take back.
    try journal.lead(to: .durable(journal.nextNumber), BlockingWait())
    // Where they have no room, or a stream has failed, outcomes wait in the journal, and what lies
    // before them goes all the same.
    _ = streams.synchronizeOutcomes()
    try streams.releaseJournal(below: min(floor, outcomes.firstUndurable ?? floor))
  }

  /// Asks for all of the journal's reserve again; false where there is no room for it.
  ///
  /// Blocks for the disk.
  func takeReserve() throws(EventStoreError) -> Bool {
    do throws(CommitLogFailure) {
      return try journal.log.takeReserve()
    } catch {
      throw EventStoreError(error)
    }
  }

  // MARK: Time

  /// Does what time has done, a part at a time so that others have their turn.
  ///
  /// Returns whether all of it could be done.
  private func turn() -> Bool {
    do throws(EventStoreError) {
      var passed: Set<UInt64> = []
      while true {
        let max = 256 + passed.count
        let settled = try carryOutReadable(passed) { table, time, isBegun in
          isBegun ? [] : table.decideDue(at: time, max: max)
        }
        wakeReceivers(of: settled.devices)
        guard !settled.devices.isEmpty || settled.passed.count > passed.count else { break }
        passed = settled.passed
      }
      wakeReceivers(
        of: state.withLock { state in state.table.takeUndelayed(at: clock.now()) })
      return passed.isEmpty
    } catch {
      // The journal stopped or the store is closed: whoever asks next hears of it.
      return false
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
