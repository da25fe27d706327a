import Glibc

/// A thread of our own for work that blocks: a cooperative thread never waits for an input or a
/// disk.
package enum OwnThread {
  /// Runs `body` on a new thread and suspends until it is done.
  package static func run<Result: Sendable>(
    _ body: @escaping @Sendable () throws -> Result
  ) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
      let call = Call {
        do {
          continuation.resume(returning: try body())
        } catch {
          continuation.resume(throwing: error)
        }
      }
      // SAFETY: the call is retained for the thread, which takes the reference over exactly once.
      let box = unsafe Unmanaged.passRetained(call)
      var thread = pthread_t()
      let status = unsafe pthread_create(
        &thread, nil,
        { argument in
          guard let argument = unsafe argument else { return nil }
          unsafe Unmanaged<Call>.fromOpaque(argument).takeRetainedValue().run()
          return nil
        }, unsafe box.toOpaque())
      guard status == 0 else {
        unsafe box.release()
        continuation.resume(
          throwing: CommandFailure("cannot start a thread: \(SystemMessage.text(status))"))
        return
      }
      pthread_detach(thread)
    }
  }

  private final class Call: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }
}
