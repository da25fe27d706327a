package import ArgumentParser

/// An argument with a reason when it is wrong.
///
/// The parser of arguments shows that reason only if the option is declared with
/// `transform: Value.parsed`; the conformance alone would say no more than "invalid".
package protocol ParsedArgument: ExpressibleByArgument, Sendable {
  /// Reads the argument.
  ///
  /// - Throws: ``BadArgument`` that says what would be right.
  init(parsing text: String) throws(BadArgument)
}

extension ParsedArgument {
  /// For `@Option(transform:)` and `@Argument(transform:)`.
  @Sendable
  package static func parsed(_ text: String) throws -> Self { try Self(parsing: text) }

  package init?(argument: String) {
    do {
      try self.init(parsing: argument)
    } catch {
      return nil
    }
  }
}

/// A number and the unit after it.
enum QuantityText {
  /// Splits `64KiB`; nil if no number stands first.
  static func split(_ text: String) throws(BadArgument) -> (number: Int, unit: Substring)? {
    let digits = text.prefix { ("0"..."9").contains($0) && $0.isASCII }
    guard !digits.isEmpty else { return nil }
    guard let number = Int(digits) else { throw BadArgument("'\(text)' is too large") }
    return (number, text[digits.endIndex...])
  }
}
