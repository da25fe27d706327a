package import EventModel
package import LogFormat

/// Every decision leaves the table as it is; what it returns is applied once it has a number in the
/// journal.
extension QueueTable {
  /// Decides whether a message may join a device's queue.
  package borrowing func decideEnqueue(
    to device: borrowing DeviceID, size: Int, expiry: Timestamp, feedback: FeedbackMode,
    at time: QueueTime
  ) throws(QueueRejection) -> JournalEntry.Enqueued {
    guard expiry > time.wall else { throw .expired(expiry) }
    if let slot = find(device) {
      let queue = slots[slot]
      guard Int(queue.count) < rules.depthMax else {
        throw .full(depth: Int(queue.count), limit: rules.depthMax)
      }
      guard queue.size + size <= rules.sizeMax else {
        throw .sizeExceeded(size: queue.size + size, limit: rules.sizeMax)
      }
    }
    return JournalEntry.Enqueued(expiry: expiry, feedback: feedback)
  }

  /// Decides how a message ends, or returns, for a device that holds its lock.
  ///
  /// - Throws: `.lockLost` once the lock has run out or the message has expired, whether or not
  ///   that has been applied.
  package borrowing func decideSettle(
    _ token: LockToken, of device: borrowing DeviceID, _ verb: QueueVerb, at time: QueueTime
  ) throws(QueueRejection) -> JournalEntry {
    let node = nodes[try lockedPlace(token, of: device, at: time)]
    switch verb {
    case .complete: return settle(node, as: .success)
    case .reject(let reason): return settle(node, as: .rejected, reason)
    case .abandon(let availableFrom):
      guard Int(node.deliveryCount) < rules.deliveryCountMax else {
        return settle(node, as: .deliveryCountExceeded)
      }
      return .returned(
        JournalEntry.Returned(
          sequence: node.sequence, deliveryCount: Int(node.deliveryCount),
          availableFrom: availableFrom.flatMap { $0 > time.wall ? $0 : nil }))
    }
  }

  /// Gives a lock more time; nothing of it outlasts a restart, so nothing is journaled.
  package mutating func renew(
    _ token: LockToken, of device: DeviceID, for duration: Int64, at time: QueueTime
  ) throws(QueueRejection) {
    _ = try lockedPlace(token, of: device, at: time)
    let deadline = Self.deadline(duration, at: time)
    locks.setDeadline(deadline, of: token.sequenceNumber)
    lockEnds.insert(deadline, token.sequenceNumber)
  }

  /// Decides what time has done: messages that expired and locks that ran out, of any device.
  ///
  /// - Returns: at most `max` entries; once they are applied there may be more.
  package mutating func decideDue(
    at time: QueueTime, max: Int
  ) -> [(device: DeviceID, entry: JournalEntry)] {
    wheel.advance(to: time.wall, &nodes)
    var entries: [(device: DeviceID, entry: JournalEntry)] = []
    var place = wheel.firstDue
    while place != noPlace, entries.count < max {
      let node = nodes[place]
      entries.append((names.device(at: slots[node.slot].name), settle(node, as: .expired)))
      place = node.wheelNext
    }
    var ended: Set<UInt64> = []
    while let end = lockEnds.first, end.time <= time.steady, entries.count < max {
      lockEnds.removeFirst()
      guard let lock = locks[end.sequence], lock.deadline == end.time else { continue }
      let node = nodes[lock.place]
      guard node.expiry > time.wall, ended.insert(end.sequence).inserted else { continue }
      entries.append((names.device(at: slots[node.slot].name), entryForTimeout(of: node)))
    }
    // They count until what was decided is applied.
    for sequence in ended {
      if let lock = locks[sequence] { lockEnds.insert(lock.deadline, sequence) }
    }
    return entries
  }

  /// Decides what becomes of every message that was locked when the store was last closed, or
  /// stopped: a restart ends all locks.
  package borrowing func decideRestart() -> [(device: DeviceID, entry: JournalEntry)] {
    locks.sequences.sorted().compactMap { sequence in
      locks[sequence].map { lock in
        let node = nodes[lock.place]
        return (names.device(at: slots[node.slot].name), entryForTimeout(of: node))
      }
    }
  }

  /// Decides to end every message of a device that is there now.
  package borrowing func decidePurge(of device: DeviceID) -> [JournalEntry] {
    guard let slot = find(device) else { return [] }
    var entries: [JournalEntry] = []
    var place = slots[slot].first
    while place != noPlace {
      entries.append(settle(nodes[place], as: .purged))
      place = nodes[place].next
    }
    return entries
  }

  /// The devices whose delayed messages have become available since the last call.
  package mutating func takeUndelayed(at time: QueueTime) -> [DeviceID] {
    var devices: [DeviceID] = []
    while let end = delayEnds.first, end.time <= time.wall.microseconds {
      delayEnds.removeFirst()
      guard let delay = delays[end.sequence], delay.availableFrom <= time.wall else { continue }
      devices.append(names.device(at: slots[nodes[delay.place].slot].name))
    }
    return devices
  }

  // MARK: One message

  enum NodeState {
    case available
    /// Locked or delayed.
    case hidden
    case timedOut
    case expired
  }

  func state(of node: QueueNode, at time: QueueTime) -> NodeState {
    if node.expiry <= time.wall { return .expired }
    if node.isLocked {
      guard let lock = locks[node.sequence] else { return .hidden }
      return lock.deadline <= time.steady ? .timedOut : .hidden
    }
    if !delays.isEmpty, let delay = delays[node.sequence], delay.availableFrom > time.wall {
      return .hidden
    }
    return .available
  }

  /// A message whose lock ran out returns, unless that was its last delivery.
  func entryForTimeout(of node: QueueNode) -> JournalEntry {
    // A journal that says a delivery was none must not make it fewer.
    let count = max(0, Int(node.deliveryCount) - (rules.lockTimeoutsCount ? 0 : 1))
    guard count < rules.deliveryCountMax else { return settle(node, as: .deliveryCountExceeded) }
    return .returned(JournalEntry.Returned(sequence: node.sequence, deliveryCount: count))
  }

  func settle(
    _ node: QueueNode, as status: SettlementStatus, _ description: String? = nil
  ) -> JournalEntry {
    .settled(
      JournalEntry.Settled(
        sequence: node.sequence, status: status, givesFeedback: node.feedback.covers(status),
        deliveryCount: Int(node.deliveryCount), description: description ?? status.name))
  }

  /// Where the message of a lock that holds stands; `slot` is the device's, where that is known.
  func lockedPlace(
    _ token: LockToken, of device: borrowing DeviceID, in slot: UInt32? = nil, at time: QueueTime
  ) throws(QueueRejection) -> UInt32 {
    guard let lock = locks[token.sequenceNumber], lock.nonce == token.nonce,
      lock.deadline > time.steady, nodes[lock.place].expiry > time.wall
    else { throw .lockLost(sequence: token.sequenceNumber) }
    let own = nodes[lock.place].slot
    guard slot.map({ $0 == own }) ?? isSlot(own, of: device) else {
      throw .lockLost(sequence: token.sequenceNumber)
    }
    return lock.place
  }

  static func deadline(_ duration: Int64, at time: QueueTime) -> Int64 {
    let (sum, overflow) = time.steady.addingReportingOverflow(duration)
    return overflow ? .max : sum
  }
}
