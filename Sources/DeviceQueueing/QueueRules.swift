package import EventModel

/// What holds for every queue of a store.
package struct QueueRules: Hashable, Sendable {
  /// Messages that may wait for one device, locked ones included.
  package var depthMax: Int
  /// Bytes of them.
  package var sizeMax: Int
  /// Deliveries of one message; after the last one it can only be completed or rejected.
  package var deliveryCountMax: Int
  /// Whether a lock that runs out counts as a delivery, or only an abandoned one does.
  package var lockTimeoutsCount: Bool

  package init(
    depthMax: Int = 50, sizeMax: Int = 50 * Limits.messageSizeMax, deliveryCountMax: Int = 10,
    lockTimeoutsCount: Bool = true
  ) {
    self.depthMax = depthMax
    self.sizeMax = sizeMax
    self.deliveryCountMax = deliveryCountMax
    self.lockTimeoutsCount = lockTimeoutsCount
  }
}

/// The two clocks that queues go by.
package struct QueueTime: Hashable, Sendable {
  /// For times to live and delays, which outlast a restart.
  ///
  /// Never steps back.
  package var wall: Timestamp
  /// Microseconds of a clock that nobody sets: for locks.
  package var steady: Int64

  package init(wall: Timestamp, steady: Int64) {
    self.wall = wall
    self.steady = steady
  }
}

/// Why a queue does not do what it was asked.
package enum QueueRejection: Error, Hashable, Sendable {
  /// As many messages wait as may.
  case full(depth: Int, limit: Int)
  /// The messages that wait take as many bytes as they may.
  case sizeExceeded(size: Int, limit: Int)
  /// The message would be dead on arrival.
  case expired(Timestamp)
  /// The token gives no right to settle: the lock ran out, the message is settled, or the token
  /// is of another device or of an earlier opening.
  case lockLost(sequence: UInt64)
}

/// What a device does with a message it holds the lock of.
package enum QueueVerb: Hashable, Sendable {
  case complete
  /// The message is available again, after the delay.
  case abandon(availableFrom: Timestamp?)
  case reject(reason: String)
}

/// A message that waits, as others see it.
package struct PendingMessage: Hashable, Sendable {
  package var sequence: UInt64
  package var expiry: Timestamp
  package var size: Int
  package var feedback: FeedbackMode
  package var deliveryCount: Int
  package var isLocked: Bool
  package var availableFrom: Timestamp?
  /// The checkpoint whose queue file holds it; 0 while only the journal does.
  package var checkpoint: UInt32
}

/// How many messages wait for a device.
package struct QueueCounts: Hashable, Sendable {
  /// Locked ones included.
  package var pending: Int
  package var locked: Int
  package var size: Int
  /// The number of the oldest.
  package var first: UInt64
  /// The checkpoint whose queue file holds the oldest; 0 while only the journal does.
  package var checkpoint: UInt32
}

/// A device's queue file.
package struct QueueFile: Hashable, Sendable {
  package var device: DeviceID
  /// The checkpoint that wrote it.
  package var checkpoint: UInt32

  package init(device: DeviceID, checkpoint: UInt32) {
    self.device = device
    self.checkpoint = checkpoint
  }
}
