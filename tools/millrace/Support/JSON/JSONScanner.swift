/// Walks JSON (RFC 8259, strictly) in bytes without building anything.
///
/// The bytes are handed to every call, because a value that held the span could not be stored. They
/// must be the same bytes each time. Whether they are UTF-8 is checked by ``document(_:)`` alone.
package struct JSONScanner {
  /// The kinds of value.
  package enum Kind: Hashable, Sendable {
    case object, array, string, number, boolean, null
  }

  /// A value and where it stands.
  package struct Value: Hashable, Sendable {
    package let kind: Kind
    /// All of its bytes, a string's quotes included.
    package let range: Range<Int>
    /// Whether a string must be decoded to be read.
    package let hasEscapes: Bool
  }

  /// How deeply arrays and objects may stand in each other: bounds the recursion.
  package static let depthMax = 512

  /// The next byte to look at.
  package var position: Int
  private var depth = 0
  /// A value of the open object or array was passed, so that a comma must come before the next.
  private var expectsComma = false

  package init(at position: Int = 0) { self.position = position }

  /// Checks that the bytes are UTF-8 and one JSON value with nothing but space around it.
  package static func document(_ bytes: Span<UInt8>) throws(JSONError) -> Value {
    do {
      _ = try UTF8Span(validating: bytes)
    } catch {
      throw JSONError("bytes that are not UTF-8", at: error.byteOffsets.lowerBound)
    }
    var scanner = Self()
    let value = try scanner.value(bytes)
    try scanner.end(bytes)
    return value
  }

  /// Checks that nothing but space follows.
  package mutating func end(_ bytes: Span<UInt8>) throws(JSONError) {
    skipSpace(bytes)
    guard position == bytes.count else { throw JSONError("more after the value", at: position) }
  }

  /// The kind of the value that comes next, judged by its first byte.
  package mutating func peek(_ bytes: Span<UInt8>) throws(JSONError) -> Kind {
    skipSpace(bytes)
    guard position < bytes.count else { throw JSONError("the text ends too early", at: position) }
    switch bytes[position] {
    case UInt8(ascii: "{"): return .object
    case UInt8(ascii: "["): return .array
    case UInt8(ascii: "\""): return .string
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
    case UInt8(ascii: "t"), UInt8(ascii: "f"): return .boolean
    case UInt8(ascii: "n"): return .null
    default: throw JSONError("no value begins like this", at: position)
    }
  }

  /// Checks and passes over the next value.
  package mutating func value(_ bytes: Span<UInt8>) throws(JSONError) -> Value {
    let kind = try peek(bytes)
    let start = position
    var hasEscapes = false
    switch kind {
    case .object:
      try enterObject(bytes)
      while try nextKey(bytes) != nil { _ = try value(bytes) }
    case .array:
      try enterArray(bytes)
      while try nextElement(bytes) { _ = try value(bytes) }
    case .string: hasEscapes = try string(bytes)
    case .number: try number(bytes)
    case .boolean: try word(bytes[position] == UInt8(ascii: "t") ? "true" : "false", bytes)
    case .null: try word("null", bytes)
    }
    expectsComma = true
    return Value(kind: kind, range: start..<position, hasEscapes: hasEscapes)
  }

  /// Passes the opening brace; ``nextKey(_:)`` follows.
  package mutating func enterObject(_ bytes: Span<UInt8>) throws(JSONError) {
    try enter(UInt8(ascii: "{"), bytes)
  }

  /// Passes a key and its colon and returns the key, or passes the closing brace.
  ///
  /// The caller passes over the value before it calls again.
  package mutating func nextKey(_ bytes: Span<UInt8>) throws(JSONError) -> Value? {
    guard try nextItem(until: UInt8(ascii: "}"), bytes) else { return nil }
    guard byte(bytes) == UInt8(ascii: "\"") else {
      throw JSONError("a key must be a string", at: position)
    }
    let start = position
    let hasEscapes = try string(bytes)
    let key = Value(kind: .string, range: start..<position, hasEscapes: hasEscapes)
    skipSpace(bytes)
    guard byte(bytes) == UInt8(ascii: ":") else { throw JSONError("':' missing", at: position) }
    position += 1
    return key
  }

  /// Passes the opening bracket; ``nextElement(_:)`` follows.
  package mutating func enterArray(_ bytes: Span<UInt8>) throws(JSONError) {
    try enter(UInt8(ascii: "["), bytes)
  }

  /// Whether an element follows, which the caller then passes over; passes the closing bracket.
  package mutating func nextElement(_ bytes: Span<UInt8>) throws(JSONError) -> Bool {
    try nextItem(until: UInt8(ascii: "]"), bytes)
  }

  /// Whether the bytes are one number and nothing else, not even space.
  package static func isNumber(_ bytes: Span<UInt8>) -> Bool {
    guard bytes.count > 0, bytes[0] <= UInt8(ascii: "9") else { return false }
    var scanner = Self()
    do throws(JSONError) {
      try scanner.number(bytes)
    } catch {
      return false
    }
    return scanner.position == bytes.count
  }

  // MARK: Parts

  private mutating func enter(_ opening: UInt8, _ bytes: Span<UInt8>) throws(JSONError) {
    skipSpace(bytes)
    guard byte(bytes) == opening else {
      throw JSONError("'\(Character(Unicode.Scalar(opening)))' missing", at: position)
    }
    guard depth < Self.depthMax else {
      throw JSONError("more than \(Self.depthMax) levels", at: position)
    }
    position += 1
    depth += 1
    expectsComma = false
  }

  private mutating func nextItem(
    until closing: UInt8, _ bytes: Span<UInt8>
  ) throws(JSONError) -> Bool {
    skipSpace(bytes)
    let found = byte(bytes)
    if found == closing {
      position += 1
      depth -= 1
      expectsComma = true
      return false
    }
    if expectsComma {
      guard found == UInt8(ascii: ",") else {
        throw JSONError(found == nil ? "the text ends too early" : "',' missing", at: position)
      }
      position += 1
      skipSpace(bytes)
    }
    guard byte(bytes) != nil else { throw JSONError("the text ends too early", at: position) }
    return true
  }

  @inline(__always)
  private func byte(_ bytes: Span<UInt8>) -> UInt8? {
    position < bytes.count ? bytes[position] : nil
  }

  @inline(__always)
  private mutating func skipSpace(_ bytes: Span<UInt8>) {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x0a, 0x0d, 0x09: position += 1
      default: return
      }
    }
  }

  /// Passes a string; tells whether it has escapes.
  @inline(__always)
  private mutating func string(_ bytes: Span<UInt8>) throws(JSONError) -> Bool {
    let start = position
    var hasEscapes = false
    position += 1
    while true {
      // SAFETY: bytes have no padding.
      position = SpecialBytes.first(in: unsafe bytes.bytes, from: position)
      guard position < bytes.count else { throw JSONError("the string has no end", at: start) }
      switch bytes[position] {
      case UInt8(ascii: "\""):
        position += 1
        return hasEscapes
      case UInt8(ascii: "\\"):
        hasEscapes = true
        try escape(bytes)
      default: throw JSONError("a control character in a string", at: position)
      }
    }
  }

  private mutating func escape(_ bytes: Span<UInt8>) throws(JSONError) {
    let kind = position + 1 < bytes.count ? bytes[position + 1] : 0
    switch kind {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"),
      UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      position += 2
    case UInt8(ascii: "u"):
      guard position + 6 <= bytes.count,
        (position + 2..<position + 6).allSatisfy({ JSONText.hexadecimal(bytes[$0]) != nil })
      else { throw JSONError("'\\u' without four hexadecimal digits", at: position) }
      position += 6
    default: throw JSONError("an unknown escape", at: position)
    }
  }

  private mutating func number(_ bytes: Span<UInt8>) throws(JSONError) {
    if byte(bytes) == UInt8(ascii: "-") { position += 1 }
    if byte(bytes) == UInt8(ascii: "0") { position += 1 } else { try digits(bytes) }
    if byte(bytes) == UInt8(ascii: ".") {
      position += 1
      try digits(bytes)
    }
    if let found = byte(bytes), found | 0x20 == UInt8(ascii: "e") {
      position += 1
      if let sign = byte(bytes), sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") {
        position += 1
      }
      try digits(bytes)
    }
    if let found = byte(bytes), UInt8(ascii: "0")...UInt8(ascii: "9") ~= found {
      throw JSONError("a number with a leading zero", at: position)
    }
  }

  private mutating func digits(_ bytes: Span<UInt8>) throws(JSONError) {
    let start = position
    while let found = byte(bytes), UInt8(ascii: "0")...UInt8(ascii: "9") ~= found { position += 1 }
    guard position > start else { throw JSONError("a digit is missing", at: position) }
  }

  private mutating func word(_ expected: StaticString, _ bytes: Span<UInt8>) throws(JSONError) {
    let text = expected.description
    guard position + text.utf8.count <= bytes.count,
      zip(position..., text.utf8).allSatisfy({ bytes[$0] == $1 })
    else { throw JSONError("no value begins like this", at: position) }
    position += text.utf8.count
  }
}
