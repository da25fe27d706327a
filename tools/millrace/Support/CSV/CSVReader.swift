/// Splits a file into records (RFC 4180): quoted fields may hold delimiters, quotes written twice,
/// and line ends.
///
/// Stricter than many readers: a quote inside an unquoted field, or text after a closing quote, is
/// a bad record, because guessing would store a wrong event without a word.
package struct CSVReader {
  /// One record.
  ///
  /// Its bytes are valid as long as it lives.
  package struct Record: Sendable {
    /// The number of its first line.
    package let line: Int
    /// Its bytes without the line end.
    package let bytes: ArraySlice<UInt8>
    /// Its fields.
    package let fields: [CSVField]

    /// The content of a field, its quotes resolved.
    package func content(_ index: Int) -> [UInt8] { fields[index].content(in: bytes) }
  }

  /// What the next lines are.
  package enum Item: Sendable {
    case record(Record)
    /// Lines that are no record; the next record begins after them.
    case bad(BadLine, line: Int)
  }

  /// Bytes of a record that spans lines.
  ///
  /// Bounds what one forgotten quote can swallow, and what is read again after it.
  package static let recordSizeMax = 1 << 20

  private var lines: LineReader
  private let delimiter: UInt8
  /// Lines to be read again, the next one last.
  private var replayed: [ArraySlice<UInt8>] = []
  private var replayLine = 0
  /// A line behind those that are read again.
  private var badLine: Item?

  package init(_ stream: ByteStream, delimiter: Delimiter = .comma) {
    lines = LineReader(stream)
    self.delimiter = delimiter.byte
  }

  /// Bytes read so far, before decompression.
  package var inputBytes: Int { lines.inputBytes }

  /// Bytes read so far, after decompression.
  package var textBytes: Int { lines.textBytes }

  /// The name of the input in messages.
  package var name: String { lines.name }

  /// The number of lines taken so far, for counting over several inputs at the end of each.
  package var lineNumber: Int { lines.lineNumber }

  /// Whether the next line can be had without waiting for the input.
  package mutating func hasLineAtHand() throws(InputError) -> Bool {
    if !replayed.isEmpty || badLine != nil { return true }
    return try lines.hasLineAtHand()
  }

  /// The next record or the reason why there is none at this line; nil at the end.
  ///
  /// Blank lines are passed over.
  package mutating func next() throws(InputError) -> Item? {
    do throws(InputError) {
      return try nextRecord()
    } catch {
      guard let (problem, line) = error.badLine else { throw error }
      return .bad(problem, line: line)
    }
  }

  private mutating func nextRecord() throws(InputError) -> Item? {
    if replayed.isEmpty, let badLine = badLine.take() { return badLine }
    while let (line, number) = try nextLine() {
      let text = line.last == 0x0d ? line.dropLast() : line
      if text.isEmpty { continue }
      var splitter = CSVSplitter(delimiter)
      if splitter.split(text) == .openQuote {
        return try nextAcrossLines(from: line, number)
      }
      return item(splitter, text, number)
    }
    return nil
  }

  private func item(
    _ splitter: CSVSplitter, _ bytes: ArraySlice<UInt8>, _ number: Int
  ) -> Item {
    if let problem = splitter.problem { return .bad(BadLine(problem), line: number) }
    return .record(Record(line: number, bytes: bytes, fields: splitter.fields))
  }

  /// Joins lines until the open quote is closed.
  ///
  /// If that gives no record, only the first line is bad and the others are read again: they may be
  /// good.
  ///
  /// While a quote is open, every line with an even number of quotes leaves it open (or is bad), so
  /// that the joined bytes are split again once, at the first line with an odd number.
  private mutating func nextAcrossLines(
    from first: ArraySlice<UInt8>, _ number: Int
  ) throws(InputError) -> Item {
    var joined = Array(first)
    var taken: [(ArraySlice<UInt8>, Int)] = []
    while joined.count <= Self.recordSizeMax, let (line, lineNumber) = try nextGoodLine() {
      taken.append((line, lineNumber))
      joined.append(0x0a)
      joined.append(contentsOf: line)
      guard !line.count(where: { $0 == UInt8(ascii: "\"") }).isMultiple(of: 2) else { continue }
      let text = joined.last == 0x0d ? joined[...].dropLast() : joined[...]
      var splitter = CSVSplitter(delimiter)
      if splitter.split(text) == .complete, splitter.problem == nil {
        return item(splitter, text, number)
      }
      break
    }
    if let next = taken.first {
      replayed.append(contentsOf: taken.reversed().map(\.0))
      replayLine = next.1
    }
    return .bad(BadLine("a quoted field is not closed"), line: number)
  }

  /// The next line of a record; one that is too long ends the record and is told after it.
  private mutating func nextGoodLine() throws(InputError) -> (ArraySlice<UInt8>, Int)? {
    do throws(InputError) {
      return try nextLine()
    } catch {
      guard let (problem, line) = error.badLine else { throw error }
      badLine = .bad(problem, line: line)
      return nil
    }
  }

  private mutating func nextLine() throws(InputError) -> (ArraySlice<UInt8>, Int)? {
    if let line = replayed.popLast() {
      defer { replayLine += 1 }
      return (line, replayLine)
    }
    guard let line = try lines.nextUnstripped() else { return nil }
    return (line, lines.lineNumber)
  }
}

