import Glibc

/// A thread of our own for work that blocks: a cooperative thread never waits for an input or a
/// disk.
package enum OwnThread {
  /// Runs `body` on a new thread and suspends until it is done.
  package static func run<Result: Sendable>(
    _ body: @escaping @Sendable () throws -> Result
  ) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
      let status = start {
        do {
          continuation.resume(returning: try body())
        } catch {
          continuation.resume(throwing: error)
        }
      }
      if status != 0 { continuation.resume(throwing: failure(status)) }
    }
  }

  /// Runs `body` on a new thread that nobody waits for.
  package static func detach(_ body: @escaping @Sendable () -> Void) throws(CommandFailure) {
    let status = start(body)
    if status != 0 { throw failure(status) }
  }

  private static func failure(_ status: Int32) -> CommandFailure {
    CommandFailure("cannot start a thread: \(SystemMessage.text(status)); free some memory")
  }

  /// Returns the error number of the system, zero for success; then alone `body` runs.
  private static func start(_ body: @escaping @Sendable () -> Void) -> Int32 {
    // SAFETY: the call is retained for the thread, which takes the reference over exactly once.
    let box = unsafe Unmanaged.passRetained(Call(body))
    var thread = pthread_t()
    let status = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<Call>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, unsafe box.toOpaque())
    if status == 0 { pthread_detach(thread) } else { unsafe box.release() }
    return status
  }

  private final class Call: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }
}
