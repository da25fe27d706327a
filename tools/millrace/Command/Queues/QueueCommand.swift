import ArgumentParser
import CommandSupport
import Millrace

/// Messages to devices.
struct QueueCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "queue",
    abstract: "Send messages to devices, receive them, and look at the queues.",
    discussion: """
      Examples:
        millrace queue send fleet thermostat-17 --body '{"setPoint":21}' --ack full --ttl 1d
        millrace queue receive fleet thermostat-17 --settle complete
        millrace queue list fleet
      """,
    subcommands: [
      QueueSendCommand.self, QueueReceiveCommand.self, QueueListCommand.self,
      QueuePeekCommand.self, QueuePurgeCommand.self,
    ])
}

/// A store and a device.
struct DeviceArguments: ParsableArguments {
  @Argument(help: ArgumentHelp("The store's folder.", valueName: "store"))
  var store: String

  @Argument(help: ArgumentHelp("The device's id.", valueName: "device"))
  var device: String

  func validate() throws { _ = try deviceID() }

  func deviceID() throws -> DeviceID {
    do throws(InvalidIdentifier) {
      return try DeviceID(device)
    } catch {
      throw ValidationError(error.description)
    }
  }

  /// Opens the store and gives the device's queue, and what was found.
  func open(
    _ access: EventStore.Access
  ) async throws -> (store: EventStore, queue: DeviceQueue, report: RecoveryReport) {
    let open = try await EventStore.open(at: store, configuration: .command, access: access)
    let report =
      access == .readOnly
      ? RecoveryReport(ofQueues: open, path: store) : RecoveryReport(open, path: store)
    return (open, open.deviceQueue(for: try deviceID()), report)
  }
}

/// Gives a device's messages and settles them.
struct QueueReceiveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "receive",
    abstract: "Print a device's next messages, and settle them.",
    discussion: """
      Never waits: an empty queue prints nothing. Without --settle the messages are available again
      when the command has ended, and the delivery counts.

      Example:
        millrace queue receive fleet thermostat-17 --max 10 --settle complete
      """)

  enum Settlement: String, CaseIterable, ExpressibleByArgument {
    case complete, abandon, reject, none
  }

  @OptionGroup var arguments: DeviceArguments

  @Option(parsing: .unconditional, help: ArgumentHelp("Messages at most.", valueName: "n"))
  var max = 1

  @Option(help: "What becomes of the messages once they are printed.")
  var settle = Settlement.none

  @Option(help: ArgumentHelp("Why they are rejected.", valueName: "text"))
  var reason: String?

  func validate() throws {
    if max < 0 { throw ValidationError("--max is \(max), it must not be negative") }
    if reason != nil, settle != .reject {
      throw ValidationError("--reason has a meaning with --settle reject only")
    }
  }

  func run() async throws {
    var (store, queue, report) = try await arguments.open(.readWrite)
    let messages = report.take(try await queue.receiveReadable(max: max))
    var output = StandardOutput()
    for message in messages {
      output.append { bytes in
        QueueLine.append(
          message.message, device: message.device, sequenceNumber: message.sequenceNumber,
          enqueuedTime: message.enqueuedTime,
          more: [
            .init("deliveryCount", .integer(message.deliveryCount)),
            .init("lockToken", .string("\(message.lockToken)")),
            .init("expiryTime", .string(TimeText.string(message.expiryTime))),
          ], to: &bytes)
      }
      try output.flushIfFull()
    }
    // Nothing is settled that could not be printed.
    try output.flush()
    try await settle(messages, in: queue)
    try await store.close()
    try report.end()
  }

  private func settle(_ messages: [LockedMessage], in queue: DeviceQueue) async throws {
    switch settle {
    case .none: return
    case .complete:
      let done = try await queue.complete(contentsOf: messages.map(\.lockToken))
      guard done.allSatisfy(\.self) else {
        throw CommandFailure(
          "\(done.count { !$0 }) messages expired before they were completed; receive again")
      }
    case .abandon:
      for message in messages { try await queue.abandon(message.lockToken) }
    case .reject:
      for message in messages {
        try await queue.reject(message.lockToken, reason: reason ?? "")
      }
    }
  }
}

