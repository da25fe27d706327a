import CommandSupport
import EventModel
import Testing

@Suite("Times and arguments")
struct TimeTests {
  @Test(
    "RFC 3339 is read",
    arguments: [
      ("1970-01-01T00:00:00Z", 0), ("1970-01-01t00:00:01.5z", 1_500_000),
      ("1985-04-12T23:20:50.52Z", 482_196_050_520_000),
      ("1996-12-19T16:39:57-08:00", 851_042_397_000_000),
      ("1990-12-31T23:59:60Z", 662_688_000_000_000),
      ("1937-01-01T12:00:27.87+00:20", -1_041_337_172_130_000),
      ("2024-02-29 12:00:00.123456789+00:00", 1_709_208_000_123_456),
      ("2000-02-29T00:00:00-00:00", 951_782_400_000_000),
      ("1969-12-31T23:59:59.999999Z", -1), ("0000-01-01T00:00:00Z", -62_167_219_200_000_000),
      ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ] as [(String, Int64)])
  func parseRFC3339(text: String, expected: Int64) throws {
    #expect(try TimeText.parse(text) == Timestamp(microseconds: expected))
  }

  @Test(
    "Numbers are seconds, milliseconds or microseconds by their size",
    arguments: [
      ("0", 0), ("1", 1_000_000), ("1.5", 1_500_000), ("-1.5", -1_500_000),
      ("1e9", 1_000_000_000_000_000),
      ("1.7000000001e9", 1_700_000_000_100_000), ("99999999999", 99_999_999_999_000_000),
      ("100000000000", 100_000_000_000_000), ("1630590000123", 1_630_590_000_123_000),
      ("1630590000123.4567", 1_630_590_000_123_456), ("99999999999999", 99_999_999_999_999_000),
      ("100000000000000", 100_000_000_000_000), ("1630590000123456", 1_630_590_000_123_456),
      ("1630590000.1234567890123456789", 1_630_590_000_123_456), ("1E3", 1_000_000_000),
      ("15e-1", 1_500_000), ("0.0000000001", 0), ("1630590000123000.5", 1_630_590_000_123_000),
      ("0001", 1_000_000), ("0e99999", 0),
    ] as [(String, Int64)])
  func parseEpoch(text: String, expected: Int64) throws {
    #expect(try TimeText.parse(text) == Timestamp(microseconds: expected))
  }

  @Test(
    "What is no time is refused",
    arguments: [
      "", "x", "-", ".", "1.", ".5", "1e", "1e+", "1..2", "1 ", "0x10", "1,5", "NaN",
      "999999999999999999", "1e30", "1e999999999999", "2024-05-01", "2024-05-01T12:00:00",
      "2024-05-01T12:00Z", "2024-13-01T00:00:00Z", "2024-00-01T00:00:00Z", "2023-02-29T00:00:00Z",
      "1900-02-29T00:00:00Z", "2024-04-31T00:00:00Z", "2024-05-00T00:00:00Z",
      "2024-05-01T24:00:00Z", "2024-05-01T00:60:00Z", "2024-05-01T00:00:61Z",
      "2024-05-01T00:00:00.Z", "2024-05-01T00:00:00.1234567890Z", "2024-05-01T00:00:00+24:00",
      "2024-05-01T00:00:00+0200", "2024-05-01T00:00:00+02:60", "2024-05-01T00:00:00Zx",
      "2024-5-1T00:00:00Z", "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00",
      "2024-05-01_00:00:00Z",
    ])
  func refused(text: String) {
    #expect(throws: BadLine.self) { try TimeText.parse(text) }
  }

  @Test("A time without an offset says what is missing")
  func noOffset() {
    let error = #expect(throws: BadLine.self) { try TimeText.parse("2013-03-01T00:00:00") }
    #expect(error?.description.contains("no offset") == true)
  }

  @Test("Times come back as they were", arguments: [41, 42, 43] as [UInt64])
  func roundTrip(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let range = TimeText.earliest.microseconds...TimeText.latest.microseconds
    for _ in 0..<5_000 {
      let time = Timestamp(microseconds: Int64.random(in: range, using: &random))
      let text = TimeText.string(time)
      #expect(text.utf8.count == 27, "seed \(seed): \(text)")
      #expect(try TimeText.parse(text) == time, "seed \(seed): \(text)")
    }
  }

