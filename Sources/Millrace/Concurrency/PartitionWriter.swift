internal import CommitLog
internal import EventModel
internal import LogFormat
internal import Synchronization

/// One partition of a store that is open for writing: gathers events into batches on the caller's
/// thread, and has the stages of ``GroupCommit`` run by workers or by a caller that leads its
/// group.
///
/// The lock guards buffers and numbers and is never held across a system call.
final class PartitionWriter: Work {
  let partition: PartitionID
  let log: PartitionLog
  let tail: TailSignal
  let limits: BatchLimits
  /// Used by the current batch alone, under the lock.
  private let properties = PropertyCache()
  let encoders: EncoderPool
  let framers: FramerPool
  let workers: WorkerPool
  private let wakePacemaker: @Sendable () -> Void
  let wakeMaintenance: @Sendable () -> Void
  let metrics: StoreMetrics
  /// What opening found and could not prove durable, for want of room or because it cannot be read.
  private let unproven: Range<UInt64>
  let state: Mutex<State>

  /// When a batch is full, and how many bytes of full ones may wait in memory (I13).
  struct BatchLimits: Sendable {
    let size: Int
    let pendingSize: Int
  }

  struct State {
    var current: BatchEncoder?
    /// Full batches, the oldest first.
    var sealed: [SealedBatch] = []
    /// Bytes of the full batches and of those that are being written.
    var pendingSize = 0
    var nextNumber: UInt64
    var lastTime: Int64
    var commit: GroupCommit
    var waiters: [Waiter] = []
    var gathering = GroupGathering()
    var isQueued = false
    var failure: EventStoreError? {
      didSet { hasFailed = failure != nil }
    }
    /// Whether there is a failure: every append asks, and looking at the failure would copy it.
    private(set) var hasFailed = false
    var isClosed = false
    /// Beats of the pacemaker since something became unsynced, or since the last sync began.
    var beats = 0
    /// A sync has returned that no frame testifies to yet.
    var needsMark = false

    var isDirty: Bool { nextNumber > commit.durable }

    /// Tells ``commit`` what stands first among the full batches.
    mutating func noteSealed() {
      commit.hasFullBatch = !sealed.isEmpty
      commit.isHeldUp = sealed.first?.isBeingLaidOut ?? false
    }
  }

  init(
    _ log: PartitionLog, tail: TailSignal? = nil, limits: BatchLimits, encoders: EncoderPool,
    framers: FramerPool, workers: WorkerPool,
    metrics: StoreMetrics, wakePacemaker: @escaping @Sendable () -> Void,
    wakeMaintenance: @escaping @Sendable () -> Void
  ) {
    self.log = log
    partition = log.id.partitionID
    self.limits = limits
    self.encoders = encoders
    self.framers = framers
    self.workers = workers
    self.metrics = metrics
    self.wakePacemaker = wakePacemaker
    self.wakeMaintenance = wakeMaintenance
    unproven = log.highWatermark..<max(log.highWatermark, log.nextNumber)
    self.tail = tail ?? TailSignal(highWatermark: log.highWatermark)
    var commit = GroupCommit(durable: log.nextNumber)
    commit.note(durable: log.nextNumber)
    state = Mutex(
      State(
        nextNumber: log.nextNumber, lastTime: log.lastTime?.microseconds ?? .min, commit: commit))
    // What opening has stopped takes nothing.
    if let failure = log.loss ?? log.poison.map({ .poisoned($0) }) {
      state.withLock { $0.failure = EventStoreError(failure) }
    }
  }

  deinit {
    state.withLock { state in
      let count = state.waiters.count { $0.isGathered }
      assert(state.gathering.waitingCount == count, "who was answered is counted as waiting")
    }
  }

  // MARK: Appending