/// Prints how many messages wait.
struct QueueListCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "Print the devices that messages wait for.",
    discussion: """
      Works beside a writer.

      Example:
        millrace queue list fleet --json
      """)

  @Argument(help: ArgumentHelp("The store's folder.", valueName: "store"))
  var store: String

  @Argument(help: ArgumentHelp("Only this device.", valueName: "device"))
  var device: String?

  @Flag(help: "Print a JSON object for each device, one a line.")
  var json = false

  func validate() throws {
    do throws(InvalidIdentifier) {
      if let device { _ = try DeviceID(device) }
    } catch {
      throw ValidationError(error.description)
    }
  }

  func run() async throws {
    let open = try await EventStore.open(at: store, configuration: .command, access: .readOnly)
    var report = RecoveryReport(ofQueues: open, path: store)
    let summaries = report.take(
      try await open.lookAtQueues(of: try device.map { try DeviceID($0) }))
    var output = StandardOutput()
    if json {
      for summary in summaries { try output.write(summary.json.line) }
    } else {
      var table = TextTable([
        ("DEVICE", .left), ("PENDING", .right), ("LOCKED", .right), ("OLDEST", .left),
      ])
      for summary in summaries {
        table.append([
          "\(summary.device)", "\(summary.pending)", "\(summary.locked)",
          summary.oldestTime.map { TimeText.string($0) } ?? "-",
        ])
      }
      try output.write(Array(table.text.utf8))
    }
    try output.flush()
    try await open.close()
    try report.end()
  }
}

extension QueueSummary {
  fileprivate var json: JSONValue {
    [
      "deviceId": .string("\(device)"), "pending": .integer(pending),
      "locked": .integer(locked),
      "oldestTime": JSONValue(oldestTime.map { TimeText.string($0) }),
    ]
  }
}

/// Prints messages without locking them.
struct QueuePeekCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "peek",
    abstract: "Print a device's first messages without receiving them.",
    discussion: """
      Works beside a writer.

      Example:
        millrace queue peek fleet thermostat-17 --max 5
      """)

  @OptionGroup var arguments: DeviceArguments

  @Option(parsing: .unconditional, help: ArgumentHelp("Messages at most.", valueName: "n"))
  var max = 1

  func validate() throws {
    if max < 0 { throw ValidationError("--max is \(max), it must not be negative") }
  }

  func run() async throws {
    var (store, queue, report) = try await arguments.open(.readOnly)
    var output = StandardOutput()
    for message in report.take(try await queue.peekReadable(max: max)) {
      output.append { bytes in
        QueueLine.append(
          message.message, device: queue.device, sequenceNumber: message.sequenceNumber,
          enqueuedTime: message.enqueuedTime,
          more: [
            .init("deliveryCount", .integer(message.deliveryCount)),
            .init("expiryTime", .string(TimeText.string(message.expiryTime))),
          ], to: &bytes)
      }
      try output.flushIfFull()
    }
    try output.flush()
    try await store.close()
    try report.end()
  }
}

/// Ends everything in a queue.
struct QueuePurgeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "purge",
    abstract: "Remove everything from a device's queue; senders who asked for it hear of it.",
    discussion: """
      Example:
        millrace queue purge fleet thermostat-17
      """)

  @OptionGroup var arguments: DeviceArguments

  @Flag(help: "Print one JSON document.")
  var json = false

  func run() async throws {
    let (store, queue, report) = try await arguments.open(.readWrite)
    let count = try await queue.purge()
    var output = StandardOutput()
    if json {
      let document: JSONValue = [
        "deviceId": .string("\(queue.device)"), "totalMessagesPurged": .integer(count),
      ]
      try output.write(document.line)
    } else {
      try output.writeLine("\(count) messages purged")
    }
    try output.flush()
    try await store.close()
    try report.end()
  }
}

/// Messages to devices as JSON, one a line, with the keys that events have.
enum QueueLine {
  static func append(
    _ message: DeviceMessage, device: DeviceID, sequenceNumber: UInt64, enqueuedTime: Timestamp,
    more: [JSONValue.Member], to bytes: inout [UInt8]
  ) {
    var event = Event(from: device, body: message.body, properties: message.properties)
    event.systemProperties = message.systemProperties
    EventLine.append(
      event,
      at: EventLine.Place(
        partition: nil, sequenceNumber: sequenceNumber, enqueuedTime: enqueuedTime),
      more: more, to: &bytes)
  }
}
