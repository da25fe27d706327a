import Glibc

/// An input named on the command line: a path, or `-` for standard input.
package struct InputFile: Hashable, Sendable {
  /// The argument as given.
  package let argument: String

  package init(_ argument: String) { self.argument = argument }

  /// Whether this is standard input.
  package var isStandardInput: Bool { argument == "-" }

  /// The name in messages.
  package var name: String { isStandardInput ? "standard input" : argument }

  /// Checks what can be known of the input without opening it: opening a pipe would wait.
  package func check() throws(InputError) {
    guard !isStandardInput else { return }
    var status = stat()
    // SAFETY: the path is passed as a C string that lives for the call; the system fills in the
    // local structure.
    guard unsafe access(argument, R_OK) == 0, unsafe stat(argument, &status) == 0 else {
      throw InputError(file: name, .failed(operation: "open", errno: errno))
    }
    if status.st_mode & S_IFMT == S_IFDIR {
      throw InputError(file: name, .failed(operation: "read", errno: EISDIR))
    }
  }

  /// Opens the input for reading.
  package func open() throws(InputError) -> ByteStream {
    if isStandardInput { return ByteStream(descriptor: 0, name: name, closes: false) }
    while true {
      // SAFETY: the path is passed as a C string that lives for the call.
      let descriptor = unsafe Glibc.open(argument, O_RDONLY | O_CLOEXEC)
      if descriptor >= 0 {
        // A hint alone: sequential reading doubles the kernel's read-ahead.
        _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
        return ByteStream(descriptor: descriptor, name: name, closes: true)
      }
      guard errno == EINTR else {
        throw InputError(file: name, .failed(operation: "open", errno: errno))
      }
    }
  }
}
