import ArgumentParser
import CommandSupport
import EventModel
import Millrace
import SystemPackage

/// Puts messages into the queues of devices.
struct QueueSendCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "send",
    abstract: "Send messages to devices; prints each one's sequence number once it is durable.",
    discussion: """
      With --stdin a message a line: JSON with deviceId, messageId, body or bodyBase64, properties,
      ttl and ack. Stops at the first message that is refused; those before it stay.

      Examples:
        millrace queue send fleet thermostat-17 --body on --message-id m1 --ack full
        millrace queue send fleet --stdin < commands.ndjson
      """)

  @Argument(help: ArgumentHelp("The store's folder.", valueName: "store"))
  var store: String

  @Argument(help: ArgumentHelp("The device's id.", valueName: "device"))
  var device: String?

  @Option(help: ArgumentHelp("The id that feedback names the message by.", valueName: "id"))
  var messageID: String?

  @Option(
    help: ArgumentHelp("How long the message waits for the device, such as 1h.", valueName: "time"),
    transform: DurationText.parsed)
  var ttl: DurationText?

  @Option(help: "Which outcomes give feedback: none, positive, negative or full.")
  var ack: FeedbackChoice?

  @Option(
    name: .customLong("property"),
    help: ArgumentHelp("A property of the message; may be repeated.", valueName: "name=value"))
  var properties: [String] = []

  @Option(parsing: .unconditional, help: ArgumentHelp("The body.", valueName: "text"))
  var body: String?

  @Option(help: ArgumentHelp("A file that is the body.", valueName: "file"))
  var bodyFile: String?

  @Flag(help: "Take messages from standard input, one a line.")
  var stdin = false

  /// A wish for feedback as an argument.
  enum FeedbackChoice: String, CaseIterable, ExpressibleByArgument {
    case none, positive, negative, full

    var mode: FeedbackMode {
      switch self {
      case .none: .none
      case .positive: .positive
      case .negative: .negative
      case .full: .full
      }
    }
  }

  func validate() throws {
    if stdin {
      let isSingle =
        device != nil || messageID != nil || ttl != nil || ack != nil || !properties.isEmpty
        || body != nil || bodyFile != nil
      guard !isSingle else {
        throw ValidationError("--stdin takes everything about the messages from their lines")
      }
      return
    }
    guard device != nil else { throw ValidationError("give a device, or --stdin") }
    guard body == nil || bodyFile == nil else {
      throw ValidationError("--body and --body-file exclude each other")
    }
    if let ttl, ttl.duration <= .zero { throw ValidationError("--ttl must be more than nothing") }
    do {
      _ = try EventModel.DeviceID(device ?? "")
      if let messageID { _ = try MessageID(messageID) }
      _ = try parsedProperties()
    } catch {
      throw ValidationError("\(error)")
    }
  }

  private func parsedProperties() throws -> Properties {
    try Properties(
      try properties.map { text in
        guard let sign = text.firstIndex(of: "=") else {
          throw BadArgument("'\(text)' is no property; write one as name=value")
        }
        return (name: String(text[..<sign]), value: String(text[text.index(after: sign)...]))
      })
  }

  func run() async throws {
    var message = DeviceMessage(body: .empty)
    if !stdin {
      message = DeviceMessage(
        id: try messageID.map { try MessageID($0) }, body: try payload(),
        properties: try parsedProperties(), timeToLive: ttl?.duration, feedback: ack?.mode)
    }
    let open = try await EventStore.open(at: store, configuration: .command, access: .readWrite)
    let report = RecoveryReport(open, path: store)
    do {
      if stdin {
        try await sendLines(to: open)
      } else {
        let queue = open.deviceQueue(for: try EventModel.DeviceID(device ?? ""))
        var output = StandardOutput()
        try output.writeLine("\(try await queue.enqueue(message))")
        try output.flush()
      }
    } catch {
      try await open.close()
      throw error
    }
    try await open.close()
    try report.end()
  }

  private func payload() throws -> Payload {
    guard let bodyFile else { return Payload(body ?? "") }
    do {
      let file = try FileDescriptor.open(FilePath(bodyFile), .readOnly)
      return try file.closeAfter {
        var bytes: [UInt8] = []
        // One byte more than may be sent tells a body that is too large.
        while bytes.count <= Limits.messageSizeMax {
          let part = try unsafe [UInt8](unsafeUninitializedCapacity: 64 << 10) { buffer, count in
            // SAFETY: the array owns the buffer during the closure.
            count = try unsafe file.read(into: UnsafeMutableRawBufferPointer(buffer))
          }
          if part.isEmpty { break }
          bytes += part
        }
        return Payload(bytes)
      }
    } catch let error as Errno {
      throw CommandFailure("cannot read \(bodyFile): \(error); give a file that can be read")
    }
  }

  /// Messages that wait for the disk together, at most.
  private static let groupMax = 256

  private func sendLines(to store: EventStore) async throws {
    var lines = LineReader(try InputFile("-").open())
    let parser = EnvelopeParser(.queueMessage)
    var output = StandardOutput()
    var isOver = false
    while !isOver {
      var group: [(EventModel.DeviceID, DeviceMessage)] = []
      var numbers: [Int] = []
      var bad: CommandFailure?
      // What is at hand goes together; a pause in the input sends what there is.
      while group.count < Self.groupMax, try group.isEmpty || lines.hasLineAtHand() {
        guard let line = try lines.next() else {
          isOver = true
          break
        }
        do throws(BadLine) {
          group.append(try Self.message(of: try parser.parse(line)))
          numbers.append(lines.lineNumber)
        } catch {
          bad = CommandFailure(
            "standard input, line \(lines.lineNumber): \(error); messages before it are sent")
          break
        }
      }
      if !group.isEmpty {
        let outcome = try await store.enqueue(group)
        for number in outcome.sequenceNumbers { try output.writeLine("\(number)") }
        try output.flush()
        if let refusal = outcome.refusal {
          throw CommandFailure(
            "standard input, line \(numbers[outcome.sequenceNumbers.count]): \(refusal); messages "
              + "before it are sent")
        }
      }
      if let bad { throw bad }
    }
  }

  private static func message(
    of envelope: EnvelopeParser.Envelope
  ) throws(BadLine) -> (EventModel.DeviceID, DeviceMessage) {
    var message = DeviceMessage(
      body: envelope.event.body, properties: envelope.event.properties,
      timeToLive: envelope.timeToLive)
    message.systemProperties = envelope.event.systemProperties
    if let text = envelope.acknowledgement {
      guard let choice = FeedbackChoice(rawValue: text) else {
        throw BadLine("'ack' must be none, positive, negative or full")
      }
      message.feedback = choice.mode
    }
    return (envelope.event.deviceID, message)
  }
}
