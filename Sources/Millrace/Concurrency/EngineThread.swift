internal import Glibc

/// A thread of ours, where blocking calls are made.
@safe
final class EngineThread: Sendable {
  private let thread: pthread_t

  /// Starts a thread that runs `body` once.
  init(_ body: @escaping @Sendable () -> Void) {
    var thread = pthread_t()
    // SAFETY: the box is retained for the thread, which takes the reference over exactly once.
    let box = unsafe Unmanaged.passRetained(Body(body))
    let status = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        let body = unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
        body.run()
        return nil
      }, unsafe box.toOpaque())
    precondition(status == 0, "the system has no room for another thread (error \(status))")
    self.thread = thread
  }

  /// Waits until the thread has ended.
  ///
  /// Called once. The thread itself lets go instead: it may hold the last reference to its store.
  func join() {
    if pthread_equal(thread, pthread_self()) != 0 {
      pthread_detach(thread)
    } else {
      pthread_join(thread, nil)
    }
  }

  private final class Body: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }
}
