internal import CommitLog
internal import EventModel
internal import LogFormat
internal import StorageIO

/// A message as it was sent, read from the journal or from its queue file.
struct SentMessage: Sendable {
  let message: DeviceMessage
  let expiry: Timestamp
  let enqueued: Timestamp

  /// What a settlement keeps of it.
  func kept(by settled: inout JournalEntry.Settled) -> DeviceMessage {
    guard settled.status.isDeadLetter else {
      var kept = DeviceMessage(body: .empty)
      kept.systemProperties = message.systemProperties
      return kept
    }
    settled.deadLetter = JournalEntry.DeadLetter(
      enqueued: enqueued, expiry: expiry, feedback: message.feedback ?? .none)
    return message
  }
}

extension JournalRecord {
  /// What was sent; nil for a record that carries no message.
  var sent: SentMessage? {
    switch entry {
    case .enqueued(let enqueued):
      SentMessage(
        event, from: bodyStart, expiry: enqueued.expiry, feedback: enqueued.feedback,
        enqueued: event.enqueuedTime)
    case .settled(let settled):
      settled.deadLetter.map { letter in
        SentMessage(
          event, from: bodyStart, expiry: letter.expiry, feedback: letter.feedback,
          enqueued: letter.enqueued)
      }
    default: nil
    }
  }
}

extension SentMessage {
  /// The message in a record whose body begins with what is said of it.
  init(
    _ event: EventView, from bodyStart: Int, expiry: Timestamp, feedback: FeedbackMode,
    enqueued: Timestamp
  ) {
    let body = event.body
    self.init(
      message: DeviceMessage(
        body: Payload(copying: body.extracting(bodyStart..<body.byteCount)),
        properties: event.properties, systemProperties: event.systemProperties,
        expiryTime: expiry, feedback: feedback), expiry: expiry, enqueued: enqueued)
  }
}

/// Reads messages wherever they are.
struct MessageReader: Sendable {
  let journal: JournalReader
  private let files: QueueFileReader

  init(_ source: any ReadSource) {
    journal = JournalReader(source)
    files = QueueFileReader(QueueFiles(source.context))
  }

  /// A message; nil where it is gone or damaged.
  ///
  /// Blocks for the disk.
  ///
  /// - Throws: ``EventStoreError``, also where it is out of reach for now.
  func message(
    _ number: UInt64, to device: EventModel.DeviceID, checkpoint: UInt32
  ) throws(EventStoreError) -> SentMessage? {
    if let sent = try journal.record(number)?.sent { return sent }
    guard checkpoint != 0 else { return nil }
    return try files.message(number, to: device, checkpoint: checkpoint)
  }

  /// A message, or why there is none to show: whoever looks at many goes on with the others.
  func readableMessage(
    _ number: UInt64, to device: EventModel.DeviceID, checkpoint: UInt32
  ) throws(EventStoreError) -> Result<SentMessage, QueueDamage> {
    do throws(EventStoreError) {
      let sent = try message(number, to: device, checkpoint: checkpoint)
      return sent.map { .success($0) } ?? .failure(.message(number, device))
    } catch {
      guard error.cause?.isUnreadable == true || error.isOutOfReach && checkpoint != 0 else {
        throw error
      }
      return .failure(error.code == .unsupportedVersion ? .later(device) : .message(number, device))
    }
  }
}
