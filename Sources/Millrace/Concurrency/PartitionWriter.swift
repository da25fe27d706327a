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
  private let limits: BatchLimits
  /// Used by the current batch alone, under the lock.
  private let properties = PropertyCache()
  private let encoders: EncoderPool
  private let workers: WorkerPool
  private let wakePacemaker: @Sendable () -> Void
  private let metrics: StoreMetrics
  private let state: Mutex<State>

  /// When a batch is full, and how many may wait in memory.
  struct BatchLimits: Sendable {
    let size: Int
    let pendingCount: Int
  }

  private struct State {
    var current: BatchEncoder?
    /// Full batches, the oldest first.
    var sealed: [BatchEncoder] = []
    /// Batches that are being written.
    var inFlight = 0
    var nextNumber: UInt64
    var lastTime: Int64
    var commit: GroupCommit
    var waiters: [Waiter] = []
    var isQueued = false
    var failure: EventStoreError?
    var isClosed = false
    /// Beats of the pacemaker since something became unsynced.
    var beats = 0
    /// A sync has returned that no frame testifies to yet.
    var needsMark = false

    var isDirty: Bool { nextNumber > commit.durable }
  }

  init(
    _ log: PartitionLog, limits: BatchLimits, encoders: EncoderPool, workers: WorkerPool,
    metrics: StoreMetrics, wakePacemaker: @escaping @Sendable () -> Void
  ) {
    self.log = log
    partition = PartitionID(Int(log.id.partition))
    self.limits = limits
    self.encoders = encoders
    self.workers = workers
    self.metrics = metrics
    self.wakePacemaker = wakePacemaker
    tail = TailSignal(highWatermark: log.highWatermark)
    var commit = GroupCommit(durable: log.nextNumber)
    commit.note(durable: log.nextNumber)
    state = Mutex(
      State(
        nextNumber: log.nextNumber, lastTime: log.lastTime?.microseconds ?? .min, commit: commit))
  }

  // MARK: Appending

  /// Takes an event in and returns its number; nil when there is no room for it now.
  ///
  /// Blocks for nothing but the lock.
  @inline(__always)
  func append(
    from device: borrowing DeviceID, body: borrowing RawSpan, properties: borrowing Properties,
    systemProperties: SystemProperties?, at time: Int64
  ) throws(EventStoreError) -> UInt64? {
    let outcome = state.withLock { state -> (number: UInt64?, step: Step, refused: Bool) in
      guard state.failure == nil, !state.isClosed else { return (nil, .none, true) }
      guard state.sealed.count &+ state.inFlight < limits.pendingCount, !state.commit.isFull else {
        return (nil, .none, false)
      }
      let encoder = state.current ?? begin(&state)
      state.lastTime = max(state.lastTime, time)
      let batch = encoder.append(
        from: device, body: body, properties: properties, at: state.lastTime)
      if let systemProperties { encoder.setSystemProperties(systemProperties) }
      let number = state.nextNumber
      var step: Step = state.commit.durable == number ? .wakePacemaker : .none
      state.nextNumber = number &+ 1
      if batch.size >= limits.size || batch.count == Limits.batchRecordCountMax {
        seal(&state)
        if claimQueue(&state) { step = step == .none ? .schedule : .both }
      }
      return (number, step, false)
    }
    if outcome.step != .none { take(outcome.step) }
    if outcome.refused { throw refusal }
    return outcome.number
  }

  private enum Step {
    case none
    case schedule
    case wakePacemaker
    case both
  }

  private func take(_ step: Step) {
    if step == .schedule || step == .both { workers.submit(self) }
    if step == .wakePacemaker || step == .both { wakePacemaker() }
  }

  @inline(never)
  private func begin(_ state: inout State) -> BatchEncoder {
    let encoder = encoders.take()
    encoder.propertyCache = properties
    state.current = encoder
    return encoder
  }

  private func seal(_ state: inout State) {
    guard let current = state.current.take() else { return }
    state.sealed.append(current)
    state.commit.hasFullBatch = true
  }

  /// Why nothing can be appended.
  private var refusal: EventStoreError {
    state.withLock { $0.failure } ?? .isClosed
  }

  /// Whether a stage waits that no thread will come for by itself.
  private func claimQueue(_ state: inout State) -> Bool {
    guard !state.isQueued else { return false }
    var probe = state.commit
    guard probe.begin() != nil else { return false }
    state.isQueued = true
    return true
  }

  // MARK: Waiting

  /// Calls `waiter` back when its goal is reached or missed, from this call or a worker's thread.
  func enroll(_ waiter: Waiter) {
    let outcome = state.withLock { state -> (EventStoreError??, Bool) in
      if let failure = state.failure { return (.some(failure.whileWaiting), false) }
      if isReached(waiter.goal, state) { return (.some(nil), false) }
      request(waiter.goal, &state)
      state.waiters.append(waiter)
      return (nil, claimQueue(&state))
    }
    if outcome.1 { workers.submit(self) }
    if let answer = outcome.0 { waiter.resume(answer) }
  }

  private func isReached(_ goal: WaitGoal, _ state: borrowing State) -> Bool {
    switch goal {
    case .written(let number): state.commit.written >= number
    case .durable(let number): state.commit.durable >= number
    case .room:
      state.sealed.count + state.inFlight < limits.pendingCount && !state.commit.isFull
    }
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
  func lead(to goal: WaitGoal) throws(EventStoreError) {
    let gate = Gate<EventStoreError??>(nil)
    while true {
      let next = state.withLock { state -> LeaderStep in
        if let failure = state.failure { return .failed(failure.whileWaiting) }
        if isReached(goal, state) { return .reached }
        request(goal, &state)
        if let stage = state.commit.begin() { return .run(stage) }
        state.waiters.append(
          Waiter(goal: goal) { failure in gate.update { $0 = .some(failure) } })
        return .wait
      }
      switch next {
      case .reached:
        schedule()
        return
      case .failed(let failure): throw failure
      case .run(let stage):
        if let failure = perform(stage) { throw failure.whileWaiting }
      case .wait:
        let answer = gate.wait { (answer, _) in answer.take() }
        if let answer { throw answer }
        return
      }
    }
  }

  private enum LeaderStep {
    case reached
    case failed(EventStoreError)
    case run(GroupCommit.Stage)
    case wait
  }

  /// The number behind the last event that was taken in.
  var nextNumber: UInt64 { state.withLock { $0.nextNumber } }

  // MARK: Stages

  func run() {
    state.withLock { $0.isQueued = false }
    // A flush and the sync behind it; then other partitions have their turn.
    for _ in 0..<2 {
      guard let stage = beginStage() else { return }
      _ = perform(stage)
    }
    schedule()
  }

  /// Takes a stage, and calls another thread for one that may run beside it.
  private func beginStage() -> GroupCommit.Stage? {
    let (stage, needsHelp) = state.withLock { state in
      let stage = state.commit.begin()
      return (stage, stage != nil && claimQueue(&state))
    }
    if needsHelp { workers.submit(self) }
    return stage
  }

  private func schedule() {
    if state.withLock({ claimQueue(&$0) }) { workers.submit(self) }
  }

  private func perform(_ stage: GroupCommit.Stage) -> EventStoreError? {
    switch stage {
    case .flush: flush()
    case .sync: synchronize()
    case .mark: mark()
    }
  }

  /// Batches of one flush: enough to keep the disk busy, few enough to keep waits short.
  private static let flushCount = 16

  private func flush() -> EventStoreError? {
    let batches = state.withLock { state in
      var batches = Array(state.sealed.prefix(Self.flushCount))
      state.sealed.removeFirst(batches.count)
      if state.sealed.isEmpty, batches.count < Self.flushCount,
        state.commit.flushGoal > state.commit.written, let current = state.current,
        current.count > 0
      {
        state.current = nil
        batches.append(current)
      }
      state.commit.hasFullBatch = !state.sealed.isEmpty
      state.inFlight = batches.count
      return batches
    }
    var count = 0
    var written: UInt64 = 0
    do throws(CommitLogFailure) {
      for batch in batches {
        written = try log.write(batch)
        count += 1
      }
    } catch .storageFull(let cause) {
      return endFull(batches, count: count, written: written, .init(.storageFull(cause)))
    } catch {
      return fail(.flush, EventStoreError(error))
    }
    var events = 0
    for batch in batches {
      events += batch.count
      encoders.put(batch)
    }
    metrics.noteWritten(events: events, batches: count)
    finish { state in
      state.inFlight = 0
      state.commit.endFlush(written: written)
      noteTail(&state)
    }
    return nil
  }

  /// What could not be written stays where it was: nothing that was taken in is dropped (I9).
  private func endFull(
    _ batches: [BatchEncoder], count: Int, written: UInt64, _ failure: EventStoreError
  ) -> EventStoreError? {
    for batch in batches.prefix(count) { encoders.put(batch) }
    let waiters = state.withLock { state in
      state.sealed.insert(contentsOf: batches.dropFirst(count), at: 0)
      state.inFlight = 0
      state.commit.hasFullBatch = true
      state.commit.endFlushFull(written: written)
      return takeReached(&state) + takeAll(&state, failure)
    }
    for (waiter, answer) in waiters { waiter.resume(answer) }
    return failure
  }

  private func synchronize() -> EventStoreError? {
    let start = ContinuousClock.now
    let durable: UInt64
    do throws(CommitLogFailure) {
      durable = try log.synchronize()
    } catch {
      return fail(.sync, EventStoreError(error))
    }
    metrics.noteSync(ContinuousClock.now - start)
    finish { state in
      state.commit.endSync(durable: durable)
      state.needsMark = true
      noteTail(&state)
    }
    return nil
  }

  private func mark() -> EventStoreError? {
    do throws(CommitLogFailure) {
      try log.writeMark()
    } catch .storageFull {
      // A mark is a hint for recovery; the next one will do.
      finish { $0.commit.endFlush(written: 0) }
      return nil
    } catch {
      return fail(.flush, EventStoreError(error))
    }
    finish { $0.commit.endFlush(written: 0) }
    return nil
  }

  private func noteTail(_ state: inout State) {
    state.commit.note(durable: log.highWatermark)
    state.commit.unsyncedSize = log.unsyncedSize
    state.beats = 0
  }

  private func finish(_ change: (inout State) -> Void) {
    let (waiters, durable) = state.withLock { state in
      change(&state)
      return (takeReached(&state), state.commit.durable)
    }
    tail.publish(durable)
    for (waiter, answer) in waiters { waiter.resume(answer) }
  }

  private func takeReached(_ state: inout State) -> [(Waiter, EventStoreError?)] {
    guard !state.waiters.isEmpty else { return [] }
    var reached: [(Waiter, EventStoreError?)] = []
    var rest: [Waiter] = []
    for waiter in state.waiters {
      if isReached(waiter.goal, state) {
        reached.append((waiter, nil))
      } else {
        rest.append(waiter)
      }
    }
    state.waiters = rest
    return reached
  }

  private func takeAll(
    _ state: inout State, _ failure: EventStoreError
  ) -> [(Waiter, EventStoreError?)] {
    defer { state.waiters = [] }
    return state.waiters.map { ($0, failure) }
  }

  /// Stops the partition (I8): whoever waits cannot be told whether its events survive.
  private func fail(_ stage: GroupCommit.Stage, _ failure: EventStoreError) -> EventStoreError {
    let waiters = state.withLock { state in
      state.commit.poison(stage)
      state.failure = failure
      state.inFlight = 0
      return takeAll(&state, failure.whileWaiting)
    }
    metrics.notePoisoned(partition, failure)
    for (waiter, answer) in waiters { waiter.resume(answer) }
    return failure
  }

  // MARK: Background

  /// One beat of the pacemaker; returns whether anything is left to look after.
  func beat() -> Bool {
    let (isBusy, mustSchedule) = state.withLock { state -> (Bool, Bool) in
      guard state.failure == nil else { return (false, false) }
      guard state.isDirty else {
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
