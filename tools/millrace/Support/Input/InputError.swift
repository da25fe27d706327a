/// Input that cannot be read further.
///
/// Unlike a ``BadLine`` it cannot be skipped, but for a line that is too long.
package struct InputError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What stopped the reading.
  package enum Problem: Hashable, Sendable {
    /// A system call failed.
    case failed(operation: String, errno: Int32)
    /// Compressed data ends in the middle.
    case truncated(format: String)
    /// Compressed data is damaged.
    case corrupt(format: String, detail: String)
    /// A line has more bytes than a line may have.
    case lineTooLong(line: Int, limit: Int)
    /// A file of columns has no line that names them.
    case noHeader
    /// The header cannot be used.
    case badHeader(detail: String)
  }

  /// The file's name as the user gave it.
  package let file: String
  /// What stopped the reading.
  package let problem: Problem

  package init(file: String, _ problem: Problem) {
    self.file = file
    self.problem = problem
  }

  /// What is wrong with one line alone, and its number; nil if nothing can be read behind it.
  package var badLine: (problem: BadLine, line: Int)? {
    guard case .lineTooLong(let line, let limit) = problem else { return nil }
    return (BadLine("the line has more than \(limit) bytes"), line)
  }

  package var description: String {
    switch problem {
    case .failed(let operation, let errno):
      "cannot \(operation) \(file): \(SystemMessage.text(errno)); name a file that can be read"
    case .truncated(let format):
      "\(file) is cut off: its \(format) data ends in the middle; get the whole file"
    case .corrupt(let format, let detail):
      "\(file) is damaged: its \(format) data cannot be decompressed (\(detail)); "
        + "get the file again"
    case .lineTooLong(let line, let limit):
      "\(file): line \(line) has more than \(limit) bytes; is it a text file?"
    case .noHeader:
      "\(file) has no header line; name the columns with --header"
    case .badHeader(let detail):
      "\(file): the header cannot be used: \(detail)"
    }
  }
}

/// A line or record that is no event.
///
/// The lines after it can still be read.
package struct BadLine: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is wrong with the line.
  package let description: String

  package init(_ description: String) { self.description = description }
}
