package import EventModel

/// Something of the queues that cannot be read: what it says is not to be had, and all else is.
package enum QueueDamage: Error, Hashable, Sendable {
  /// Records of the journal: what they say of messages, feedback and dead letters.
  case records(Range<UInt64>)
  /// A device's queue file, in whole or in part.
  case file(EventModel.DeviceID)
  /// A device's queue file that a newer program has written.
  case later(EventModel.DeviceID)
  /// A message.
  case message(UInt64, EventModel.DeviceID)
}

extension QueueDamage: CustomStringConvertible {
  /// The value as text, for messages.
  package var description: String {
    let what: String
    switch self {
    case .records(let numbers):
      what = "journal: \(numbers.count) records from \(numbers.lowerBound) on"
    case .file(let device): what = "the queue file of \(device), or a part of it,"
    case .later(let device):
      return "the queue file of \(device) is of a newer program; use that to read it"
    case .message(let number, let device): what = "message \(number) to \(device)"
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
