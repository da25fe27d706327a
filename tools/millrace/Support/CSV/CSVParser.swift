package import EventModel

/// Turns records into events: one column names the device, the others are the body.
package struct CSVParser: Sendable {
  private let names: [String]
  private let deviceColumn: Int
  private let timeColumn: Int?
  private let body: CSVBody
  private var devices = DeviceCache()

  /// Prepares for records with these columns.
  ///
  /// - Throws: ``BadArgument`` when a column is missing from the header or two have one name.
  package init(
    header: [String], deviceColumn: String, timeColumn: String? = nil
  ) throws(BadArgument) {
    var seen: Set<String> = []
    for name in header {
      guard seen.insert(name).inserted else {
        throw BadArgument("two columns are named '\(name)'")
      }
    }
    func index(of name: String) throws(BadArgument) -> Int {
      guard let index = header.firstIndex(of: name) else {
        throw BadArgument(
          "there is no column '\(name)'; the columns are \(header.joined(separator: ", "))")
      }
      return index
    }
    names = header
    self.deviceColumn = try index(of: deviceColumn)
    if let timeColumn { self.timeColumn = try index(of: timeColumn) } else { self.timeColumn = nil }
    body = CSVBody(names: header, excluding: self.deviceColumn)
  }

  /// The column names of a `--header` option, or of a file's first record.
  package static func header(_ record: CSVReader.Record) throws(BadLine) -> [String] {
    var names: [String] = []
    for index in record.fields.indices {
      guard let name = String(validating: record.content(index), as: UTF8.self) else {
        throw BadLine("the name of column \(index + 1) is not UTF-8")
      }
      names.append(name)
    }
    return names
  }

  /// The column names of a `--header` option, in which a comma always separates.
  package static func header(_ text: String) throws(BadArgument) -> [String] {
    var splitter = CSVSplitter(Delimiter.comma.byte)
    let bytes = Array(text.utf8)
    guard splitter.split(bytes[...]) == .complete, splitter.problem == nil, !bytes.isEmpty else {
      throw BadArgument("'\(text)' is no list of columns; write it as a,b,c")
    }
    return splitter.fields.map { String(decoding: $0.content(in: bytes[...]), as: UTF8.self) }
  }

  /// The event of a record.
  package mutating func parse(_ record: CSVReader.Record) throws(BadLine) -> Event {
    guard record.fields.count == names.count else {
      throw BadLine("\(record.fields.count) fields, the header has \(names.count)")
    }
    let device: DeviceID
    do throws(InvalidIdentifier) {
      device = try makeDevice(record)
    } catch {
      throw BadLine("column '\(names[deviceColumn])': \(error)")
    }
    var event = Event(from: device, body: Payload(try body.make(record)))
    if let timeColumn {
      let time = record.content(timeColumn)
      event.enqueuedTime = try TimeText.parse(time.span)
    }
    return event
  }

  private mutating func makeDevice(
    _ record: CSVReader.Record
  ) throws(InvalidIdentifier) -> DeviceID {
    let field = record.fields[deviceColumn]
    guard !field.hasQuotes else {
      let name = record.content(deviceColumn)
      return try devices.device(name.span)
    }
    return try devices.device(record.bytes.span.extracting(field.range))
  }
}

/// Makes a record's body: a JSON object of its columns but one, in their order, without spaces.
///
/// A field that is a JSON number stays as written, quoted or not; everything else is a string.
struct CSVBody: Sendable {
  /// What stands before each field: a brace or comma, the name and a colon.
  ///
  /// Empty for the one left out.
  private let prefixes: [[UInt8]]
  private let prefixSize: Int

  init(names: [String], excluding excluded: Int) {
    var isFirst = true
    let prefixes = names.enumerated().map { index, name -> [UInt8] in
      guard index != excluded else { return [] }
      var prefix = [UInt8(ascii: isFirst ? "{" : ",")]
      isFirst = false
      JSONWriter.appendString(name, to: &prefix)
      prefix.append(UInt8(ascii: ":"))
      return prefix
    }
    self.prefixes = prefixes
    prefixSize = prefixes.reduce(2) { $0 + $1.count + 2 }
  }

  func make(_ record: CSVReader.Record) throws(BadLine) -> [UInt8] {
    do {
      _ = try UTF8Span(validating: record.bytes.span)
    } catch {
      throw BadLine("byte \(error.byteOffsets.lowerBound) is not UTF-8")
    }
    var body: [UInt8] = []
    body.reserveCapacity(record.bytes.count + prefixSize)
    let start = record.bytes.startIndex
    for (prefix, field) in zip(prefixes, record.fields) where !prefix.isEmpty {
      body.append(contentsOf: prefix)
      let raw = record.bytes[start + field.range.lowerBound..<start + field.range.upperBound]
      if JSONScanner.isNumber(raw.span) {
        body.append(contentsOf: raw)
      } else if field.hasQuotes {
        JSONWriter.appendString(field.content(in: record.bytes).span, to: &body)
      } else {
        JSONWriter.appendString(raw.span, to: &body)
      }
    }
    if body.isEmpty { body.append(UInt8(ascii: "{")) }
    body.append(UInt8(ascii: "}"))
    return body
  }
}
