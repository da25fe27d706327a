import CommandSupport
import EventModel
import Testing

@Suite("CSV")
struct CSVTests {
  private static func records(
    _ text: String, _ delimiter: Delimiter = .comma
  ) throws -> [[String]] {
    var reader = CSVReader(TestInput.stream(text), delimiter: delimiter)
    var records: [[String]] = []
    while let item = try reader.next() {
      switch item {
      case .record(let record):
        records.append(
          record.fields.indices.map { String(decoding: record.content($0), as: UTF8.self) })
      case .bad(let error, let line): records.append(["bad", "\(line)", error.description])
      }
    }
    return records
  }

  private static func body(_ header: [String], _ line: String) throws -> String {
    var parser = try CSVParser(header: header, deviceColumn: "d")
    var reader = CSVReader(TestInput.stream(line))
    guard case .record(let record) = try reader.next() else { throw BadLine("no record") }
    let event = try parser.parse(record)
    _ = try JSONScanner.document(event.body.bytes.span)
    return String(decoding: event.body.bytes, as: UTF8.self)
  }

  @Test(
    "Records are split as RFC 4180 says",
    arguments: [
      ("a,b\r\nc,d", [["a", "b"], ["c", "d"]]), ("a,,\n", [["a", "", ""]]), (",\n", [["", ""]]),
      ("\n\na\n\r\n", [["a"]]), (#""a,b","c""d","""""# + "\n", [["a,b", "c\"d", "\""]].map { $0 }),
      ("\"\"\n", [[""]]), ("\"a\nb\r\n\nc\",d\r\ne,f\n", [["a\nb\r\n\nc", "d"], ["e", "f"]]),
      ("\u{feff}a,b\n", [["a", "b"]]), (" a , b \n", [[" a ", " b "]]),
      ("\"x\n\"\"\n\",y\n", [["x\n\"\n", "y"]]),
    ])
  func records(text: String, expected: [[String]]) throws {
    #expect(try Self.records(text) == expected)
  }

  @Test("Any byte can be the delimiter")
  func delimiters() throws {
    #expect(try Self.records("a,b\tc\n", Delimiter(parsing: "\\t")) == [["a,b", "c"]])
    #expect(try Self.records("a;\"b;c\"\n", Delimiter(parsing: ";")) == [["a", "b;c"]])
  }

  @Test("Stray quotes make a bad record and leave the next one alone")
  func strayQuotes() throws {
    #expect(
      try Self.records("a,5\" pipe\nb,c\n\"x\"y,z\nd,e\n")
        == [
          ["bad", "1", "a quote inside field 2, which does not begin with one"], ["b", "c"],
          ["bad", "3", "text after the closing quote of field 1"], ["d", "e"],
        ])
  }

  @Test("After a forgotten quote the following lines are read again, with their numbers")
  func forgottenQuote() throws {
    let problem = "a quoted field is not closed"
    #expect(
      try Self.records("a,b\n\"c,d\n\ne,f\ng,h") == [
        ["a", "b"], ["bad", "2", problem], ["e", "f"], ["g", "h"],
      ])
    #expect(
      try Self.records("\"c,d\n\"e\",f\n\"g,h\ni,j\n") == [
        ["bad", "1", problem], ["e", "f"], ["bad", "3", problem], ["i", "j"],
      ])
    let many = (0..<200_000).map { "line \($0)" }
    let records = try Self.records("\"open\n" + many.joined(separator: "\n"))
    #expect(records.first == ["bad", "1", problem])
    #expect(records.dropFirst().elementsEqual(many.map { [$0] }))
  }

  @Test(
    "The body has the other columns in order, numbers as written",
    arguments: [
      ("7,dev,x", #"{"a":7,"b":"x"}"#), ("-0.50,dev,1E+3", #"{"a":-0.50,"b":1E+3}"#),
      ("007,dev,+1", #"{"a":"007","b":"+1"}"#), ("NA,dev,", #"{"a":"NA","b":""}"#),
      ("1 ,dev,.5", #"{"a":"1 ","b":".5"}"#), ("NaN,dev,true", #"{"a":"NaN","b":"true"}"#),
      ("\"12\",dev,\"a\"\"b\\\"", #"{"a":12,"b":"a\"b\\"}"#),
      ("\"x\ny\",dev,é", #"{"a":"x\ny","b":"é"}"#),
    ])
  func bodies(line: String, expected: String) throws {
    #expect(try Self.body(["a", "d", "b"], line) == expected)
  }

  @Test("Names of columns are escaped; a device column alone leaves an empty object")
  func names() throws {
    #expect(try Self.body(["d", "a\"b"], "dev,1") == #"{"a\"b":1}"#)
    #expect(try Self.body(["d"], "dev") == "{}")
  }

  @Test("The time column gives the time and stays in the body")
  func time() throws {
    var parser = try CSVParser(header: ["ts", "d"], deviceColumn: "d", timeColumn: "ts")
    var reader = CSVReader(TestInput.stream("1630590000,dev\nsoon,dev\n"))
    guard case .record(let record)? = try reader.next() else { throw BadLine("no record") }
    var expected = Event(from: "dev", body: #"{"ts":1630590000}"#)
    expected.enqueuedTime = Timestamp(microseconds: 1_630_590_000_000_000)
    #expect(try parser.parse(record) == expected)
    guard case .record(let bad)? = try reader.next() else { throw BadLine("no record") }
    #expect(throws: BadLine.self) { try parser.parse(bad) }
    #expect(bad.line == 2)
  }

  @Test("Records that do not fit the header, and devices without a name, are bad")
  func badRecords() throws {
    for line in ["1,dev", "1,dev,2,3", "1,,2", "1,a b,2"] {
      #expect(throws: BadLine.self, "\(line)") { try Self.body(["a", "d", "b"], line) }
    }
    var parser = try CSVParser(header: ["a", "d"], deviceColumn: "d")
    var reader = CSVReader(TestInput.stream([0xff, 0x2c, 0x64, 0x0a]))
    guard case .record(let record)? = try reader.next() else { throw BadLine("no record") }
    #expect(throws: BadLine("byte 0 is not UTF-8")) { try parser.parse(record) }
  }

  @Test("Headers are checked")
  func headers() throws {
    #expect(try CSVParser.header("a,\"b,c\",d") == ["a", "b,c", "d"])
    #expect(throws: BadArgument.self) { try CSVParser.header("") }
    #expect(throws: BadArgument.self) { try CSVParser.header("\"a") }
    #expect(throws: BadArgument.self) { try CSVParser(header: ["a", "a"], deviceColumn: "a") }
    let error = #expect(throws: BadArgument.self) {
      try CSVParser(header: ["a", "b"], deviceColumn: "dev")
    }
    #expect(error?.description == "there is no column 'dev'; the columns are a, b")
  }
}
