import ArgumentParser
import CommandSupport
import Millrace

/// Drops what retention lets go.
struct RetainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retain",
    abstract: "Apply retention now: drop the oldest segments.",
    discussion: """
      Without --age and --size the rule that the store was made with is applied. Whole sealed
      segments go, the oldest first, never the one that is being written.

      Examples:
        millrace retain fleet --dry-run
        millrace retain fleet --age 30d --size 100GiB
      """)

  @Argument(help: ArgumentHelp("The store's folder.", valueName: "store"))
  var store: String

  @Option(
    help: "Drop segments whose events are all older, such as 7d.",
    transform: DurationText.parsed)
  var age: DurationText?

  @Option(
    help: "Drop the oldest segments while all of them take more than this, such as 10GiB.",
    transform: ByteSize.parsed)
  var size: ByteSize?

  @Flag(help: "Only say what would go.")
  var dryRun = false

  @Flag(help: "Print one JSON document.")
  var json = false

  func validate() throws {
    if let age, age.duration <= .zero {
      throw ValidationError("--age must be more than nothing")
    }
    if let size, size.byteCount <= .zero {
      throw ValidationError("--size must be more than nothing")
    }
  }

  func run() async throws {
    let open = try await EventStore.open(at: store, configuration: .command, access: .readWrite)
    let found = RecoveryReport(open, path: store)
    var rule: EventStore.Retention?
    if age != nil || size != nil {
      rule = EventStore.Retention(age: age?.duration, size: size?.byteCount)
    }
    let report = try await open.retain(rule, isDryRun: dryRun)
    var output = StandardOutput()
    if json {
      try output.write(report.json(isDryRun: dryRun).line)
    } else {
      try output.write(Array(report.text.utf8))
    }
    try output.flush()
    try await open.close()
    try found.end()
  }
}

extension RetentionReport {
  fileprivate func json(isDryRun: Bool) -> JSONValue {
    [
      "dryRun": .boolean(isDryRun),
      "partitions": .array(
        partitions.map { dropped in
          [
            "partition": .integer(dropped.partition.number),
            "segments": .integer(dropped.segments),
            "events": .unsigned(dropped.events),
            "firstSequence": .unsigned(dropped.earliest.value),
          ]
        }),
      "bytesBefore": .integer(sizeBefore.bytes),
      "bytesAfter": .integer(sizeAfter.bytes),
    ]
  }

  fileprivate var text: String {
    var table = TextTable([
      ("PARTITION", .right), ("SEGMENTS", .right), ("EVENTS", .right), ("NOW BEGINS AT", .right),
    ])
    for dropped in partitions {
      table.append([
        "\(dropped.partition.number)", "\(dropped.segments)", "\(dropped.events)",
        "\(dropped.earliest)",
      ])
    }
    return table.text + "\(sizeBefore.bytes) bytes before, \(sizeAfter.bytes) after\n"
  }
}
