/// Decodes the strings of a JSON text.
package enum JSONText {
  /// The characters of a string value as UTF-8, escapes resolved.
  package static func decode(
    _ value: JSONScanner.Value, in bytes: Span<UInt8>
  ) throws(JSONError) -> [UInt8] {
    precondition(value.kind == .string, "\(value.kind) is no string")
    let end = value.range.upperBound - 1
    var position = value.range.lowerBound + 1
    // No escape is shorter than what it stands for.
    return try [UInt8](capacity: end - position) { (text) throws(JSONError) in
      while position < end {
        let byte = bytes[position]
        if byte == UInt8(ascii: "\\") {
          try decodeEscape(in: bytes, at: &position, end: end, to: &text)
        } else {
          text.append(byte)
          position += 1
        }
      }
    }
  }

  /// The characters of a string value.
  package static func string(
    _ value: JSONScanner.Value, in bytes: Span<UInt8>
  ) throws(JSONError) -> String {
    String(decoding: try decode(value, in: bytes), as: UTF8.self)
  }

  private static func decodeEscape(
    in bytes: Span<UInt8>, at position: inout Int, end: Int, to text: inout OutputSpan<UInt8>
  ) throws(JSONError) {
    let kind = bytes[position + 1]
    guard kind == UInt8(ascii: "u") else {
      switch kind {
      case UInt8(ascii: "b"): text.append(0x08)
      case UInt8(ascii: "f"): text.append(0x0c)
      case UInt8(ascii: "n"): text.append(0x0a)
      case UInt8(ascii: "r"): text.append(0x0d)
      case UInt8(ascii: "t"): text.append(0x09)
      default: text.append(kind)
      }
      position += 2
      return
    }
    let start = position
    let unit = codeUnit(in: bytes, at: position)
    position += 6
    var scalar = UInt32(unit)
    // Half a pair is grammar (RFC 8259 §8.2), but no character: it cannot be stored as UTF-8.
    if UTF16.isLeadSurrogate(unit), position + 6 <= end, bytes[position] == UInt8(ascii: "\\"),
      bytes[position + 1] == UInt8(ascii: "u")
    {
      let trail = codeUnit(in: bytes, at: position)
      if UTF16.isTrailSurrogate(trail) {
        scalar = 0x10000 + UInt32(unit & 0x3ff) << 10 + UInt32(trail & 0x3ff)
        position += 6
      }
    }
    guard let character = Unicode.Scalar(scalar) else {
      throw JSONError("half a surrogate pair", at: start)
    }
    for byte in UTF8.encode(character) ?? UTF8.encodedReplacementCharacter { text.append(byte) }
  }

  /// The number after `\u`; the scanner has checked its digits.
  private static func codeUnit(in bytes: Span<UInt8>, at position: Int) -> UInt16 {
    (position + 2..<position + 6).reduce(0) { $0 << 4 | UInt16(hexadecimal(bytes[$1]) ?? 0) }
  }

  static func hexadecimal(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}
