internal import CommitLog
internal import EventModel
internal import Glibc
internal import LogFormat
internal import Synchronization

/// The stages of ``GroupCommit``, each run by whichever thread took it.
extension PartitionWriter {
  /// Stages and batches laid out in one turn of a worker's: about as much as one flush may write.
  private static let stepsMax = 16

  func run() {
    state.withLock { $0.isQueued = false }
    // Then other partitions have their turn.
    for _ in 0..<Self.stepsMax {
      if let stage = beginStage() {
        _ = perform(stage)
      } else if let batch = state.withLock({ needsHelp($0) ? takeToLayOut(&$0) : nil }) {
        layOut(batch)
      } else {
        return
      }
    }
    schedule()
  }

  /// Takes a stage, and calls another thread for one that may run beside it.
  private func beginStage() -> GroupCommit.Stage? {
    let (stage, callsHelp) = state.withLock { state in
      let stage = state.commit.begin()
      // A flush calls for itself.
      return (stage, stage != nil && stage != .flush && claimQueue(&state))
    }
    if callsHelp { workers.submit(self) }
    return stage
  }

  func schedule() {
    if state.withLock({ claimQueue(&$0) }) { workers.submit(self) }
  }

  func perform(_ stage: GroupCommit.Stage) -> EventStoreError? {
    switch stage {
    case .flush: flush()
    case .sync: synchronize()
    case .mark: mark()
    }
  }

  /// Bytes of one flush: enough to keep the disk busy, few enough to keep waits short and the
  /// unsynced tail within its bound (``GroupCommit/stallSize``).
  static let flushSize = Limits.batchSizeMax

  private func flush() -> EventStoreError? {
    gather()
    let (batches, callsHelp) = state.withLock { state in
      (takeToFlush(&state), claimQueue(&state))
    }
    if callsHelp { workers.submit(self) }
    var count = 0
    var written: UInt64 = 0
    let rolls = log.rollCount
    let wasShort = log.isShort
    defer { if log.rollCount != rolls || log.isShort != wasShort { wakeMaintenance() } }
    do throws(CommitLogFailure) {
      for batch in batches {
        written = try log.write(batch.encoder, batch.framed)
        count += 1
      }
    } catch .storageFull(let cause) {
      return endFull(batches, count: count, written: written, .init(.storageFull(cause)))
    } catch {
      return fail(.flush, EventStoreError(error))
    }
    var events = 0
    var size = 0
    for batch in batches {
      events += batch.encoder.count
      size += batch.size
      putBack(batch)
    }
    metrics.noteWritten(events: events, batches: count)
    finish { state in
      state.pendingSize -= size
      state.commit.endFlush(written: written)
      noteTail(&state)
    }
    return nil
  }

  /// Waits for those who were in the last group, where this one is small and all who wait for it
  /// wait for its sync.
  private func gather() {
    let patience = state.withLock { state -> Duration? in
      guard state.sealed.isEmpty, (state.current?.size ?? 0) < limits.size / 4,
        !state.commit.isWriteAwaited
      else { return nil }
      return state.gathering.begin()
    }
    guard let patience else { return }
    let deadline = ContinuousClock.now + patience
    repeat {
      sched_yield()
    } while ContinuousClock.now < deadline
      && !state.withLock({ $0.gathering.isComplete || $0.commit.isWriteAwaited })
    state.withLock { $0.gathering.end() }
  }

