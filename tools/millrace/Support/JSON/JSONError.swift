/// Text that is not JSON, or not the JSON expected.
package struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is wrong.
  package let problem: String
  /// The byte at which it was noticed, from 0.
  package let position: Int

  package init(_ problem: String, at position: Int) {
    self.problem = problem
    self.position = position
  }

  package var description: String { "not valid JSON: \(problem) at byte \(position)" }
}

extension BadLine {
  package init(_ error: JSONError) { self.init(error.description) }
}
