/// A task that is suspended until somebody resumes it, exactly once.
@safe
struct Suspension<Value: Sendable>: Sendable {
  private let continuation: UnsafeContinuation<Value, Never>

  /// Suspends the task and hands it to `body`, which sees to it that it is resumed.
  static func suspend(
    isolation: isolated (any Actor)? = #isolation, _ body: (Self) -> Void
  ) async -> Value {
    // SAFETY: every owner takes the suspension out of its state under a lock before resuming it,
    // so it is resumed once; closing resumes what is left.
    await unsafe withUnsafeContinuation { continuation in
      body(unsafe Self(continuation: continuation))
    }
  }

  func resume(_ value: Value) {
    // SAFETY: as above.
    unsafe continuation.resume(returning: value)
  }
}
