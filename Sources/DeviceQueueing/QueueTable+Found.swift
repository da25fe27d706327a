package import EventModel
package import LogFormat

/// A message that was found while deciding what is done to it, so that applying need not search for
/// it again.
///
/// Of no use once anything else than what was decided with it has been applied.
package struct FoundMessage: Sendable {
  package let sequence: UInt64
  /// The delivery that was decided included.
  package let deliveryCount: Int
  /// Whether its sender wants to hear that it is completed.
  package let givesFeedback: Bool
  let place: UInt32
}

/// What is done to most messages: they are received, and they are completed.
///
/// What is decided here is in the journal as entries, and changes the table as those do when they
/// are read again.
extension QueueTable {
  /// Decides what a device receives: the lowest-numbered messages that are available (I12).
  ///
  /// - Parameters:
  ///   - device: who receives.
  ///   - max: how many messages at most.
  ///   - durable: messages from this number on may be gone after a crash and are not given out.
  ///   - time: now.
  ///   - messages: what is received, in the order of the numbers; replaced.
  /// - Returns: what is due of the device's queue and has to be applied first: messages that
  ///   expired and locks that ran out.
  package borrowing func decideReceive(
    by device: borrowing DeviceID, max: Int, below durable: UInt64, at time: QueueTime,
    into messages: inout [FoundMessage]
  ) -> [JournalEntry] {
    messages.removeAll(keepingCapacity: true)
    guard let slot = find(device) else { return [] }
    var due: [JournalEntry] = []
    var place = slots[slot].first
    while place != noPlace, messages.count < max {
      let node = nodes[place]
      guard node.sequence < durable else { break }
      var count = Int(node.deliveryCount)
      var isAvailable = true
      switch state(of: node, at: time) {
      case .expired:
        due.append(settle(node, as: .expired))
        isAvailable = false
      case .timedOut:
        let entry = entryForTimeout(of: node)
        due.append(entry)
        if case .returned(let returned) = entry {
          count = returned.deliveryCount
        } else {
          isAvailable = false
        }
      case .hidden: isAvailable = false
      case .available: break
      }
      if isAvailable {
        messages.append(
          FoundMessage(
            sequence: node.sequence, deliveryCount: count + 1,
            givesFeedback: node.feedback.covers(.success), place: place))
      }
      place = node.next
    }
    return due
  }

  /// Applies that a message was received, and returns the right to settle it.
  package mutating func applyReceived(
    _ message: FoundMessage, for duration: Int64, at time: QueueTime
  ) -> LockToken {
    check(message)
    let nonce = lock(
      message.place, deliveryCount: message.deliveryCount,
      until: Self.deadline(duration, at: time))
    return LockToken(sequenceNumber: message.sequence, nonce: nonce)
  }

  /// Decides that a message is completed, for a device that holds its lock.
  ///
  /// - Parameters:
  ///   - token: what the device got with the message.
  ///   - device: the device.
  ///   - other: a message that is known to be in the same device's queue; nil for none.
  ///   - time: now.
  /// - Returns: the message.
  /// - Throws: as ``decideSettle(_:of:_:at:)``.
  package borrowing func decideComplete(
    _ token: LockToken, of device: borrowing DeviceID, beside other: FoundMessage?,
    at time: QueueTime
  ) throws(QueueRejection) -> FoundMessage {
    let slot = other.map { nodes[$0.place].slot }
    let place = try lockedPlace(token, of: device, in: slot, at: time)
    let node = nodes[place]
    return FoundMessage(
      sequence: node.sequence, deliveryCount: Int(node.deliveryCount),
      givesFeedback: node.feedback.covers(.success), place: place)
  }

  /// Applies that a message was completed.
  package mutating func applyCompleted(_ message: FoundMessage) {
    check(message)
    remove(message.place)
  }

  private func check(_ message: FoundMessage) {
    precondition(
      nodes[message.place].sequence == message.sequence,
      "message \(message.sequence) is not where it was found")
  }
}

extension FoundMessage {
  /// The entry that says that it was received.
  package func locked(for duration: Int64) -> JournalEntry.Locked {
    JournalEntry.Locked(sequence: sequence, deliveryCount: deliveryCount, duration: duration)
  }

  /// The entry that says that it was completed.
  package var completed: JournalEntry.Settled {
    JournalEntry.Settled(
      sequence: sequence, status: .success, givesFeedback: givesFeedback,
      deliveryCount: deliveryCount, description: SettlementStatus.success.name)
  }
}
