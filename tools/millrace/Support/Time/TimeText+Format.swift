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
    var year = date.year
    if !(0...9_999 ~= year) {
      if year < 0 { text.append(UInt8(ascii: "-")) }
      // What stands before the last four digits of the year.
      let magnitude = abs(year)
      if magnitude > 9_999 { JSONWriter.appendInteger(magnitude / 10_000, to: &text) }
      year = magnitude % 10_000
    }
    text.append(addingCapacity: 27) { output in
      appendPair(year / 100, to: &output)
      appendPair(year % 100, to: &output)
      output.append(UInt8(ascii: "-"))
      appendPair(date.month, to: &output)
      output.append(UInt8(ascii: "-"))
      appendPair(date.day, to: &output)
      output.append(UInt8(ascii: "T"))
      appendPair(second / 3_600, to: &output)
      output.append(UInt8(ascii: ":"))
      appendPair(second / 60 % 60, to: &output)
      output.append(UInt8(ascii: ":"))
      appendPair(second % 60, to: &output)
      output.append(UInt8(ascii: "."))
      appendPair(microseconds / 10_000, to: &output)
      appendPair(microseconds / 100 % 100, to: &output)
      appendPair(microseconds % 100, to: &output)
      output.append(UInt8(ascii: "Z"))
    }
  }

  /// A time as text.
  package static func string(_ time: Timestamp) -> String {
    var text: [UInt8] = []
    append(time, to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// Division that rounds down, so that times before 1970 have a remainder that is not negative.
  private static func split(_ value: some FixedWidthInteger, by divisor: Int) -> (Int, Int) {
    let (quotient, remainder) = Int(value).quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }

  /// Appends a number below 100 as two digits.
  @inline(__always)
  private static func appendPair(_ number: Int, to output: inout OutputSpan<UInt8>) {
    output.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number / 10))
    output.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number % 10))
  }
}
