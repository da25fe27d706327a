/// Reads the parts of an RFC 3339 time.
///
/// At most 40 bytes are looked at: no time is longer.
struct TimeFields {
  private let text: [UInt8]
  private var position = 0

  init(_ text: Span<UInt8>) {
    self.text = text.indices.prefix(40).map { text[$0] }
  }

  /// The beginning of a text, for a message.
  static func excerpt(_ text: Span<UInt8>) -> String {
    String(decoding: text.indices.prefix(40).map { text[$0] }, as: UTF8.self)
  }

  func bad(_ problem: String) -> BadLine {
    BadLine("'\(String(decoding: text, as: UTF8.self))' is no time: \(problem)")
  }

  /// A number of exactly so many digits.
  mutating func number(_ digitCount: Int) throws(BadLine) -> Int {
    var value = 0
    for _ in 0..<digitCount {
      guard let digit = digit() else {
        throw bad("write it as 2024-05-01T12:00:00Z or as a number since 1970")
      }
      value = value * 10 + digit
    }
    return value
  }

  /// One of some characters.
  mutating func pass(_ characters: StaticString) throws(BadLine) {
    guard position < text.count, characters.description.utf8.contains(text[position]) else {
      throw bad("write it as 2024-05-01T12:00:00Z or as a number since 1970")
    }
    position += 1
  }

  /// Microseconds after the point; 0 if there is none.
  mutating func fraction() throws(BadLine) -> Int {
    guard position < text.count, text[position] == UInt8(ascii: ".") else { return 0 }
    position += 1
    let start = position
    var value = 0
    while let digit = digit() {
      if position - start <= 6 { value = value * 10 + digit }
    }
    let digitCount = position - start
    guard 1...9 ~= digitCount else { throw bad("a fraction has 1 to 9 digits") }
    for _ in min(digitCount, 6)..<6 { value *= 10 }
    return value
  }

  /// Seconds east of Greenwich.
  mutating func offset() throws(BadLine) -> Int {
    guard position < text.count else {
      throw bad("it has no offset; end it with Z or one such as +02:00")
    }
    let sign = text[position]
    position += 1
    switch sign {
    case UInt8(ascii: "Z"), UInt8(ascii: "z"): return 0
    case UInt8(ascii: "+"), UInt8(ascii: "-"):
      let hours = try number(2)
      try pass(":")
      let minutes = try number(2)
      guard hours < 24, minutes < 60 else { throw bad("there is no such offset") }
      let seconds = (hours * 60 + minutes) * 60
      return sign == UInt8(ascii: "-") ? -seconds : seconds
    default: throw bad("end it with Z or an offset such as +02:00")
    }
  }

  func end() throws(BadLine) {
    guard position == text.count else { throw bad("more follows after it") }
  }

  private mutating func digit() -> Int? {
    guard position < text.count, UInt8(ascii: "0")...UInt8(ascii: "9") ~= text[position] else {
      return nil
    }
    position += 1
    return Int(text[position - 1] - UInt8(ascii: "0"))
  }
}
