internal import Glibc

/// Wakes one thread of ours, or of the caller's, that waits: never for a cooperative thread.
///
/// A semaphore: one call to wait and one to wake, where a condition with its mutex takes twice as
/// many and wakes the thread twice.
///
/// Sendable because a semaphore is for any number of threads.
@safe
final class Signal: @unchecked Sendable {
  private let semaphore: UnsafeMutablePointer<sem_t>

  init() {
    // SAFETY: owned by this object, initialised here and destroyed in `deinit`.
    unsafe semaphore = .allocate(capacity: 1)
    unsafe semaphore.initialize(to: sem_t())
    unsafe sem_init(semaphore, 0, 0)
  }

  deinit {
    // SAFETY: nobody can wait on an object that nobody holds.
    unsafe sem_destroy(semaphore)
    unsafe semaphore.deallocate()
  }

  /// Lets one waiter go on, or the next one who waits.
  func send() {
    // SAFETY: the semaphore lives as long as this object.
    unsafe sem_post(semaphore)
  }

  /// Blocks until there is a signal, and takes it.
  func wait() {
    // SAFETY: as above; a wait that a signal handler interrupts is begun again.
    while unsafe sem_wait(semaphore) != 0 {}
  }
}
