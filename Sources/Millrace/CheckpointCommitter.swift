internal import ConsumerCheckpoints
internal import EventModel
internal import LogFormat
internal import Synchronization

/// Commits of consumer groups that are asked for at once share one sync.
final class CheckpointCommitter: Work {
  private struct State {
    var pending: [CheckpointEntry] = []
    var waiting: [@Sendable (EventStoreError?) -> Void] = []
    var isRunning = false
  }

  private let log: CheckpointLog
  private let workers: WorkerPool
  private let state = Mutex(State())

  init(_ log: CheckpointLog, workers: WorkerPool) {
    self.log = log
    self.workers = workers
  }

  var table: CheckpointTable { log.table }

  /// Returns when the entries would survive a crash.
  func commit(_ entries: [CheckpointEntry]) async throws(EventStoreError) {
    let wait = JoinedWait(count: 1)
    let mustStart = state.withLock { state in
      state.pending += entries
      state.waiting.append { wait.arrive($0) }
      defer { state.isRunning = true }
      return !state.isRunning
    }
    if mustStart { workers.submit(self) }
    try await wait.wait()
  }

  func run() {
    while true {
      let group = state.withLock { state in
        defer {
          state.pending = []
          state.waiting = []
        }
        if state.waiting.isEmpty { state.isRunning = false }
        return (state.pending, state.waiting)
      }
      guard !group.1.isEmpty else { return }
      var failure: EventStoreError?
      do throws(CheckpointFailure) {
        try log.commit(group.0)
      } catch {
        failure = EventStoreError(error)
      }
      for resume in group.1 { resume(failure) }
    }
  }
}