/// Where a field stands in its record.
package struct CSVField: Hashable, Sendable {
  /// The bytes between delimiters, or between the quotes; counted from the record's start.
  package let range: Range<Int>
  /// Whether quotes in it are written twice.
  package let hasQuotes: Bool

  func content(in bytes: ArraySlice<UInt8>) -> [UInt8] {
    let start = bytes.startIndex
    let raw = bytes[start + range.lowerBound..<start + range.upperBound]
    guard hasQuotes else { return Array(raw) }
    var content: [UInt8] = []
    var wasQuote = false
    for byte in raw {
      wasQuote = byte == UInt8(ascii: "\"") && !wasQuote
      if !wasQuote { content.append(byte) }
    }
    return content
  }
}

/// Splits the bytes of one record.
struct CSVSplitter {
  enum Outcome: Hashable { case complete, openQuote }

  private let delimiter: UInt8
  private(set) var fields: [CSVField] = []
  /// Why the bytes are no record.
  private(set) var problem: String?

  init(_ delimiter: UInt8) {
    self.delimiter = delimiter
    fields.reserveCapacity(16)
  }

  /// Finds the fields; a record that cannot be right counts as complete.
  mutating func split(_ record: ArraySlice<UInt8>) -> Outcome {
    let bytes = record.span
    var position = 0
    while true {
      if position < bytes.count, bytes[position] == UInt8(ascii: "\"") {
        guard let end = quoted(bytes, from: position + 1) else { return .openQuote }
        position = end
        guard position == bytes.count || bytes[position] == delimiter else {
          problem = "text after the closing quote of field \(fields.count)"
          return .complete
        }
      } else {
        let start = position
        while position < bytes.count, bytes[position] != delimiter {
          guard bytes[position] != UInt8(ascii: "\"") else {
            problem = "a quote inside field \(fields.count + 1), which does not begin with one"
            return .complete
          }
          position += 1
        }
        fields.append(CSVField(range: start..<position, hasQuotes: false))
      }
      if position == bytes.count { return .complete }
      position += 1
    }
  }

  /// Adds a quoted field; the position after its closing quote, nil if there is none.
  private mutating func quoted(_ bytes: Span<UInt8>, from start: Int) -> Int? {
    var position = start
    var hasQuotes = false
    while position < bytes.count {
      guard bytes[position] == UInt8(ascii: "\"") else {
        position += 1
        continue
      }
      if position + 1 < bytes.count, bytes[position + 1] == UInt8(ascii: "\"") {
        hasQuotes = true
        position += 2
        continue
      }
      fields.append(CSVField(range: start..<position, hasQuotes: hasQuotes))
      return position + 1
    }
    return nil
  }
}
