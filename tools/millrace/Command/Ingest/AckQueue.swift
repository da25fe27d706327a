import Glibc
import Synchronization

/// Hands groups from the thread that appends to the task that makes them durable.
///
/// So appending goes on while the disk syncs. Bounded: when the disk cannot follow, the thread
/// waits.
final class AckQueue: Sendable {
  /// Groups that may be under way: one that is synced, one that waits for it, one to spare.
  private static let groupCountMax = 3

  private struct State {
    var groups: [AckGroup] = []
    var taker: CheckedContinuation<[AckGroup], Never>?
    var isClosed = false
    var failure: (any Error)?
  }

  private let state = Mutex(State())
  private let room = Semaphore(count: groupCountMax)

  /// Adds a group; blocks while there is no room.
  ///
  /// - Throws: what the task failed with.
  func put(_ group: AckGroup) throws {
    room.wait()
    let taker = try state.withLock { state -> CheckedContinuation<[AckGroup], Never>? in
      if let failure = state.failure {
        // Whoever puts again must hear it too.
        room.signal()
        throw failure
      }
      if state.taker == nil { state.groups.append(group) }
      return state.taker.take()
    }
    taker?.resume(returning: [group])
  }

  /// No group follows.
  func close() {
    let taker = state.withLock { state in
      state.isClosed = true
      return state.taker.take()
    }
    taker?.resume(returning: [])
  }

  /// All groups that wait, at least one; none at the end.
  ///
  /// One task takes.
  func take() async -> [AckGroup] {
    await withCheckedContinuation { continuation in
      let groups = state.withLock { state -> [AckGroup]? in
        if !state.groups.isEmpty {
          defer { state.groups = [] }
          return state.groups
        }
        if state.isClosed { return [] }
        state.taker = continuation
        return nil
      }
      if let groups { continuation.resume(returning: groups) }
    }
  }

  /// Groups that were taken are done.
  func release(_ count: Int) {
    for _ in 0..<count { room.signal() }
  }

  /// What the task failed with; nil if it did not.
  var failure: (any Error)? { state.withLock { $0.failure } }

  /// The task cannot go on; whoever puts is told.
  func fail(_ failure: any Error) {
    state.withLock { $0.failure = $0.failure ?? failure }
    room.signal()
  }
}

/// A counting semaphore.
@safe
final class Semaphore: Sendable {
  // SAFETY: owned by this object; the system's calls on it may come from any thread.
  private nonisolated(unsafe) let semaphore: UnsafeMutablePointer<sem_t>

  init(count: Int) {
    unsafe semaphore = .allocate(capacity: 1)
    // SAFETY: freshly allocated, destroyed in `deinit`.
    let status = unsafe sem_init(semaphore, 0, UInt32(count))
    precondition(status == 0, "a semaphore cannot count to \(count)")
  }

  deinit {
    // SAFETY: nobody can wait on an object that nobody holds.
    unsafe sem_destroy(semaphore)
    unsafe semaphore.deallocate()
  }

  /// Takes one; blocks until there is one.
  func wait() {
    // SAFETY: initialised in `init`; a signal may interrupt the call.
    while unsafe sem_wait(semaphore) != 0 {}
  }

  /// Adds one.
  func signal() {
    // SAFETY: initialised in `init`.
    _ = unsafe sem_post(semaphore)
  }
}
