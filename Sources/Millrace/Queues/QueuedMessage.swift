internal import DeviceQueueing
public import EventModel
internal import LogFormat

/// A message that waits for its device.
public struct QueuedMessage: Hashable, Sendable {
  /// Its number: unique in the store, and increasing in each queue.
  public let sequenceNumber: UInt64
  /// When it was accepted.
  public let enqueuedTime: Timestamp
  /// When it expires.
  public let expiryTime: Timestamp
  /// How often it was delivered.
  public let deliveryCount: Int
  /// Whether a receiver holds its lock.
  public let isLocked: Bool
  /// When an abandoned message is available again; nil for now.
  public let availableFrom: Timestamp?
  /// What was sent.
  public let message: DeviceMessage
}

/// A message that was delivered, and the right to settle it.
public struct LockedMessage: Hashable, Sendable {
  /// The device it is for.
  public let device: EventModel.DeviceID
  /// Its number: unique in the store, and increasing in each queue.
  public let sequenceNumber: UInt64
  /// When it was accepted.
  public let enqueuedTime: Timestamp
  /// When it expires.
  public let expiryTime: Timestamp
  /// How often it was delivered, this time included.
  public let deliveryCount: Int
  /// What settling it takes.
  public let lockToken: LockToken
  /// What was sent.
  public let message: DeviceMessage
}

/// How many messages wait for a device.
public struct QueueSummary: Hashable, Sendable {
  /// The device.
  public let device: EventModel.DeviceID
  /// Messages, locked ones included.
  public let pending: Int
  /// Locked ones.
  public let locked: Int
  /// Their bytes.
  public let size: ByteCount
  /// When the oldest was accepted; nil where its record cannot be read.
  public let oldestTime: Timestamp?
}

/// How many messages wait in a store.
public struct QueueTotals: Hashable, Sendable {
  /// Devices with messages.
  public let devices: Int
  /// Messages, locked ones included.
  public let pending: Int
  /// Locked ones.
  public let locked: Int
}

/// What came of sending messages.
public struct EnqueueOutcome: Sendable {
  /// The numbers of those that were accepted, in the order in which they were given.
  public let sequenceNumbers: [UInt64]
  /// Why the next one was refused; nil where all were accepted.
  ///
  /// Those behind it have not been looked at.
  public let refusal: EventStoreError?
}

extension JournalRecord {
  /// What was sent, and when it expires; nil for a record that carries no message.
  var sent: (message: DeviceMessage, expiry: Timestamp, enqueued: Timestamp)? {
    switch entry {
    case .enqueued(let enqueued):
      return (message(enqueued.expiry, enqueued.feedback), enqueued.expiry, event.enqueuedTime)
    case .settled(let settled):
      guard let letter = settled.deadLetter else { return nil }
      return (message(letter.expiry, letter.feedback), letter.expiry, letter.enqueued)
    default: return nil
    }
  }

  private func message(_ expiry: Timestamp, _ feedback: FeedbackMode) -> DeviceMessage {
    DeviceMessage(
      body: messageBody, properties: event.properties, systemProperties: event.systemProperties,
      expiryTime: expiry, feedback: feedback)
  }
}
