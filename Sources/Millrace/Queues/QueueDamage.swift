package import EventModel

/// Something of the queues that cannot be read: what it says is not to be had, and all else is.
package enum QueueDamage: Hashable, Sendable {
  /// Records of the journal: what they say of messages, feedback and dead letters.
  case records(Range<UInt64>)
  /// A device's queue file, in whole or in part.
  case file(EventModel.DeviceID)
  /// A message.
  case message(UInt64, EventModel.DeviceID)
}

extension QueueDamage: CustomStringConvertible {
  /// The value as text, for messages.
  package var description: String {
    let what =
      switch self {
      case .records(let numbers):
        "journal: \(numbers.count) records from \(numbers.lowerBound) on"
      case .file(let device): "the queue file of \(device), or a part of it,"
      case .message(let number, let device): "message \(number) to \(device)"
      }
    return "\(what) cannot be read; run `millrace fsck` on the store"
  }
}

/// What somebody asked of the queues, and what of it cannot be read.
package struct QueueLook<Found> {
  package var found: Found
  package var damages: [QueueDamage] = []
}

extension QueueLook: Sendable where Found: Sendable {}
