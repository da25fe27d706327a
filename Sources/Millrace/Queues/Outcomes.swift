internal import CommitLog
public import EventModel
internal import LogFormat

/// What became of a message whose sender asked to hear of it.
public struct FeedbackReport: Hashable, Sendable {
  /// Where the report stands in the stream.
  public let offset: Offset
  /// The id that the sender gave the message; nil if it gave none.
  public let originalMessageID: String?
  /// The message's number.
  public let sequenceNumber: UInt64
  /// The device it was for.
  public let device: EventModel.DeviceID
  /// The generation of the device that the sender named; nil if it named none.
  public let deviceGenerationID: String?
  /// When the message was settled.
  public let enqueuedTime: Timestamp
  /// How.
  public let statusCode: SettlementStatus
  /// The same in words, or what the device said.
  public let description: String
}

/// A message that was settled without success, kept for people.
public struct DeadLetter: Hashable, Sendable {
  /// Where it stands in the stream.
  public let offset: Offset
  /// The message's number while it was in its queue.
  public let sequenceNumber: UInt64
  /// The device it was for.
  public let device: EventModel.DeviceID
  /// When it was put into the queue.
  public let enqueuedTime: Timestamp
  /// When it expired, or would have.
  public let expiryTime: Timestamp
  /// How often it was delivered.
  public let deliveryCount: Int
  /// When it was settled.
  public let settledTime: Timestamp
  /// How.
  public let statusCode: SettlementStatus
  /// The same in words, or what the device said.
  public let reason: String
  /// What was sent.
  public let message: DeviceMessage
}

extension EventView {
  /// What an event of the stream ``PartitionID/feedback`` says; nil for events of other partitions
  /// and for records that cannot be read.
  public var feedbackReport: FeedbackReport? {
    guard position.partition == .feedback, let outcome = outcomeRecord else { return nil }
    return FeedbackReport(
      offset: position.offset, originalMessageID: self[.messageID],
      sequenceNumber: outcome.settled.sequence, device: deviceID,
      deviceGenerationID: self[.generationID], enqueuedTime: enqueuedTime,
      statusCode: outcome.settled.status, description: outcome.settled.description)
  }

  /// The message that an event of the stream ``PartitionID/deadLetters`` holds; nil for events of
  /// other partitions and for records that cannot be read.
  public var deadLetter: DeadLetter? {
    guard position.partition == .deadLetters, let outcome = outcomeRecord,
      let sent = outcome.record.sent
    else { return nil }
    return DeadLetter(
      offset: position.offset, sequenceNumber: outcome.settled.sequence, device: deviceID,
      enqueuedTime: sent.enqueued, expiryTime: sent.expiry,
      deliveryCount: outcome.settled.deliveryCount, settledTime: enqueuedTime,
      statusCode: outcome.settled.status, reason: outcome.settled.description,
      message: sent.message)
  }

  private var outcomeRecord: OutcomeRecord? {
    do throws(FormatError) {
      return try OutcomeRecord(self)
    } catch {
      return nil
    }
  }
}

extension EventStore {
  /// Puts a dead letter back into its device's queue as a new message with a new time to live.
  ///
  /// It stays in the stream: whoever resends keeps a checkpoint to know what was.
  ///
  /// - Throws: ``EventStoreError`` as ``DeviceQueue/enqueue(_:)``.
  @discardableResult
  public func resend(_ letter: DeadLetter) async throws(EventStoreError) -> UInt64 {
    var message = letter.message
    message.expiryTime = nil
    return try await deviceQueue(for: letter.device).enqueue(message)
  }
}
