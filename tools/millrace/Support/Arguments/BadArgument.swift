/// An argument that cannot be used.
///
/// Shown to the user as wrong usage.
package struct BadArgument: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is wrong, and what would be right.
  package let description: String

  package init(_ description: String) { self.description = description }
}
