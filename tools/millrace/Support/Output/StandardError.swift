import Glibc

/// Writes lines to standard error.
///
/// What cannot be written there is lost: there is nowhere to say so.
package enum StandardError {
  /// Writes `millrace: error: …`.
  package static func error(_ message: String) { line("millrace: error: \(joined(message))") }

  /// Writes `millrace: …`, for what the user should know although it is no error.
  package static func notice(_ message: String) { line("millrace: \(joined(message))") }

  /// Writes one line.
  package static func line(_ text: String) { write(text + "\n") }

  /// Writes text as it is.
  package static func write(_ text: String) {
    _ = Descriptor.write(Array(text.utf8)[...], to: STDERR_FILENO)
  }

  /// Puts a message on one line, as scripts expect it.
  package static func joined(_ message: String) -> String {
    message.split(whereSeparator: \.isNewline).joined(separator: " ")
  }
}

/// Writes whole byte strings to descriptors.
package enum Descriptor {
  /// Writes all bytes; returns the error number of the call that failed, 0 if none did.
  package static func write(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) -> Int32 {
    var done = 0
    return write(bytes, to: descriptor, done: &done)
  }

  /// The same, and sets `done` to the number of bytes that were written.
  package static func write(
    _ bytes: ArraySlice<UInt8>, to descriptor: Int32, done: inout Int
  ) -> Int32 {
    // SAFETY: the array keeps its bytes in place during the closure; `done` stays below the count.
    unsafe bytes.withUnsafeBytes { buffer in
      done = 0
      while done < buffer.count {
        let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[done...])
        let count = unsafe Glibc.write(descriptor, rest.baseAddress, rest.count)
        if count >= 0 {
          done += count
          continue
        }
        let failure = errno
        switch failure {
        case EINTR: continue
        case EAGAIN:
          // A terminal or pipe that someone made non-blocking: wait until it takes more.
          var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
          _ = unsafe poll(&request, 1, -1)
        default: return failure
        }
      }
      return 0
    }
  }
}