  /// Takes what one flush writes.
  ///
  /// As much as it may; where somebody waits for it, no more than what is laid out already and one
  /// batch that is not: the others are left to whoever helps.
  private func takeToFlush(_ state: inout State) -> [SealedBatch] {
    var batches: [SealedBatch] = []
    var size = 0
    let isAwaited = state.commit.isFlushAwaited
    func fits(_ batch: SealedBatch) -> Bool {
      guard let last = batches.last else { return true }
      return (last.framed != nil || !isAwaited) && size + batch.size <= Self.flushSize
    }
    for batch in state.sealed {
      guard !batch.isBeingLaidOut, fits(batch) else { break }
      batches.append(batch)
      size += batch.size
    }
    state.sealed.removeFirst(batches.count)
    if state.sealed.isEmpty, state.commit.isFlushingAll, let current = state.current,
      current.count > 0
    {
      let batch = SealedBatch(current)
      if fits(batch) {
        state.current = nil
        state.pendingSize += batch.size
        batches.append(batch)
      }
    }
    state.noteSealed()
    return batches
  }

  private func putBack(_ batch: SealedBatch) {
    encoders.put(batch.encoder)
    if let framed = batch.framed { framers.put(framed) }
  }

  /// What could not be written stays where it was: nothing that was taken in is dropped (I9).
  private func endFull(
    _ batches: [SealedBatch], count: Int, written: UInt64, _ failure: EventStoreError
  ) -> EventStoreError? {
    let size = batches.prefix(count).reduce(0) { $0 + $1.size }
    for batch in batches.prefix(count) { putBack(batch) }
    let waiters = state.withLock { state in
      state.sealed.insert(contentsOf: batches.dropFirst(count), at: 0)
      state.pendingSize -= size
      state.commit.unsyncedSize = log.unsyncedSize
      state.noteSealed()
      state.commit.endFlushFull(written: written)
      return takeReached(&state) + takeAll(&state, failure)
    }
    for (waiter, answer) in waiters { waiter.answer(answer) }
    return failure
  }

  private func synchronize() -> EventStoreError? {
    state.withLock { $0.beats = 0 }
    let start = ContinuousClock.now
    let durable: UInt64
    do throws(CommitLogFailure) {
      durable = try log.synchronize()
    } catch {
      return fail(.sync, EventStoreError(error))
    }
    let duration = ContinuousClock.now - start
    metrics.noteSync(duration)
    finish { state in
      state.gathering.noteSync(taking: duration)
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
  }

  private func finish(_ change: (inout State) -> Void) {
    let (waiters, durable) = state.withLock { state in
      change(&state)
      return (takeReached(&state), state.commit.durable)
    }
    tail.publish(durable)
    for (waiter, answer) in waiters { waiter.answer(answer) }
  }

  private func takeReached(_ state: inout State) -> [(Waiter, EventStoreError?)] {
    var firstSyncGoal = UInt64.max
    defer { state.commit.note(firstSyncGoal: firstSyncGoal) }
    guard !state.waiters.isEmpty else { return [] }
    let commit = state.commit
    let hasRoom = hasRoom(state)
    var reached: [(Waiter, EventStoreError?)] = []
    // In place, so that the next to wait finds room in the array.
    state.waiters.removeAll { waiter in
      guard waiter.goal.isReached(in: commit, hasRoom: hasRoom) else {
        if case .durable(let number) = waiter.goal { firstSyncGoal = min(firstSyncGoal, number) }
        return false
      }
      reached.append((waiter, nil))
      return true
    }
    state.gathering.leave(reached.count { $0.0.isGathered })
    return reached
  }

  private func takeAll(
    _ state: inout State, _ failure: EventStoreError
  ) -> [(Waiter, EventStoreError?)] {
    defer { state.waiters = [] }
    state.gathering.leave(state.waiters.count { $0.isGathered })
    return state.waiters.map { ($0, failure) }
  }

  /// Stops the partition (I8): whoever waits cannot be told whether its events survive.
  private func fail(_ stage: GroupCommit.Stage, _ failure: EventStoreError) -> EventStoreError {
    let waiters = state.withLock { state in
      state.commit.poison(stage)
      state.failure = failure
      return takeAll(&state, failure.whileWaiting)
    }
    metrics.notePoisoned(partition, failure)
    for (waiter, answer) in waiters { waiter.answer(answer) }
    return failure
  }
}
