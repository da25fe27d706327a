package import EventModel

extension TimeText {
  /// Appends a time as `2024-05-01T12:00:00.000000Z`.
  ///
  /// Years outside 0 to 9999 are written with as many digits as they need: no time may fail to be
  /// shown.
  package static func append(_ time: Timestamp, to text: inout [UInt8]) {
    let (seconds, microseconds) = split(time.microseconds, by: 1_000_000)
    let (days, second) = split(seconds, by: 86_400)
    let date = CivilDate(days: days)
    if date.year >= 0 {
      append(date.year, digitCount: 4, to: &text)
    } else {
      text.append(UInt8(ascii: "-"))
      append(-date.year, digitCount: 4, to: &text)
    }
    text.append(UInt8(ascii: "-"))
    append(date.month, digitCount: 2, to: &text)
    text.append(UInt8(ascii: "-"))
    append(date.day, digitCount: 2, to: &text)
    text.append(UInt8(ascii: "T"))
    append(second / 3_600, digitCount: 2, to: &text)
    text.append(UInt8(ascii: ":"))
    append(second / 60 % 60, digitCount: 2, to: &text)
    text.append(UInt8(ascii: ":"))
    append(second % 60, digitCount: 2, to: &text)
    text.append(UInt8(ascii: "."))
    append(microseconds, digitCount: 6, to: &text)
    text.append(UInt8(ascii: "Z"))
  }

  /// A time as text.
  package static func string(_ time: Timestamp) -> String {
    var text: [UInt8] = []
    append(time, to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// Division that rounds down, so that times before 1970 have a remainder that is not negative.
  private static func split(_ value: some BinaryInteger, by divisor: Int) -> (Int, Int) {
    let (quotient, remainder) = Int(value).quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }

  /// Appends a number that is not negative, with zeros before it.
  private static func append(_ number: Int, digitCount: Int, to text: inout [UInt8]) {
    var divisor = 1
    for _ in 1..<digitCount { divisor *= 10 }
    while number / divisor > 9 { divisor *= 10 }
    while divisor > 0 {
      text.append(UInt8(ascii: "0") + UInt8(number / divisor % 10))
      divisor /= 10
    }
  }
}
