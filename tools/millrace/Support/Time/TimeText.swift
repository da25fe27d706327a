package import EventModel

/// Times as text: RFC 3339, and numbers since the epoch as devices write them.
package enum TimeText {
  /// The last microsecond of the year 9999: RFC 3339 has no years after it.
  package static let latest = Timestamp(microseconds: 253_402_300_799_999_999)
  /// The first microsecond of the year 0.
  package static let earliest = Timestamp(microseconds: -62_167_219_200_000_000)

  /// Reads a time in either form, as data has it.
  package static func parse(_ text: Span<UInt8>) throws(BadLine) -> Timestamp {
    // The fifth character tells them apart: no number has a hyphen there.
    if text.count > 4, text[4] == UInt8(ascii: "-") { return try parseRFC3339(text) }
    return try parseEpoch(text)
  }

  /// Reads a time in either form.
  package static func parse(_ text: String) throws(BadLine) -> Timestamp {
    try parse(Array(text.utf8).span)
  }

  // MARK: RFC 3339

  /// Reads a time such as `2024-05-01T12:00:00.5+02:00`.
  ///
  /// Accepts letters of either case, a space for the `T`, any offset; digits after the sixth of a
  /// fraction (at most nine) are cut off. A leap second is the second after it. There is no default
  /// for the offset: a guess would be wrong silently.
  package static func parseRFC3339(_ text: Span<UInt8>) throws(BadLine) -> Timestamp {
    var fields = TimeFields(text)
    let year = try fields.number(4)
    try fields.pass("-")
    let month = try fields.number(2)
    try fields.pass("-")
    let day = try fields.number(2)
    guard 1...12 ~= month, 1...CivilDate.dayCount(year: year, month: month) ~= day else {
      throw fields.bad("there is no such day")
    }
    try fields.pass("Tt ")
    let hour = try fields.number(2)
    try fields.pass(":")
    let minute = try fields.number(2)
    try fields.pass(":")
    let second = try fields.number(2)
    guard hour < 24, minute < 60, second <= 60 else {
      throw fields.bad("there is no such time of day")
    }
    let fraction = try fields.fraction()
    let offset = try fields.offset()
    try fields.end()
    let days = CivilDate(year: year, month: month, day: day).days
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second - offset
    let time = Timestamp(microseconds: Int64(seconds) * 1_000_000 + Int64(fraction))
    guard earliest...latest ~= time else { throw fields.bad("it is outside the years 0 to 9999") }
    return time
  }

  // MARK: Epoch

  /// Reads a number since 1970: below 10^11 seconds, below 10^14 milliseconds, else microseconds
  /// (seconds until the year 5138, milliseconds from 1973 on).
  ///
  /// A fraction and an exponent may follow; what is finer than a microsecond is cut off.
  package static func parseEpoch(_ text: Span<UInt8>) throws(BadLine) -> Timestamp {
    let decimal = try DecimalNumber(text)
    let unit = decimal.isBelow(powerOfTen: 11) ? 6 : decimal.isBelow(powerOfTen: 14) ? 3 : 0
    guard let microseconds = decimal.scaled(byPowerOfTen: unit),
      case let time = Timestamp(microseconds: microseconds), earliest...latest ~= time
    else {
      throw BadLine("'\(TimeFields.excerpt(text))' is no time: it is outside the years 0 to 9999")
    }
    return time
  }
}
