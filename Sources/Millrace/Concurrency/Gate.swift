internal import Glibc

/// A mutex and a condition, for threads of ours that wait: never for a cooperative thread.
///
/// Sendable because every access to `value` holds the mutex.
@safe
final class Gate<Value>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private var value: Value

  init(_ value: Value) {
    self.value = value
    // SAFETY: both are owned by this object, initialised here and destroyed in `deinit`; waits
    // with a deadline use the monotonic clock, which nobody can set back.
    unsafe mutex = .allocate(capacity: 1)
    unsafe condition = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe condition.initialize(to: pthread_cond_t())
    unsafe pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    unsafe pthread_condattr_init(&attributes)
    unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    unsafe pthread_cond_init(condition, &attributes)
    unsafe pthread_condattr_destroy(&attributes)
  }

  deinit {
    // SAFETY: nobody can wait on an object that nobody holds.
    unsafe pthread_cond_destroy(condition)
    unsafe pthread_mutex_destroy(mutex)
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  /// Changes the value and wakes every waiter.
  func update<Result>(_ body: (inout Value) -> Result) -> Result {
    // SAFETY: the mutex lives as long as this object; locked and unlocked in this call.
    unsafe pthread_mutex_lock(mutex)
    defer {
      unsafe pthread_cond_broadcast(condition)
      unsafe pthread_mutex_unlock(mutex)
    }
    return body(&value)
  }

  /// Changes the value and wakes one waiter: enough where any of them will do.
  func updateOne<Result>(_ body: (inout Value) -> Result) -> Result {
    // SAFETY: as in `update`.
    unsafe pthread_mutex_lock(mutex)
    defer {
      unsafe pthread_cond_signal(condition)
      unsafe pthread_mutex_unlock(mutex)
    }
    return body(&value)
  }

  /// Blocks until `body` returns something, asking again after every update.
  ///
  /// - Parameters:
  ///   - patience: how long to wait at most.
  ///   - body: looks at the value, and is told when the patience has run out.
  /// - Returns: what `body` returned.
  func wait<Result>(
    patience: Duration? = nil, _ body: (inout Value, _ isTimedOut: Bool) -> Result?
  ) -> Result {
    let deadline = patience.map { Self.deadline(after: $0) }
    var isTimedOut = false
    // SAFETY: as in `update`; the wait releases the mutex and takes it again.
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    while true {
      if let result = body(&value, isTimedOut) { return result }
      if var deadline {
        isTimedOut = unsafe pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT
      } else {
        unsafe pthread_cond_wait(condition, mutex)
      }
    }
  }

  private static func deadline(after patience: Duration) -> timespec {
    var time = timespec()
    // SAFETY: the clock fills in the local structure.
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    let nanoseconds =
      time.tv_nsec + Int(patience.components.attoseconds / 1_000_000_000)
    return timespec(
      tv_sec: time.tv_sec + Int(patience.components.seconds) + nanoseconds / 1_000_000_000,
      tv_nsec: nanoseconds % 1_000_000_000)
  }
}
