internal import ConsumerCheckpoints
internal import LogFormat
internal import Synchronization

/// Changes of consumer groups that are asked for at once share one sync.
final class CheckpointCommitter: Work {
  /// Says what a request writes, given the groups as every request before it leaves them.
  ///
  /// Called at the request's turn, so that nothing is decided on what others still change.
  typealias Decision =
    @Sendable (borrowing CheckpointTable) throws(EventStoreError) -> [CheckpointEntry]

  private struct Request: Sendable {
    let decide: Decision
    let answer: @Sendable (EventStoreError?) -> Void
  }

  private struct State {
    var requests: [Request] = []
    var isRunning = false
    var isPoisoned = false
  }

  private let log: CheckpointLog
  private let workers: WorkerPool
  private let state = Mutex(State())

  init(_ log: CheckpointLog, workers: WorkerPool) {
    self.log = log
    self.workers = workers
  }

  var table: CheckpointTable { log.table }
  var closingEnd: ManifestEdit.CheckpointsEnd { log.closingEnd }

  /// Returns when what is decided would survive a crash.
  func commit(_ decide: @escaping Decision) async throws(EventStoreError) {
    let wait = JoinedWait(count: 1)
    let mustStart = state.withLock { state in
      state.requests.append(Request(decide: decide) { wait.arrive($0) })
      defer { state.isRunning = true }
      return !state.isRunning
    }
    // A stopped pool never runs again, and what was submitted before has been run.
    if mustStart, !workers.submit(self) { refuseAll() }
    try await wait.wait()
  }

  private func takeRequests() -> [Request] {
    state.withLock { state in
      defer { state.requests = [] }
      if state.requests.isEmpty { state.isRunning = false }
      return state.requests
    }
  }

  private func refuseAll() {
    while case let requests = takeRequests(), !requests.isEmpty {
      for request in requests { request.answer(.isClosed) }
    }
  }

  func run() {
    while case let requests = takeRequests(), !requests.isEmpty {
      var table = log.table
      var entries: [CheckpointEntry] = []
      var accepted: [Request] = []
      for request in requests {
        do throws(EventStoreError) {
          let decided = try request.decide(table)
          for entry in decided { table.apply(entry) }
          entries += decided
          accepted.append(request)
        } catch {
          request.answer(error)
        }
      }
      let failure = write(entries)
      for request in accepted { request.answer(failure) }
    }
  }

  /// Writes and syncs; those who wait for a sync that fails cannot be told what survives (I8).
  private func write(_ entries: [CheckpointEntry]) -> EventStoreError? {
    do throws(CheckpointFailure) {
      try log.commit(entries)
      return nil
    } catch {
      let failure = EventStoreError(error)
      guard failure.code == .poisoned else { return failure }
      let isFirst = state.withLock { state in
        defer { state.isPoisoned = true }
        return !state.isPoisoned
      }
      return isFirst ? failure.whileWaiting : failure
    }
  }
}
