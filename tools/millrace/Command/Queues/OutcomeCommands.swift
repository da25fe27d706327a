import ArgumentParser
import CommandSupport
import Millrace

/// What became of messages to devices.
struct FeedbackCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "feedback",
    abstract: "Read what became of messages whose senders asked to hear of it.",
    discussion: """
      Example:
        millrace feedback read fleet --group billing --commit
      """,
    subcommands: [FeedbackReadCommand.self])
}

/// Messages that were settled without success.
struct DeadLettersCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dead-letters",
    abstract: "Read messages that were settled without success, and send them again.",
    discussion: """
      Examples:
        millrace dead-letters read fleet
        millrace dead-letters resend fleet --device thermostat-17
      """,
    subcommands: [DeadLettersReadCommand.self, DeadLettersResendCommand.self])
}

/// How a stream is read.
struct StreamOptions: ParsableArguments {
  @Argument(help: ArgumentHelp("The store's folder.", valueName: "store"))
  var store: String

  @Option(help: ArgumentHelp("Begin at the checkpoint of a consumer group.", valueName: "name"))
  var group: String?

  @Flag(help: "Move the group's checkpoint to what was printed. Needs the writer's lock.")
  var commit = false

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Where to begin: earliest, latest, a sequence number or a time. (default: earliest)",
      valueName: "position"),
    transform: CommandSupport.ReadPosition.parsed)
  var from: CommandSupport.ReadPosition?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The number of records.", valueName: "n"))
  var max: Int?

  @Flag(help: "Go on with what comes, until interrupted.")
  var follow = false

  func validate() throws {
    if commit, group == nil { throw ValidationError("--commit needs --group") }
    if let max, max < 0 { throw ValidationError("--max is \(max), it must not be negative") }
    do throws(InvalidIdentifier) {
      if let group { _ = try GroupName(group) }
    } catch {
      throw ValidationError(error.description)
    }
  }

  /// Prints a stream.
  func read(_ stream: PartitionID, as format: EventPrinter.Format) async throws {
    let open = try await EventStore.open(
      at: store, configuration: .command, access: commit ? .readWrite : .readOnly)
    let report = commit ? RecoveryReport(open, path: store) : nil
    let chosen = try await consumerGroup(in: open)
    let known = try open.offsets(in: stream).upperBound
    let start: Millrace.ReadPosition
    let now = Timestamp.now
    switch from {
    case .latest?: start = .offset(known)
    case let position?: start = Millrace.ReadPosition(position, now: now)
    case nil: start = chosen?.checkpoint(in: stream).map { .offset($0.next) } ?? .earliest
    }
    var selection = EventPrinter.Selection()
    selection.from = from?.instant(now: now)
    selection.count = max ?? .max
    if stream == .deadLetters { selection.sentAgain = try await open.deadLettersSentAgain() }
    let printer = EventPrinter(format, selection)
    let reading = EventReading(
      store: open,
      parts: [EventReading.Part(partition: stream, start: start, limit: nil, known: known)],
      printer: printer, devices: [], group: commit ? chosen : nil, goesBack: from != nil)
    if follow { try reading.stopWhenUnwanted() }
    do {
      try await reading.readKnown()
      if follow, !printer.isDone { try await reading.readOn() }
    } catch OutputFailure.closedPipe {
      try await reading.commit()
    }
    try await open.close()
    if printer.gapCount > 0 { throw ExitCode(ExitStatus.damage) }
    try report?.end()
  }

  private func consumerGroup(in store: EventStore) async throws -> ConsumerGroup? {
    guard let group else { return nil }
    let name = try GroupName(group)
    guard commit || store.consumerGroups.contains(name) else { return nil }
    return try await store.consumerGroup(name)
  }
}

/// Prints feedback.
struct FeedbackReadCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "read",
    abstract: "Print feedback, a JSON object a line.",
    discussion: """
      Works beside a writer. Ends with status 2 if records are missing.

      Example:
        millrace feedback read fleet --follow
      """)

  @OptionGroup var options: StreamOptions

  func run() async throws { try await options.read(.feedback, as: .feedback) }
}

/// Prints dead letters.
struct DeadLettersReadCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "read",
    abstract: "Print dead letters, a JSON object a line.",
    discussion: """
      Those that were sent again are dead letters no more. Works beside a writer. Ends with
      status 2 if records are missing.

      Example:
        millrace dead-letters read fleet --from -1d
      """)

  @OptionGroup var options: StreamOptions

  func run() async throws { try await options.read(.deadLetters, as: .deadLetters) }
}

/// Sends dead letters again.
struct DeadLettersResendCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resend",
    abstract: "Move dead letters back into the queues of their devices, with a new time to live.",
    discussion: """
      Prints the new sequence number of each. None is sent again twice.

      Example:
        millrace dead-letters resend fleet --sequence 4711
      """)

  @Argument(help: ArgumentHelp("The store's folder.", valueName: "store"))
  var store: String

  @Flag(help: "All of them.")
  var all = false

  @Option(help: ArgumentHelp("Those of a device.", valueName: "id"))
  var device: String?

  @Option(help: ArgumentHelp("The message that had this sequence number.", valueName: "n"))
  var sequence: UInt64?

  func validate() throws {
    let count = [all, device != nil, sequence != nil].count { $0 }
    guard count == 1 else {
      throw ValidationError("give one of --all, --device and --sequence")
    }
    do throws(InvalidIdentifier) {
      if let device { _ = try DeviceID(device) }
    } catch {
      throw ValidationError(error.description)
    }
  }

  func run() async throws {
    let open = try await EventStore.open(at: store, configuration: .command, access: .readWrite)
    let report = RecoveryReport(open, path: store)
    if let sequence { try await resend(sequence, in: open) } else { try await resendMany(in: open) }
    try await open.close()
    try report.end()
  }

  private func resend(_ sequence: UInt64, in open: EventStore) async throws {
    guard let letter = try await open.deadLetter(withSequenceNumber: sequence) else {
      throw CommandFailure(
        "no dead letter had sequence number \(sequence); `millrace dead-letters read` lists them")
    }
    var output = StandardOutput()
    try output.writeLine("\(try await open.resend(letter))")
    try output.flush()
  }

  private func resendMany(in open: EventStore) async throws {
    let wanted = try device.map { try DeviceID($0) }
    let gone = try await open.deadLettersSentAgain()
    var output = StandardOutput()
    for try await batch in open.batches(in: .deadLetters, until: .highWatermark) {
      for event in batch {
        guard let letter = event.deadLetter, wanted == nil || letter.device == wanted,
          !gone.contains(letter.sequenceNumber)
        else { continue }
        try output.writeLine("\(try await open.resend(letter))")
      }
    }
    try output.flush()
  }
}
