/// A small JSON document that keeps the order of its keys, for `--json`.
package indirect enum JSONValue: Hashable, Sendable {
  case object([Member])
  case array([JSONValue])
  case string(String)
  case integer(Int)
  case unsigned(UInt64)
  /// A number with a fraction. Not a number and infinity are written as null.
  case number(Double)
  case boolean(Bool)
  case null

  /// A key and its value.
  package struct Member: Hashable, Sendable {
    package let key: String
    package let value: JSONValue

    package init(_ key: String, _ value: JSONValue) {
      self.key = key
      self.value = value
    }
  }

  /// A text, or null.
  package init(_ text: String?) { self = text.map(Self.string) ?? .null }

  /// Adds a key at the end of an object; anything else is a programming error.
  package mutating func append(_ key: String, _ value: JSONValue) {
    guard case .object(var members) = self else { preconditionFailure("\(self) is no object") }
    members.append(Member(key, value))
    self = .object(members)
  }

  /// Appends the text of the document, without spaces.
  package func append(to bytes: inout [UInt8]) {
    switch self {
    case .object(let members):
      bytes.append(UInt8(ascii: "{"))
      for (index, member) in members.enumerated() {
        if index > 0 { bytes.append(UInt8(ascii: ",")) }
        JSONWriter.appendString(member.key, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        member.value.append(to: &bytes)
      }
      bytes.append(UInt8(ascii: "}"))
    case .array(let elements):
      bytes.append(UInt8(ascii: "["))
      for (index, element) in elements.enumerated() {
        if index > 0 { bytes.append(UInt8(ascii: ",")) }
        element.append(to: &bytes)
      }
      bytes.append(UInt8(ascii: "]"))
    case .string(let text): JSONWriter.appendString(text, to: &bytes)
    case .integer(let value): JSONWriter.appendInteger(value, to: &bytes)
    case .unsigned(let value): JSONWriter.appendInteger(value, to: &bytes)
    case .number(let value):
      bytes.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
    case .boolean(let value): bytes.append(contentsOf: (value ? "true" : "false").utf8)
    case .null: bytes.append(contentsOf: "null".utf8)
    }
  }

  /// The text of the document and a line feed.
  package var line: [UInt8] {
    var bytes: [UInt8] = []
    append(to: &bytes)
    bytes.append(0x0a)
    return bytes
  }
}

extension JSONValue: ExpressibleByDictionaryLiteral, ExpressibleByArrayLiteral,
  ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByNilLiteral
{
  package init(dictionaryLiteral members: (String, JSONValue)...) {
    self = .object(members.map { Member($0.0, $0.1) })
  }

  package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }

  package init(stringLiteral text: String) { self = .string(text) }

  package init(integerLiteral value: Int) { self = .integer(value) }

  package init(floatLiteral value: Double) { self = .number(value) }

  package init(booleanLiteral value: Bool) { self = .boolean(value) }

  package init(nilLiteral: ()) { self = .null }
}
