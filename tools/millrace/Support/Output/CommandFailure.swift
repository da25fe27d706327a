/// Ends the command with one line on standard error and a status.
package struct CommandFailure: Error, Hashable, Sendable, CustomStringConvertible {
  /// What failed and what to do about it.
  package let message: String
  /// The command's exit status.
  package let status: Int32

  package init(_ message: String, status: Int32 = ExitStatus.failure) {
    self.message = message
    self.status = status
  }

  package var description: String { message }
}
