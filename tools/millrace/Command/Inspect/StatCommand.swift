import ArgumentParser
import CommandSupport
import EventModel
import LogFormat
import LogInspection
import Millrace
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
    let (queues, isDamaged) = await queueTotals()
    var output = StandardOutput()
    if json {
      try output.write(statistics.json(queues).line)
    } else {
      try output.write(statistics.text(queues).utf8)
    }
    try output.flush()
    let damages = statistics.damages.filter { $0.kind.severity == .error }
    guard let first = damages.first else {
      if isDamaged { throw ExitCode(ExitStatus.damage) }
      return
    }
    guard first.kind != .unsupported else {
      throw CommandFailure(
        "\(first.file) at \(first.position): \(first.detail); use a newer program")
    }
    StandardError.notice(
      "\(first.file) at \(first.position): \(first.detail); the numbers may be wrong, `millrace "
        + "fsck` says more")
    throw ExitCode(ExitStatus.damage)
  }

  /// What waits for devices, and whether what tells it is damaged; nil, and a notice, in a store
  /// that the engine does not open.
  private func queueTotals() async -> (QueueTotals?, isDamaged: Bool) {
    do throws(EventStoreError) {
      let open = try await EventStore.open(
        at: store, configuration: .command, access: .readOnly)
      var report = RecoveryReport(ofQueues: open, path: store)
      let totals = report.take(try await open.lookAtQueueTotals())
      try await open.close()
      return (totals, report.isDamage)
    } catch {
      StandardError.notice("the queues cannot be counted: \(error)")
      return (nil, error.code == .corrupt)
    }
  }
}

extension StoreStatistics {
  func json(_ queues: QueueTotals?) -> JSONValue {
    [
      "storeId": JSONValue(storeID?.description),
      "formatVersion": .integer(Int(formatVersion)),
      "partitions": .array(partitions.map(\.json)),
      "groups": .array(groups.map(\.json)),
      "queues": queues.map {
        [
          "devices": .integer($0.devices), "pending": .integer($0.pending),
          "locked": .integer($0.locked),
        ]
      } ?? .null,
      "totals": [
        "events": .unsigned(totals.events), "rawBytes": .unsigned(totals.rawBytes),
        "bytesOnDisk": .unsigned(totals.bytesOnDisk), "ratio": .ratio(totals.ratio),
        "segments": .integer(totals.segments),
      ],
    ]
  }

  /// Tables for people.
  func text(_ queues: QueueTotals?) -> String {
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
    let waiting =
      queues.map {
        "queues: \($0.pending) messages wait for \($0.devices) devices, "
          + "\($0.locked) of them locked\n"
      } ?? ""
    return "\(identity)\n\(partitions.text)\n\(groups.text)\n\(waiting)"
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
