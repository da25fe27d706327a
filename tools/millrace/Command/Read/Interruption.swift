import CommandSupport
import Glibc
import Synchronization

/// Turns the interrupt from the keyboard into a call.
enum Interruption {
  /// Where the signal's handler, which may do next to nothing, writes a byte.
  private static let wakeup = Atomic<Int32>(-1)
  private static let wasRequested = Atomic<Bool>(false)

  /// Whether the user has interrupted; for loops that look now and then.
  static var isRequested: Bool { wasRequested.load(ordering: .relaxed) }

  /// Calls `stop` once, from a thread of its own, when the user interrupts.
  ///
  /// A second interrupt ends the command at once.
  static func watch(_ stop: @escaping @Sendable () -> Void) throws(CommandFailure) {
    var ends: [Int32] = [-1, -1]
    // SAFETY: the array has room for the two descriptors that the call fills in.
    guard unsafe pipe(&ends) == 0 else {
      throw CommandFailure("cannot watch for interrupts: \(SystemMessage.text(errno))")
    }
    let reading = ends[0]
    wakeup.store(ends[1], ordering: .sequentiallyConsistent)
    try OwnThread.detach {
      var byte: UInt8 = 0
      // SAFETY: one byte of a local variable.
      while unsafe read(reading, &byte, 1) < 0, errno == EINTR {}
      stop()
    }
    var action = sigaction()
    unsafe action.__sigaction_handler.sa_handler = { _ in
      var byte: UInt8 = 0
      Interruption.wasRequested.store(true, ordering: .relaxed)
      let descriptor = Interruption.wakeup.load(ordering: .sequentiallyConsistent)
      // SAFETY: one byte of a local variable; `write` may be called in a handler.
      _ = unsafe write(descriptor, &byte, 1)
    }
    action.sa_flags = Int32(bitPattern: UInt32(SA_RESTART) | UInt32(SA_RESETHAND))
    // SAFETY: the structure is complete and lives for the call.
    _ = unsafe sigaction(SIGINT, &action, nil)
  }
}
