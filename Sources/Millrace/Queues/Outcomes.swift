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
  /// What an event of the stream `PartitionID.feedback` says; nil for events of other partitions
  /// and for records that cannot be read.
  public var feedbackReport: FeedbackReport? {
    guard position.partition == .feedback, case .settled(let settled)? = outcomeRecord?.content
    else { return nil }
    return FeedbackReport(
      offset: position.offset, originalMessageID: self[.messageID],
      sequenceNumber: settled.sequence, device: deviceID,
      deviceGenerationID: self[.generationID], enqueuedTime: enqueuedTime,
      statusCode: settled.status, description: settled.description)
  }

  /// The message that an event of the stream `PartitionID.deadLetters` holds; nil for events of
  /// other partitions, for records that cannot be read and for those that say that one was sent
  /// again.
  public var deadLetter: DeadLetter? {
    guard position.partition == .deadLetters, let outcome = outcomeRecord,
      case .settled(let settled) = outcome.content, let sent = outcome.record.sent
    else { return nil }
    return DeadLetter(
      offset: position.offset, sequenceNumber: settled.sequence, device: deviceID,
      enqueuedTime: sent.enqueued, expiryTime: sent.expiry,
      deliveryCount: settled.deliveryCount, settledTime: enqueuedTime,
      statusCode: settled.status, reason: settled.description,
      message: sent.message)
  }

  /// The sequence number of the dead letter that an event of the stream
  /// `PartitionID.deadLetters` says was sent again; nil for all other events.
  public var sentAgainSequenceNumber: UInt64? {
    guard position.partition == .deadLetters, case .sentAgain(let number)? = outcomeRecord?.content
    else { return nil }
    return number
  }

  private var outcomeRecord: OutcomeRecord? {
    do throws(FormatError) {
      return try OutcomeRecord(self)
    } catch {
      return nil
    }
  }
}
