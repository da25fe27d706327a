import ArgumentParser
import CommandSupport
import Millrace
import SystemPackage

/// Compares a store with what was sent to it and with what the writer acknowledged.
struct Prove: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Proves that a store holds every acknowledged line of its input, in order, once.",
    discussion: """
      Example: fleet prove STORE readings.ndjson --device-field /device --ack-log acks.txt

      Without --at-least-once the store must hold, for each partition, a prefix of the input's \
      lines in their order, and every line in the acknowledgement log. With it, every line of the \
      input at least once.
      """)

  @Argument(help: "The store.") var store: String
  @Argument(help: "The NDJSON file that was ingested.") var input: String
  @Option(help: "Where a line names its device.", transform: { try JSONPointer($0) })
  var deviceField: JSONPointer
  @Option(help: "The acknowledgement log of the ingest.") var ackLog: String?
  @Option(help: "Writes the lines that were not acknowledged to this file.")
  var remaining: String?
  @Flag(help: "Every line at least once, in any order.") var atLeastOnce = false

  func run() async throws {
    let store = try await EventStore.open(at: store, access: .readOnly)
    let sent = try SentLines(
      input, deviceField: deviceField, partitionCount: store.partitions.count)
    let stored = try await StoredEvents(store)
    if atLeastOnce {
      let doubled = try stored.checkCoverage(of: sent)
      print(
        "every one of the \(sent.lines.count) lines is stored; \(doubled) came twice, because "
          + "their acknowledgement was lost with the writer")
      return
    }
    try stored.checkPrefix(of: sent)
    let acknowledged = try Acknowledgements(ackLog)
    try acknowledged.check(against: sent, stored)
    print(
      "sent \(sent.lines.count) lines; acknowledged \(acknowledged.lines.count); stored "
        + "\(stored.count), in order, every byte as it was sent")
    print("acknowledged and missing: 0; acknowledged and doubled: 0")
    if let remaining { try sent.write(to: remaining, without: acknowledged.lines) }
  }
}

/// The input, line by line, with the partition that each belongs to.
struct SentLines {
  var lines: [ArraySlice<UInt8>] = []
  /// Their numbers in the file, blank lines counted, as the ack log has them.
  var numbers: [Int] = []
  /// The lines of each partition, by their index, in order.
  var indexes: [[Int]]

  init(_ path: String, deviceField: JSONPointer, partitionCount: Int) throws {
    indexes = Array(repeating: [], count: partitionCount)
    var parser = NDJSONParser(deviceField: deviceField)
    var reader = LineReader(try InputFile(path).open())
    while let line = try reader.next() {
      let event = try parser.parse(line)
      let partition = PartitionID(of: event.deviceID, partitionCount: partitionCount)
      indexes[partition.number].append(lines.count)
      lines.append(line)
      numbers.append(reader.lineNumber)
    }
  }

  func write(to path: String, without acknowledged: Set<Int>) throws {
    var output = try OutputFile.create(path)
    for (index, line) in lines.enumerated() where !acknowledged.contains(numbers[index]) {
      output.append { bytes in
        bytes += line
        bytes.append(UInt8(ascii: "\n"))
      }
      try output.flushIfFull()
    }
    try output.flush()
  }
}

/// Every body in the store, partition by partition.
struct StoredEvents {
  var bodies: [[[UInt8]]] = []

  init(_ store: EventStore) async throws {
    for partition in store.partitions {
      var list: [[UInt8]] = []
      for try await batch in store.batches(in: partition, until: .highWatermark) {
        if let gap = batch.gap { throw CommandFailure("events are missing: \(gap)") }
        for event in batch { list.append(Array(event.event.body.bytes)) }
      }
      bodies.append(list)
    }
  }

  var count: Int { bodies.reduce(0) { $0 + $1.count } }

  func checkPrefix(of sent: SentLines) throws {
    for (partition, list) in bodies.enumerated() {
      for (number, body) in list.enumerated() {
        guard number < sent.indexes[partition].count else {
          throw CommandFailure("partition \(partition) holds more events than were sent to it")
        }
        let line = sent.indexes[partition][number]
        guard sent.lines[line].elementsEqual(body) else {
          throw CommandFailure(
            "event \(number) of partition \(partition) is not line "
              + "\(sent.numbers[line]) of the input")
        }
      }
    }
  }

  /// Checks that every line is there as often as it was sent, and returns how many events more.
  func checkCoverage(of sent: SentLines) throws -> Int {
    var counts: [[UInt8]: Int] = [:]
    for body in bodies.joined() { counts[body, default: 0] += 1 }
    for (index, line) in sent.lines.enumerated() {
      let line = Array(line)
      guard let count = counts[line], count > 0 else {
        throw CommandFailure("line \(sent.numbers[index]) of the input is missing")
      }
      counts[line] = count - 1
    }
    return count - sent.lines.count
  }
}

/// What the writer said was durable.
struct Acknowledgements {
  /// Line numbers, from 1.
  var lines: Set<Int> = []
  private var entries: [(line: Int, partition: Int, number: Int)] = []

  init(_ path: String?) throws {
    guard let path else { return }
    var reader = LineReader(try InputFile(path).open())
    while let line = try reader.next() {
      let fields = line.split(separator: UInt8(ascii: " "))
        .map { Int(String(decoding: $0, as: UTF8.self)) }
      guard fields.count == 3, let number = fields[0], let partition = fields[1],
        let sequence = fields[2]
      else { throw CommandFailure("line \(reader.lineNumber) of \(path) is no acknowledgement") }
      guard lines.insert(number).inserted else {
        throw CommandFailure("line \(number) was acknowledged twice")
      }
      entries.append((number, partition, sequence))
    }
  }

  func check(against sent: SentLines, _ stored: StoredEvents) throws {
    for entry in entries {
      guard stored.bodies.indices.contains(entry.partition),
        entry.number < stored.bodies[entry.partition].count
      else {
        throw CommandFailure(
          "line \(entry.line) was acknowledged as event \(entry.number) of partition "
            + "\(entry.partition) and is missing")
      }
      let index = sent.indexes[entry.partition][entry.number]
      guard sent.numbers[index] == entry.line else {
        throw CommandFailure("line \(entry.line) was acknowledged at another line's place")
      }
    }
  }
}

/// A new file to print to.
enum OutputFile {
  static func create(_ path: String) throws -> StandardOutput {
    StandardOutput(
      descriptor: try FileDescriptor.open(
        FilePath(path), .writeOnly, options: [.create, .truncate],
        permissions: .ownerReadWrite
      ).rawValue)
  }
}
