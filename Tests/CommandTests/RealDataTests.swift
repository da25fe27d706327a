import CommandSupport
import EventModel
import Foundation
import Testing

/// Data sets kept beside the repository, where they are there.
@Suite("Real telemetry")
struct RealDataTests {
  private static let folder = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "../shared/data").standardizedFileURL.path

  private static let isThere = FileManager.default.fileExists(atPath: folder)

  @Test(
    "LoRaWAN uplinks become events with their device and time",
    .enabled(if: isThere, "../shared/data is absent"))
  func lorawan() throws {
    var lines = LineReader(
      try InputFile("\(Self.folder)/lorawan-json/sainteynard-32-a.ndjson.zst").open())
    var parser = NDJSONParser(
      deviceField: try JSONPointer("/devEUI"), timeField: try JSONPointer("/_timestamp"))
    var count = 0
    var size = 0
    var devices: Set<DeviceID> = []
    while let line = try lines.next() {
      let event = try parser.parse(line)
      devices.insert(event.deviceID)
      #expect(event.body.bytes == line)
      size += event.body.count + 1
      count += 1
    }
    #expect(count == 9_786)
    #expect(size == 8_153_161)
    #expect(devices.count == 1)
  }

  @Test(
    "Air stations' rows become objects with numbers and texts",
    .enabled(if: isThere, "../shared/data is absent"))
  func airStations() throws {
    var reader = CSVReader(
      try InputFile("\(Self.folder)/air-stations/air-stations.csv.zst").open())
    guard case .record(let header)? = try reader.next() else { throw BadLine("no header") }
    var parser = try CSVParser(header: try CSVParser.header(header), deviceColumn: "station")
    var devices: Set<DeviceID> = []
    for row in 0..<10_000 {
      guard case .record(let record)? = try reader.next() else { throw BadLine("no row") }
      let event = try parser.parse(record)
      devices.insert(event.deviceID)
      _ = try JSONScanner.document(event.body.bytes.span)
      if row == 0 {
        #expect(
          String(decoding: event.body.bytes, as: UTF8.self)
            == #"{"ts":"2013-03-01T00:00:00","PM2.5":4,"PM10":4,"SO2":4,"NO2":7,"CO":300,"O3":77,"#
            + #""TEMP":-0.7,"PRES":1023,"DEWP":-18.8,"RAIN":0,"wd":"NNW","WSPM":4.4}"#)
      }
    }
    #expect(devices.count == 12)
  }

  /// A file, and how its lines are told to the command.
  private struct Input {
    let path: String
    let key: String
    var isCSV: Bool { path.hasSuffix(".csv.zst") }

    var options: [String] {
      isCSV
        ? ["--format", "csv", "--device-column", key]
        : ["--format", "ndjson", "--device-field", key]
    }
  }

  private static let uplinks = [
    Input(path: "\(folder)/lorawan-json/helium-ftd.ndjson.zst", key: "/dev_eui"),
    Input(path: "\(folder)/lorawan-json/helium-imst.ndjson.zst", key: "/dev_eui"),
    Input(path: "\(folder)/lorawan-json/sainteynard-32-a.ndjson.zst", key: "/devEUI"),
    Input(path: "\(folder)/lorawan-json/sainteynard-32-b.ndjson.zst", key: "/devEUI"),
    Input(path: "\(folder)/lorawan-json/tourperret-ems-a.ndjson.zst", key: "/dev_eui"),
  ]
  private static let tables = [
    Input(path: "\(folder)/air-stations/air-stations.csv.zst", key: "station"),
    Input(path: "\(folder)/wearable-minutes/wearable-minutes.csv.zst", key: "device_id"),
  ]

  @Test(
    "Uplinks come back byte for byte, each device's in order, from a fraction of their size",
    .enabled(if: isThere, "../shared/data is absent"),
    arguments: [("zstd", 12), ("lz4", 7)])
  func uplinks(codec: String, factor: Int) throws {
    let scratch = try Scratch()
    let store = scratch.path("store")
    var expected: [String: Data] = [:]
    var textSize = 0
    for input in Self.uplinks {
      try Executable.succeed(
        ["ingest", store, input.path, "--codec", codec] + input.options, scratch: scratch)
      var lines = LineReader(try InputFile(input.path).open())
      let key = Data("\"\(input.key.dropFirst())\":\"".utf8)
      while let line = try lines.next() {
        let line = Data(line + [0x0a])
        let name = line[try #require(line.range(of: key)).upperBound...].prefix { $0 != 0x22 }
        expected[String(decoding: name, as: UTF8.self), default: Data()] += line
        textSize += line.count
      }
    }
    #expect(textSize == 63_739_267)
    let size = try fileSize(below: store)
    print("\(codec): \(size) bytes of files, ratio \(Double(textSize) / Double(size))")
    #expect(size * factor <= textSize)
    try Executable.succeed(["fsck", store], scratch: scratch)
    for (device, lines) in expected {
      let printed = try Executable.succeed(
        ["read", store, "--device", device, "--format", "body"], scratch: scratch)
      #expect(printed.output == lines, "\(device)")
    }
    // The events of one partition after another are what dump finds in their files.
    var events = Data()
    for partition in 0..<4 {
      events += try Executable.succeed(
        ["read", store, "--partition", "\(partition)"], scratch: scratch
      ).output
    }
    let dump = try Executable.succeed(["dump", store, "--records", "--json"], scratch: scratch)
    #expect(dump.output == events)
  }

  @Test(
    "Tables come back as objects, each device's in order",
    .enabled(if: isThere, "../shared/data is absent"), arguments: tables.indices)
  func table(index: Int) throws {
    let input = Self.tables[index]
    let scratch = try Scratch()
    let store = scratch.path("store")
    // Two million lines would take minutes: the first ones must do.
    let lineCount = Self.isOptimised ? 100_000 : 5_000
    var lines = LineReader(try InputFile(input.path).open())
    var text: [UInt8] = []
    while lines.lineNumber < lineCount, let line = try lines.next() { text += line + [0x0a] }
    let file = try scratch.write(TestInput.zstd(text), to: "first-lines.csv.zst")
    try Executable.succeed(["ingest", store, file] + input.options, scratch: scratch)
    var expected = Bodies()
    var reader = CSVReader(try InputFile(file).open())
    guard case .record(let header)? = try reader.next() else { throw BadLine("no header") }
    let columns = try CSVParser.header(header)
    while case .record(let record)? = try reader.next() {
      let fields = record.fields.indices.map { String(decoding: record.content($0), as: UTF8.self) }
      expected.add(
        try #require(zip(columns, fields).first { $0.0 == input.key }).1,
        Self.object(columns, fields, without: input.key).utf8)
    }
    try check(store, expected, scratch)
  }

  /// A body by the words of the contract, made without the command's code.
  private static func object(
    _ columns: [String], _ fields: [String], without key: String
  ) -> String {
    let number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/
    let members = zip(columns, fields).filter { $0.0 != key }.map { name, field in
      (field.wholeMatch(of: number) != nil) ? "\"\(name)\":\(field)" : "\"\(name)\":\"\(field)\""
    }
    return "{\(members.joined(separator: ","))}"
  }

  private static let isOptimised: Bool = {
    var isOptimised = true
    assert(
      {
        isOptimised = false
        return true
      }())
    return isOptimised
  }()

  /// Checks what `read` and `dump` print, as whole events and as bodies.
  private func check(_ store: String, _ expected: Bodies, _ scratch: Scratch) throws {
    for arguments in [["read", store], ["dump", store, "--records", "--json"]] {
      var found = Bodies()
      var next: [Int: Int] = [:]
      let outcome = try Executable.succeed(arguments, scratch: scratch)
      for line in outcome.output.lines {
        let event = try EnvelopeParser().parse(Array(line)[...]).event
        found.add(event.deviceID.description, event.body.bytes)
        let place = try Self.place(line)
        #expect(place.number == next[place.partition, default: 0])
        next[place.partition] = place.number + 1
      }
      #expect(found == expected, "\(arguments)")
    }
    for device in expected.lines.keys {
      let outcome = try Executable.succeed(
        ["read", store, "--device", device, "--format", "body"], scratch: scratch)
      var found = Bodies()
      for line in outcome.output.lines { found.add(device, line) }
      #expect(found.lines[device] == expected.lines[device], "\(device)")
    }
    try Executable.succeed(["fsck", store], scratch: scratch)
  }

  /// The partition and number that an event begins with.
  private static func place(_ line: Data) throws -> (partition: Int, number: Int) {
    let numbers = line.prefix(80).split { !(UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0) }
      .prefix(2).compactMap { Int(String(decoding: $0, as: UTF8.self)) }
    try #require(numbers.count == 2)
    return (numbers[0], numbers[1])
  }

  private func fileSize(below folder: String) throws -> Int {
    try FileManager.default.subpathsOfDirectory(atPath: folder).reduce(0) { size, name in
      let attributes = try FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)")
      guard attributes[.type] as? FileAttributeType == .typeRegular else { return size }
      return size + (attributes[.size] as? Int ?? 0)
    }
  }
}

/// The bodies of each device in their order, as their number and a hash of them all.
private struct Bodies: Equatable {
  struct Lines: Equatable {
    var count = 0
    var state: UInt64 = 0xcbf2_9ce4_8422_2325
  }

  var lines: [String: Lines] = [:]

  /// Adds a body; FNV-1a over all bytes, with an end behind each body.
  mutating func add(_ device: String, _ body: some Sequence<UInt8>) {
    var known = lines[device, default: Lines()]
    known.count += 1
    for byte in body { known.state = (known.state ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    known.state = (known.state ^ 0x100) &* 0x0000_0100_0000_01b3
    lines[device] = known
  }
}
