import ArgumentParser
import CommandSupport
import Millrace

/// Appends the lines of files to a store.
struct IngestCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ingest",
    abstract: "Append the lines of files, one event a line.",
    discussion: """
      Creates the store if there is none. Files may be compressed with gzip or zstd. The summary's \
      input bytes are those of the text, after decompression.

      Examples:
        millrace ingest fleet data.ndjson.zst --format ndjson --device-field /device
        millrace ingest fleet air.csv.gz --format csv --device-column station
        millrace read old | millrace ingest new --format envelope
      """)

  enum Format: String, CaseIterable, ExpressibleByArgument { case envelope, ndjson, csv }
  enum OnError: String, CaseIterable, ExpressibleByArgument { case stop, skip }

  @Argument(help: ArgumentHelp("The store's folder.", valueName: "store"))
  var store: String

  @Argument(help: ArgumentHelp("Files to read; - or none is standard input.", valueName: "file"))
  var files: [String] = []

  @Option(help: "What a line is: an event as `read` prints it, any JSON, or a record of columns.")
  var format: Format

  @Option(
    help: ArgumentHelp(
      "Where a JSON line names its device, such as /device/id.", valueName: "pointer"),
    transform: JSONPointer.parsed)
  var deviceField: JSONPointer?

  @Option(
    help: ArgumentHelp("Where a JSON line has its enqueue time.", valueName: "pointer"),
    transform: JSONPointer.parsed)
  var timeField: JSONPointer?

  @Option(help: ArgumentHelp("The column that names the device.", valueName: "name"))
  var deviceColumn: String?

  @Option(help: ArgumentHelp("The column with the enqueue time.", valueName: "name"))
  var timeColumn: String?

  @Option(
    help: ArgumentHelp("What stands between columns. (default: ,)", valueName: "character"),
    transform: Delimiter.parsed)
  var delimiter: Delimiter?

  @Option(
    help: ArgumentHelp(
      "The columns' names, where the file does not begin with them.", valueName: "a,b,c"),
    transform: { try CSVParser.header($0) })
  var header: [String]?

  @Option(
    help: ArgumentHelp(
      "How far events come when the input pauses: durable, written or buffered. An ack log asks "
        + "for syncs in any case, and at the end everything is durable. (default: durable)"),
    transform: DurabilityName.parsed)
  var durability: DurabilityName?

  @Option(
    help: "Bytes before compression at which a batch is full, such as 64KiB. (default: 64KiB)",
    transform: ByteSize.parsed)
  var batchSize: ByteSize?

  @Option(help: "What to do at a line that is no event.")
  var onError = OnError.stop

  @Option(
    help: ArgumentHelp(
      "Append a line 'INPUT-LINE PARTITION SEQUENCE' to this file for every event once it is "
        + "durable.", valueName: "file"))
  var ackLog: String?

  @Flag(help: "Print the summary as JSON.")
  var json = false

  @Flag(help: "Show no progress.")
  var quiet = false

  @OptionGroup(title: "Options for a store that is made") var storeOptions: StoreOptions

  func validate() throws {
    let sizes = Limits.batchSizeMin...Limits.batchSizeMax
    if let batchSize, !sizes.contains(batchSize.byteCount.bytes) {
      throw ValidationError(
        "--batch-size is \(batchSize.byteCount.bytes) bytes, it must be from "
          + "\(sizes.lowerBound) to \(sizes.upperBound)")
    }
    _ = try inputFormat()
  }

  /// The format with its options, those of other formats refused.
  private func inputFormat() throws -> InputFormat {
    let isCSV = format == .csv
    try refuse([
      ("--device-field", deviceField != nil && format != .ndjson),
      ("--time-field", timeField != nil && format != .ndjson),
      ("--device-column", deviceColumn != nil && !isCSV),
      ("--time-column", timeColumn != nil && !isCSV),
      ("--delimiter", delimiter != nil && !isCSV),
      ("--header", header != nil && !isCSV),
    ])
    switch format {
    case .envelope: return .envelope
    case .ndjson:
      guard let deviceField else {
        throw ValidationError("--format ndjson needs --device-field, such as /device")
      }
      return .ndjson(device: deviceField, time: timeField)
    case .csv:
      guard let deviceColumn else {
        throw ValidationError("--format csv needs --device-column, such as device")
      }
      if let header {
        // What cannot be right is wrong usage and not the fault of a file.
        do {
          _ = try CSVParser(header: header, deviceColumn: deviceColumn, timeColumn: timeColumn)
        } catch {
          throw ValidationError(error.description)
        }
      }
      return .csv(
        CSVLayout(
          deviceColumn: deviceColumn, timeColumn: timeColumn, delimiter: delimiter ?? .comma,
          header: header))
    }
  }

  private func refuse(_ options: [(name: String, isWrong: Bool)]) throws {
    for option in options where option.isWrong {
      throw ValidationError("\(option.name) has no meaning with --format \(format.rawValue)")
    }
  }

  func run() async throws {
    let began = ContinuousClock.now
    let inputs = (files.isEmpty ? ["-"] : files).map(InputFile.init)
    for input in inputs { try input.check() }
    let log = try ackLog.map { try AckLog($0) }
    var configuration = storeOptions.configuration
    if let batchSize { configuration.batchSize = batchSize.byteCount }
    let options = Ingestion.Options(
      inputs: inputs, format: try inputFormat(), durability: durability?.durability ?? .durable,
      skipsBadLines: onError == .skip, keepsEntries: ackLog != nil, isQuiet: quiet,
      batchSize: configuration.batchSize.bytes)
    let sizeBefore = try StoreSize.measure(store)
    let open = try await EventStore.open(at: store, configuration: configuration)
    let report = RecoveryReport(open, path: store)
    if let wanted = storeOptions.partitions, wanted != open.partitions.count {
      StandardError.notice(
        "\(store) has \(open.partitions.count) partitions for ever; --partitions \(wanted) has no "
          + "effect")
    }
    let tally = try await ingest(into: open, options, log)
    try await open.close()
    let summary = IngestSummary(
      tally: tally, bytesOnDisk: max(0, try StoreSize.measure(store) - sizeBefore),
      elapsed: ContinuousClock.now - began)
    var output = StandardOutput()
    if json { try output.write(summary.json.line) } else { try output.writeLine(summary.text) }
    try output.flush()
    try report.end()
  }

  private func ingest(
    into store: EventStore, _ options: Ingestion.Options, _ log: consuming AckLog?
  ) async throws -> Ingestion.Tally {
    let queue = AckQueue()
    async let outcome = Self.append(options, store, queue)
    var acknowledger = Acknowledger(store, queue, log)
    await acknowledger.run()
    let result = await outcome
    // The last group's failure is told to nobody who puts.
    guard let failure = result.failure ?? queue.failure else { return result.tally }
    // The store is sound: what was read before the failure stays, and the store is left closed.
    if !(failure is EventStoreError) { try await store.close() }
    if let failure = failure as? AckLogFailure {
      throw failure.failure(durable: result.tally.events)
    }
    throw failure
  }

  private static func append(
    _ options: Ingestion.Options, _ store: EventStore, _ queue: AckQueue
  ) async -> (tally: Ingestion.Tally, failure: (any Error)?) {
    do {
      return try await OwnThread.run {
        defer { queue.close() }
        var ingestion = try Ingestion(options, store, queue)
        do {
          try ingestion.run()
          return (ingestion.tally, nil)
        } catch {
          return (ingestion.tally, error)
        }
      }
    } catch {
      return (Ingestion.Tally(), error)
    }
  }
}
