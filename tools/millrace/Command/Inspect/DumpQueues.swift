import CommandSupport
import EventModel
import LogFormat
import LogInspection

/// What a record about a device's queue says beside the message in it.
extension QueueRecord {
  var members: [JSONValue.Member] {
    switch content {
    case .entries(let entries, let number):
      (number.map { [JSONValue.Member("journalNumber", .unsigned($0))] } ?? [])
        + (entries.count == 1
          ? entries[0].members
          : [.init("entries", .array(entries.map { .object($0.members) }))])
    case .filed(let message): message.members
    case .directory(let queue):
      [
        .init("checkpoint", .integer(Int(queue.checkpoint))),
        .init(
          "messages",
          .array(
            queue.messages.map { message, size in
              .object(
                [.init("sequenceNumber", .unsigned(message.sequence))] + message.members
                  + [.init("size", .integer(size))])
            })),
      ]
    }
  }

  /// The sequence number of the message, where it is not the record's own.
  var sequenceNumber: UInt64? {
    if case .filed(let message) = content { message.sequence } else { nil }
  }
}

extension FiledMessage {
  fileprivate var members: [JSONValue.Member] {
    var members: [JSONValue.Member] = [
      .init("deliveryCount", .integer(deliveryCount)), .init("expiryTime", JSONValue(expiry)),
      .init("feedback", .string("\(feedback)")),
    ]
    if isLocked { members.append(.init("isLocked", .boolean(true))) }
    if isLost { members.append(.init("isLost", .boolean(true))) }
    if let availableFrom { members.append(.init("availableFrom", JSONValue(availableFrom))) }
    return members
  }
}

extension JournalEntry {
  fileprivate var members: [JSONValue.Member] {
    switch self {
    case .enqueued(let enqueued):
      [
        .init("entry", .string(enqueued.deadLetter == nil ? "enqueued" : "sentAgain")),
        .init("expiryTime", JSONValue(enqueued.expiry)),
        .init("feedback", .string("\(enqueued.feedback)")),
      ] + (enqueued.deadLetter.map { [.init("deadLetter", .unsigned($0))] } ?? [])
    case .locked(let locked):
      [
        .init("entry", "locked"), .init("message", .unsigned(locked.sequence)),
        .init("deliveryCount", .integer(locked.deliveryCount)),
        .init("durationMicroseconds", .integer(Int(locked.duration))),
      ]
    case .returned(let returned):
      [
        .init("entry", "returned"), .init("message", .unsigned(returned.sequence)),
        .init("deliveryCount", .integer(returned.deliveryCount)),
      ] + (returned.availableFrom.map { [.init("availableFrom", JSONValue($0))] } ?? [])
    case .settled(let settled):
      [
        .init("entry", "settled"), .init("message", .unsigned(settled.sequence)),
        .init("status", .string(settled.status.name)),
        .init("deliveryCount", .integer(settled.deliveryCount)),
        .init("description", .string(settled.description)),
        .init("isDeadLetter", .boolean(settled.deadLetter != nil)),
        .init("givesFeedback", .boolean(settled.givesFeedback)),
      ]
    case .deviceRemoved: [.init("entry", "deviceRemoved")]
    }
  }
}