  /// Takes an event of the device with this id and its hash in, and returns the event's number; nil
  /// when there is no room for it now.
  ///
  /// Blocks for nothing but the lock, and `helps` says whether it may lay out a batch.
  @inline(__always)
  func append(
    from device: borrowing RawSpan, hash: UInt64, body: borrowing RawSpan,
    properties: borrowing Properties, systemProperties: SystemProperties?, at time: Int64,
    helps: Bool = false
  ) throws(EventStoreError) -> UInt64? {
    let outcome = state.withLock { state -> (number: UInt64?, steps: Steps, refused: Bool) in
      guard !state.hasFailed, !state.isClosed else { return (nil, [], true) }
      guard hasRoom(state) else { return (nil, [], false) }
      if state.current == nil { begin(&state) }
      state.lastTime = max(state.lastTime, time)
      // Where it stands: the encoder is not retained for every event.
      let batch = state.current?.append(
        from: device, hash: hash, body: body, properties: properties, at: state.lastTime)
      guard let batch else { preconditionFailure("a batch was begun") }
      if let systemProperties { state.current?.setSystemProperties(systemProperties) }
      let number = state.nextNumber
      var steps: Steps = state.commit.durable == number ? .wakePacemaker : []
      state.nextNumber = number &+ 1
      if batch.size >= limits.size || batch.count == Limits.batchRecordCountMax {
        seal(&state)
        if claimQueue(&state) { steps.insert(.schedule) }
        if helps, state.pendingSize >= Self.helpedSize { steps.insert(.help) }
      }
      return (number, steps, false)
    }
    if !outcome.steps.isEmpty { take(outcome.steps) }
    if outcome.refused { throw refusal }
    return outcome.number
  }

  /// Takes an event of a device in, as the other form does.
  func append(
    from device: borrowing DeviceID, body: RawSpan, properties: borrowing Properties,
    systemProperties: SystemProperties?, at time: Int64
  ) throws(EventStoreError) -> UInt64? {
    let hash = device.hash
    return try device.withBytes { (id) throws(EventStoreError) in
      try append(
        from: id, hash: hash, body: body, properties: properties,
        systemProperties: systemProperties, at: time)
    }
  }

  /// What an append leaves to be done outside the lock.
  private struct Steps: OptionSet {
    let rawValue: UInt8

    static let schedule = Self(rawValue: 1)
    static let wakePacemaker = Self(rawValue: 2)
    static let help = Self(rawValue: 4)
  }

  @inline(never)
  private func take(_ steps: Steps) {
    if steps.contains(.schedule) { workers.submit(self) }
    if steps.contains(.wakePacemaker) { wakePacemaker() }
    if steps.contains(.help) { help() }
  }

  @inline(never)
  private func begin(_ state: inout State) {
    let encoder = encoders.take()
    encoder.propertyCache = properties
    state.current = encoder
  }

  func seal(_ state: inout State) {
    guard let current = state.current.take() else { return }
    state.pendingSize += current.size
    state.sealed.append(SealedBatch(current))
    state.commit.hasFullBatch = true
  }

  /// Why nothing can be appended.
  private var refusal: EventStoreError {
    state.withLock { $0.failure } ?? .isClosed
  }

  /// Whether something waits that no thread will come for by itself: a stage, or a batch to lay out
  /// beside a flush that somebody waits for.
  func claimQueue(_ state: inout State) -> Bool {
    guard !state.isQueued else { return false }
    var probe = state.commit
    guard probe.begin() != nil || needsHelp(state) else { return false }
    state.isQueued = true
    return true
  }

  // MARK: Waiting

  /// Answers `waiter` when its goal is reached or missed, from this call or a worker's thread.
  func enroll(_ waiter: Waiter) {
    let outcome = state.withLock { state -> (EventStoreError??, Bool) in
      if isReached(waiter.goal, state) { return (.some(nil), false) }
      if let failure = state.failure { return (.some(failure.whileWaiting), false) }
      request(waiter.goal, &state)
      state.waiters.append(waiter)
      if waiter.isGathered { state.gathering.arrive() }
      return (nil, claimQueue(&state))
    }
    if outcome.1 { workers.submit(self) }
    if let answer = outcome.0 { waiter.answer(answer) }
  }

  private func isReached(_ goal: WaitGoal, _ state: borrowing State) -> Bool {
    goal.isReached(in: state.commit, hasRoom: hasRoom(state))
  }

  @inline(__always)
  func hasRoom(_ state: borrowing State) -> Bool {
    state.pendingSize < limits.pendingSize && !state.commit.isFull
  }

