/// A place in a JSON text (RFC 6901), such as `/sensor/0/id`.
package struct JSONPointer: Hashable, Sendable, CustomStringConvertible {
  private struct Token: Hashable {
    let key: [UInt8]
    /// The element of an array it means; nil if it can mean none.
    let index: Int?
  }

  /// The pointer as written.
  package let description: String
  private let tokens: [Token]

  /// Checks and makes a pointer.
  ///
  /// - Throws: ``BadArgument`` that names the rule the text breaks.
  package init(_ text: String) throws(BadArgument) {
    description = text
    guard !text.isEmpty else {
      tokens = []
      return
    }
    guard text.utf8.first == UInt8(ascii: "/") else {
      throw BadArgument("'\(text)' is no JSON pointer: it must begin with '/', as in '/\(text)'")
    }
    var tokens: [Token] = []
    for part in text.utf8.dropFirst().split(
      separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    {
      guard let key = Self.unescape(part) else {
        throw BadArgument("'\(text)' is no JSON pointer: '~' must be followed by 0 or 1")
      }
      let plain =
        !key.isEmpty && key.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
        && (key.count == 1 || key[0] != UInt8(ascii: "0"))
      tokens.append(
        Token(key: key, index: plain ? Int(String(decoding: key, as: UTF8.self)) : nil))
    }
    self.tokens = tokens
  }

  private static func unescape(_ part: Substring.UTF8View) -> [UInt8]? {
    var key: [UInt8] = []
    var rest = part.makeIterator()
    while let byte = rest.next() {
      guard byte == UInt8(ascii: "~") else {
        key.append(byte)
        continue
      }
      switch rest.next() {
      case UInt8(ascii: "0"): key.append(UInt8(ascii: "~"))
      case UInt8(ascii: "1"): key.append(UInt8(ascii: "/"))
      default: return nil
      }
    }
    return key
  }

  /// The value it points to, nil if there is none.
  ///
  /// Of keys that repeat, the first counts. Bytes after the value are not looked at.
  package func resolve(in bytes: Span<UInt8>) throws(JSONError) -> JSONScanner.Value? {
    var scanner = JSONScanner()
    for token in tokens {
      switch try scanner.peek(bytes) {
      case .object: guard try find(token.key, &scanner, bytes) else { return nil }
      case .array:
        guard let index = token.index, try find(index, &scanner, bytes) else { return nil }
      default: return nil
      }
    }
    return try scanner.value(bytes)
  }

  /// Stops the scanner before the value of a key.
  private func find(
    _ wanted: [UInt8], _ scanner: inout JSONScanner, _ bytes: Span<UInt8>
  ) throws(JSONError) -> Bool {
    try scanner.enterObject(bytes)
    while let key = try scanner.nextKey(bytes) {
      if try matches(key, wanted, bytes) { return true }
      _ = try scanner.value(bytes)
    }
    return false
  }

  private func matches(
    _ key: JSONScanner.Value, _ wanted: [UInt8], _ bytes: Span<UInt8>
  ) throws(JSONError) -> Bool {
    if key.hasEscapes { return try JSONText.decode(key, in: bytes) == wanted }
    let start = key.range.lowerBound + 1
    guard key.range.count - 2 == wanted.count else { return false }
    for index in wanted.indices where bytes[start + index] != wanted[index] { return false }
    return true
  }

  /// Stops the scanner before an element.
  private func find(
    _ index: Int, _ scanner: inout JSONScanner, _ bytes: Span<UInt8>
  ) throws(JSONError) -> Bool {
    try scanner.enterArray(bytes)
    var current = 0
    while try scanner.nextElement(bytes) {
      if current == index { return true }
      _ = try scanner.value(bytes)
      current += 1
    }
    return false
  }
}
