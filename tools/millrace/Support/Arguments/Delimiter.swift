import ArgumentParser

/// The byte between the columns of a line: one ASCII character, or `\t` for a tab.
package struct Delimiter: Hashable, ParsedArgument {
  package let byte: UInt8

  /// What RFC 4180 says.
  package static let comma = Self(byte: UInt8(ascii: ","))

  private init(byte: UInt8) { self.byte = byte }

  package init(parsing text: String) throws(BadArgument) {
    if text == "\\t" {
      byte = UInt8(ascii: "\t")
      return
    }
    guard text.utf8.count == 1, let byte = text.utf8.first else {
      throw BadArgument("'\(text)' is no delimiter; use one ASCII character, or \\t for a tab")
    }
    guard !Array("\"\r\n".utf8).contains(byte) else {
      throw BadArgument("quotes and line ends cannot be the delimiter")
    }
    self.byte = byte
  }
}
