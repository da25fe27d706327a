import ArgumentParser
import CommandSupport
import EventModel
import LogFormat
import LogInspection
import StorageIO
import SystemPackage

/// Prints what a store holds, in numbers.
struct StatCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stat",
    abstract: "Print what a store holds, in numbers.",
    discussion: """
      Works beside a writer, needs no lock and never writes. Counts what is proven to be durable.

      Examples:
        millrace stat fleet
        millrace stat fleet --json
      """)

  @Argument(help: ArgumentHelp("The store's folder.", valueName: "store"))
  var store: String

  @Flag(help: "Print one JSON document.")
  var json = false

  func run() async throws {
    try ReadAccess.check(store)
    let statistics: StoreStatistics
    do throws(InspectionFailure) {
      statistics = try StoreStatistics.collect(FilePath(store), fileSystem: SystemFileSystem())
    } catch {
      throw CommandFailure(error)
    }
    var output = StandardOutput()
    if json {
      try output.write(statistics.json.line)
    } else {
      try output.write(statistics.text.utf8)
    }
    try output.flush()
    let damages = statistics.damages.filter { $0.kind.severity == .error }
    guard let first = damages.first else { return }
    guard first.kind != .unsupported else {
      throw CommandFailure(
        "\(first.file) at \(first.position): \(first.detail); use a newer program")
    }
    StandardError.notice(
      "\(first.file) at \(first.position): \(first.detail); the numbers may be wrong, `millrace "
        + "fsck` says more")
    throw ExitCode(ExitStatus.damage)
  }
}

extension StoreStatistics {
  var json: JSONValue {
    [
      "storeId": JSONValue(storeID?.description),
      "formatVersion": .integer(Int(formatVersion)),
      "partitions": .array(partitions.map(\.json)),
      "groups": .array(groups.map(\.json)),
      // Stores of this version hold no queues.
      "queues": ["devices": 0, "pending": 0, "locked": 0],
      "totals": [
        "events": .unsigned(totals.events), "rawBytes": .unsigned(totals.rawBytes),
        "bytesOnDisk": .unsigned(totals.bytesOnDisk), "ratio": .ratio(totals.ratio),
        "segments": .integer(totals.segments),
      ],
    ]
  }

  /// Tables for people.
  var text: String {
    var partitions = TextTable([
      ("PARTITION", .right), ("FIRST", .right), ("NEXT", .right), ("EVENTS", .right),
      ("BYTES", .right), ("ON DISK", .right), ("RATIO", .right), ("SEGMENTS", .right),
      ("OLDEST", .left), ("NEWEST", .left),
    ])
    for partition in self.partitions { partitions.append(partition.cells) }
    partitions.append([
      "total", "", "", "\(totals.events)", "\(totals.rawBytes)", "\(totals.bytesOnDisk)",
      hundredths(totals.ratio), "\(totals.segments)", "", "",
    ])
    var groups = TextTable([
      ("GROUP", .left), ("PARTITION", .right), ("CHECKPOINT", .right), ("LAG EVENTS", .right),
      ("LAG BYTES", .right), ("LAG SECONDS", .right),
    ])
    for group in self.groups { groups.append(group.cells) }
    let identity = "store \(storeID?.description ?? "unknown"), format version \(formatVersion)\n"
    return "\(identity)\n\(partitions.text)\n\(groups.text)"
  }
}

extension StoreStatistics.Partition {
  fileprivate var json: JSONValue {
    [
      "partition": .integer(Int(partition)), "firstSequence": .unsigned(firstSequence),
      "nextSequence": .unsigned(nextSequence), "events": .unsigned(events),
      "rawBytes": .unsigned(rawBytes), "bytesOnDisk": .unsigned(bytesOnDisk),
      "ratio": .ratio(ratio), "segments": .integer(segments),
      "oldestTime": oldestTime.map { JSONValue($0) } ?? .null,
      "newestTime": newestTime.map { JSONValue($0) } ?? .null,
    ]
  }

  fileprivate var cells: [String] {
    [
      "\(partition)", "\(firstSequence)", "\(nextSequence)", "\(events)", "\(rawBytes)",
      "\(bytesOnDisk)", hundredths(ratio), "\(segments)",
      oldestTime.map(TimeText.string) ?? "-", newestTime.map(TimeText.string) ?? "-",
    ]
  }
}

extension StoreStatistics.Group {
  fileprivate var json: JSONValue {
    [
      "name": .string(name.text), "partition": .integer(Int(partition)),
      "checkpoint": checkpoint.map { .unsigned($0) } ?? .null, "lagEvents": .unsigned(lagEvents),
      "lagBytes": .unsigned(lagBytes), "lagSeconds": .number(lagSeconds),
    ]
  }

  fileprivate var cells: [String] {
    [
      name.text, "\(partition)", checkpoint.map { "\($0)" } ?? "-", "\(lagEvents)", "\(lagBytes)",
      "\(Int(lagSeconds.rounded()))",
    ]
  }
}

extension JSONValue {
  /// A ratio to two places.
  fileprivate static func ratio(_ value: Double) -> Self { .number((value * 100).rounded() / 100) }
}

/// A number with two places after the point.
private func hundredths(_ value: Double) -> String {
  let number = Int((value * 100).rounded())
  return "\(number / 100).\(number % 100 < 10 ? "0" : "")\(number % 100)"
}
