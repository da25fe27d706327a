internal import Synchronization

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
    let value = await unsafe withUnsafeContinuation { continuation in
      body(unsafe Self(continuation: continuation))
    }
    _ = Handovers.count.load(ordering: .acquiring)
    return value
  }

  func resume(_ value: Value) {
    Handovers.count.wrappingAdd(1, ordering: .releasing)
    // SAFETY: as above.
    unsafe continuation.resume(returning: value)
  }
}

/// Orders what was done before a resumption before what comes after it.
///
/// The runtime does so as well, but in code that the thread sanitizer does not see: without this it
/// reports a race on whatever is handed over.
private enum Handovers {
  static let count = Atomic<UInt64>(0)
}