  @Test("Every day from 1600 to 2400 follows the day before it")
  func days() throws {
    let first = try TimeText.parse("1600-01-01T00:00:00Z").microseconds
    var expected = (year: 1600, month: 1, day: 1)
    for day in 0..<292_194 {
      let text = TimeText.string(Timestamp(microseconds: first + Int64(day) * 86_400_000_000))
      func padded(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
      let date = "\(expected.year)-\(padded(expected.month))-\(padded(expected.day))"
      guard text == "\(date)T00:00:00.000000Z" else {
        Issue.record("\(text) instead of \(date)")
        return
      }
      let year = expected.year
      let isLeap = year.isMultiple(of: 4) && (!year.isMultiple(of: 100) || year.isMultiple(of: 400))
      let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
      expected.day += 1
      if expected.day > lengths[expected.month - 1] { expected = (year, expected.month + 1, 1) }
      if expected.month > 12 { expected = (year + 1, 1, 1) }
    }
    #expect(expected == (2400, 1, 1))
  }

  @Test("Times no calendar has are shown all the same")
  func extremes() {
    #expect(TimeText.string(Timestamp(microseconds: .max)) == "294247-01-10T04:00:54.775807Z")
    #expect(TimeText.string(Timestamp(microseconds: .min)).hasPrefix("-290308-12-21T19:59:05"))
  }

  @Test(
    "Sizes are read",
    arguments: [
      ("0", 0), ("1000", 1_000), ("1B", 1), ("64KiB", 65_536), ("128MiB", 134_217_728),
      ("10GB", 10_000_000_000), ("1TiB", 1 << 40), ("2kb", 2_000), ("8gib", 8 << 30),
    ])
  func sizes(text: String, expected: Int) throws {
    #expect(try ByteSize(parsing: text).byteCount.bytes == expected)
    #expect(ByteSize(argument: text)?.byteCount.bytes == expected)
  }

  @Test(
    "What is no size is refused",
    arguments: [
      "", "KiB", "-1", "1.5GiB", "1 KiB", "1K", "1KiBs", "99999999999999999999", "9999999TiB",
      "٣KiB",
    ])
  func badSizes(text: String) {
    #expect(throws: BadArgument.self) { try ByteSize(parsing: text) }
    #expect(ByteSize(argument: text) == nil)
  }

  @Test(
    "Durations are read",
    arguments: [
      ("500ms", .milliseconds(500)), ("2s", .seconds(2)), ("5m", .seconds(300)),
      ("1h", .seconds(3_600)), ("7d", .seconds(604_800)), ("0s", .zero),
    ] as [(String, Duration)])
  func durations(text: String, expected: Duration) throws {
    #expect(try DurationText(parsing: text).duration == expected)
  }

  @Test(
    "What is no duration is refused",
    arguments: ["", "5", "s", "-1s", "1.5h", "1 s", "1w", "1S", "99999999999999999999d"])
  func badDurations(text: String) {
    #expect(throws: BadArgument.self) { try DurationText(parsing: text) }
  }

  @Test("Positions are read")
  func positions() throws {
    let time = Timestamp(microseconds: 1_714_564_800_000_000)
    #expect(try ReadPosition(parsing: "earliest") == .earliest)
    #expect(try ReadPosition(parsing: "latest") == .latest)
    #expect(try ReadPosition(parsing: "18446744073709551615") == .sequenceNumber(Offset(.max)))
    #expect(try ReadPosition(parsing: "2024-05-01T12:00:00Z") == .time(time))
    let ago = try ReadPosition(parsing: "-2h")
    #expect(ago == .ago(.seconds(7_200)))
    #expect(ago.instant(now: time) == Timestamp(microseconds: 1_714_557_600_000_000))
    #expect(ReadPosition.earliest.instant(now: time) == nil)
    for text in ["", "first", "-", "-2", "--2h", "1.5", "18446744073709551616", "2024-05-01", "٣"] {
      #expect(throws: BadArgument.self, "\(text)") { try ReadPosition(parsing: text) }
    }
    #expect(try ReadLimit(parsing: "7").position == .sequenceNumber(7))
    #expect(throws: BadArgument.self) { try ReadLimit(parsing: "latest") }
  }

  @Test("Delimiters, codecs and durabilities are read")
  func choices() throws {
    #expect(try Delimiter(parsing: "\\t").byte == 9)
    #expect(try Delimiter(parsing: ";").byte == UInt8(ascii: ";"))
    for text in ["", ";;", "é", "\"", "\n"] {
      #expect(throws: BadArgument.self) { try Delimiter(parsing: text) }
    }
    #expect(try CodecName(parsing: "zstd").codec == .zstd)
    #expect(CodecName.allValueStrings == ["none", "lz4", "zstd"])
    #expect(throws: BadArgument.self) { try CodecName(parsing: "gzip") }
    #expect(try DurabilityName(parsing: "written").durability == .written)
    #expect(throws: BadArgument.self) { try DurabilityName(parsing: "Durable") }
  }
}
