import Glibc

/// Why output cannot be written.
package enum OutputFailure: Error, Hashable, Sendable, CustomStringConvertible {
  /// The reader has gone, as `head` does: the command ends quietly.
  case closedPipe
  /// The write failed, as on a full disk.
  case failed(errno: Int32)

  package var description: String {
    switch self {
    case .closedPipe: "the reader of standard output has gone"
    case .failed(let errno):
      "cannot write to standard output: \(SystemMessage.text(errno)); write to another place"
    }
  }
}

/// Standard output with a buffer.
///
/// Nothing is written without ``flush()`` but what overflows, and what was not flushed is lost when
/// the command ends: every command flushes, and moves no checkpoint before it.
package struct StandardOutput: ~Copyable {
  /// At this many bytes the buffer is written.
  package static let bufferSize = 64 << 10

  private let descriptor: Int32
  private var buffer: [UInt8] = []

  /// A buffer before a descriptor, standard output unless told otherwise.
  package init(descriptor: Int32 = STDOUT_FILENO) {
    // Otherwise a closed pipe would end the process before it could release what it holds.
    Signals.ignoreBrokenPipes()
    self.descriptor = descriptor
    buffer.reserveCapacity(2 * Self.bufferSize)
  }

  /// Blocks until whoever reads standard output has gone; false where that cannot be known.
  ///
  /// A file is never closed by its reader: then this blocks for ever.
  package static func waitForClosing() -> Bool {
    // Errors and hang-ups are told without being asked for.
    var request = pollfd(fd: STDOUT_FILENO, events: 0, revents: 0)
    while true {
      // SAFETY: one structure of a local variable.
      let count = unsafe poll(&request, 1, -1)
      if count > 0 { return Int32(request.revents) & (POLLERR | POLLHUP) != 0 }
      guard count < 0, errno == EINTR else { return false }
    }
  }

  /// Whether a person is looking.
  package var isTerminal: Bool { isatty(descriptor) == 1 }

  /// Lets `body` append bytes, and writes them when there are many.
  package mutating func append<Failure: Error>(
    _ body: (inout [UInt8]) throws(Failure) -> Void
  ) throws(Failure) {
    try body(&buffer)
  }

  /// Writes the buffer if it is full; call it after each event.
  ///
  /// Returns whether it was.
  @discardableResult
  package mutating func flushIfFull() throws(OutputFailure) -> Bool {
    guard buffer.count >= Self.bufferSize else { return false }
    try flush()
    return true
  }

  /// Writes some bytes.
  package mutating func write(_ bytes: some Sequence<UInt8>) throws(OutputFailure) {
    buffer.append(contentsOf: bytes)
    try flushIfFull()
  }

  /// Writes one line.
  package mutating func writeLine(_ text: String) throws(OutputFailure) {
    buffer.append(contentsOf: text.utf8)
    buffer.append(0x0a)
    try flushIfFull()
  }

  /// Writes everything the buffer holds.
  package mutating func flush() throws(OutputFailure) {
    guard !buffer.isEmpty else { return }
    let failure = Descriptor.write(buffer[...], to: descriptor)
    // Also after an error: writing the same bytes twice would be worse than not at all.
    buffer.removeAll(keepingCapacity: true)
    switch failure {
    case 0: return
    case EPIPE: throw .closedPipe
    default: throw .failed(errno: failure)
    }
  }
}

/// Signals whose default would end the command too early.
package enum Signals {
  /// Turns a write to a closed pipe into the error `EPIPE`.
  package static func ignoreBrokenPipes() {
    _ = signal(SIGPIPE, SIG_IGN)
  }
}