  private func request(_ goal: WaitGoal, _ state: inout State) {
    switch goal {
    case .written(let number): state.commit.requestWrite(upTo: number)
    case .durable(let number): state.commit.requestSync(upTo: number)
    case .room: state.commit.requestWrite(upTo: state.commit.written)
    }
  }

  /// Blocks until the goal is reached.
  ///
  /// Where no other thread runs a stage, the caller does: a leader with its followers.
  func lead(to goal: WaitGoal, _ wait: BlockingWait) throws(EventStoreError) {
    let waiter = Waiter(goal: goal, wait)
    var isGathered = false
    while true {
      let next = state.withLock { state -> LeaderStep in
        let end: LeaderStep? =
          isReached(goal, state) ? .reached : state.failure.map { .failed($0.whileWaiting) }
        if let end {
          if isGathered { state.gathering.leave(1) }
          return end
        }
        request(goal, &state)
        if waiter.isGathered, !isGathered {
          isGathered = true
          state.gathering.arrive()
        }
        if let stage = state.commit.begin() { return .run(stage) }
        if let batch = takeToLayOut(for: goal, &state) { return .layOut(batch) }
        state.waiters.append(waiter)
        return .wait
      }
      switch next {
      case .reached:
        schedule()
        return
      case .failed(let failure): throw failure
      case .run(let stage):
        if let failure = perform(stage) {
          if isGathered { state.withLock { $0.gathering.leave(1) } }
          throw failure.whileWaiting
        }
      case .layOut(let batch): layOut(batch)
      case .wait:
        try wait.wait()
        return
      }
    }
  }

  /// Blocks until there is room for more events.
  ///
  /// The store's threads make it, and the caller helps them.
  func waitForRoom(_ wait: BlockingWait) throws(EventStoreError) {
    while let batch = state.withLock({ hasRoom($0) ? nil : takeToLayOut(&$0) }) { layOut(batch) }
    enroll(Waiter(goal: .room, wait))
    try wait.wait()
  }

  private enum LeaderStep {
    case reached
    case failed(EventStoreError)
    case run(GroupCommit.Stage)
    case layOut(SealedBatch)
    case wait
  }

  /// Whether only ``prove()`` can tell that an event which opening found is durable.
  func isUnproven(_ number: UInt64) -> Bool {
    unproven.contains(number) && number >= log.highWatermark
  }

  /// Makes durable what opening found and could not prove so.
  ///
  /// Blocks.
  func prove() throws(EventStoreError) {
    do throws(CommitLogFailure) {
      if let loss = log.loss { throw loss }
      try log.showAll()
    } catch {
      throw EventStoreError(error)
    }
    tail.publish(log.highWatermark)
  }

  /// The number behind the last event that is durable.
  var durableNumber: UInt64 { state.withLock { $0.commit.durable } }

  /// The number behind the last event that was taken in.
  var nextNumber: UInt64 { state.withLock { $0.nextNumber } }

  /// Whether the log's reserve is not whole, for the disk is full.
  var isShort: Bool { log.isShort }

  /// Bytes of the log's reserve that are left when everything that was taken in is written, at
  /// least.
  var spareSize: Int {
    state.withLock { log.spareSize - $0.pendingSize - ($0.current?.size ?? 0) }
  }

  // MARK: The store

  /// One beat of the pacemaker; returns whether anything is left to look after.
  func beat() -> Bool {
    let (isBusy, mustSchedule) = state.withLock { state -> (Bool, Bool) in
      guard state.failure == nil else { return (false, false) }
      guard state.isDirty else {
        state.beats = 0
        guard state.needsMark else { return (false, false) }
        state.needsMark = false
        state.commit.requestMark()
        return (true, claimQueue(&state))
      }
      state.beats += 1
      guard state.beats >= Pacemaker.ticksToSync else { return (true, false) }
      state.beats = 0
      state.commit.requestSync(upTo: state.nextNumber)
      return (true, claimQueue(&state))
    }
    if mustSchedule { workers.submit(self) }
    return isBusy
  }

  /// Takes no more events; what was taken in can still be led to the disk.
  func close() {
    state.withLock { $0.isClosed = true }
  }
}
