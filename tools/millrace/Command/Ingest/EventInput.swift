import CommandSupport
import Millrace

/// What the next line of an input is.
enum InputItem {
  case event(Event, line: Int)
  case bad(BadLine, line: Int)

  @inline(__always)
  init(line: Int, _ parse: () throws(BadLine) -> Event) {
    do throws(BadLine) {
      self = .event(try parse(), line: line)
    } catch {
      self = .bad(error, line: line)
    }
  }
}

extension InputItem {
  /// A line that is no more than bad; anything else ends the input.
  init(_ error: InputError) throws(InputError) {
    guard let (problem, line) = error.badLine else { throw error }
    self = .bad(problem, line: line)
  }
}

/// One input as events, one at a time.
protocol EventInput {
  /// The name of the input in messages.
  var name: String { get }
  /// The number of lines taken so far.
  var lineNumber: Int { get }
  /// Bytes read so far, after decompression.
  var textBytes: Int { get }
  /// Whether the next event can be had without waiting for the input.
  mutating func hasLineAtHand() throws(InputError) -> Bool
  /// The next event or bad line; nil at the end.
  mutating func next() throws(InputError) -> InputItem?
}

/// Lines that are events as JSON.
struct EnvelopeInput: EventInput {
  private var lines: LineReader
  private let parser = EnvelopeParser()

  init(_ stream: ByteStream) { lines = LineReader(stream) }

  var name: String { lines.name }
  var lineNumber: Int { lines.lineNumber }
  var textBytes: Int { lines.textBytes }

  mutating func hasLineAtHand() throws(InputError) -> Bool { try lines.hasLineAtHand() }

  mutating func next() throws(InputError) -> InputItem? {
    do throws(InputError) {
      guard let line = try lines.next() else { return nil }
      return InputItem(line: lines.lineNumber) { () throws(BadLine) in
        try parser.parse(line).event
      }
    } catch {
      return try InputItem(error)
    }
  }
}

/// Lines of any JSON that name their device.
struct NDJSONInput: EventInput {
  private var lines: LineReader
  private var parser: NDJSONParser

  init(_ stream: ByteStream, device: JSONPointer, time: JSONPointer?) {
    lines = LineReader(stream)
    parser = NDJSONParser(deviceField: device, timeField: time)
  }

  var name: String { lines.name }
  var lineNumber: Int { lines.lineNumber }
  var textBytes: Int { lines.textBytes }

  mutating func hasLineAtHand() throws(InputError) -> Bool { try lines.hasLineAtHand() }

  mutating func next() throws(InputError) -> InputItem? {
    do throws(InputError) {
      guard let line = try lines.next() else { return nil }
      return InputItem(line: lines.lineNumber) { () throws(BadLine) in try parser.parse(line) }
    } catch {
      return try InputItem(error)
    }
  }
}

/// Records of columns.
struct CSVInput: EventInput {
  private var records: CSVReader
  private var parser: CSVParser

  /// Reads a stream.
  ///
  /// Blocks for the first record where it names the columns.
  init(_ stream: ByteStream, _ layout: CSVLayout) throws {
    records = CSVReader(stream, delimiter: layout.delimiter)
    let header = try layout.header ?? Self.header(&records)
    do {
      parser = try CSVParser(
        header: header, deviceColumn: layout.deviceColumn, timeColumn: layout.timeColumn)
    } catch {
      throw InputError(file: records.name, .badHeader(detail: error.description))
    }
  }

  private static func header(_ records: inout CSVReader) throws(InputError) -> [String] {
    let problem: BadLine
    switch try records.next() {
    case .record(let record):
      do throws(BadLine) {
        return try CSVParser.header(record)
      } catch {
        problem = error
      }
    case .bad(let found, _): problem = found
    case nil: throw InputError(file: records.name, .noHeader)
    }
    throw InputError(file: records.name, .badHeader(detail: problem.description))
  }

  var name: String { records.name }
  var lineNumber: Int { records.lineNumber }
  var textBytes: Int { records.textBytes }

  mutating func hasLineAtHand() throws(InputError) -> Bool { try records.hasLineAtHand() }

  mutating func next() throws(InputError) -> InputItem? {
    switch try records.next() {
    case .record(let record):
      InputItem(line: record.line) { () throws(BadLine) in try parser.parse(record) }
    case .bad(let problem, let line): .bad(problem, line: line)
    case nil: nil
    }
  }
}

/// How a file of columns is laid out.
struct CSVLayout: Sendable {
  let deviceColumn: String
  let timeColumn: String?
  let delimiter: Delimiter
  /// The columns' names; nil where the first record of each file names them.
  let header: [String]?
}

/// How lines become events.
enum InputFormat: Sendable {
  case envelope
  case ndjson(device: JSONPointer, time: JSONPointer?)
  case csv(CSVLayout)
}
