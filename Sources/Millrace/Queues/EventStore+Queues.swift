internal import DeviceQueueing
public import EventModel
internal import LogFormat

extension EventStore {
  /// The queue of messages to a device; costs nothing until it is used.
  public func deviceQueue(for device: EventModel.DeviceID) -> DeviceQueue {
    DeviceQueue(device: device, store: self)
  }

  /// Puts messages into the queues of any devices with one wait for the disk.
  ///
  /// Stops at the first one that is refused; those before it stay.
  ///
  /// *Durability*: returns when every message that was accepted would survive a crash.
  ///
  /// - Throws: ``EventStoreError`` with `storageFull`, `outcomeUnknown`, `poisoned`, `readOnly` or
  ///   `closed`; a message that is refused is told in the outcome.
  public func enqueue(
    _ messages: some Collection<(EventModel.DeviceID, DeviceMessage)>
  ) async throws(EventStoreError) -> EnqueueOutcome {
    let core = try await writer().queues()
    var sending = QueueCore.Sending(Array(messages))
    do throws(EventStoreError) {
      try await core.carryOut(&sending)
    } catch {
      try sending.refuse(by: error)
    }
    try await core.durable(sending)
    core.wakeReceivers(of: sending.devices)
    return sending.outcome
  }

  /// Completes messages of any devices with one wait for the disk.
  ///
  /// - Returns: for each whether the token held its lock; those that did not have changed nothing.
  /// - Throws: ``EventStoreError`` with `storageFull`, `outcomeUnknown`, `poisoned`, `readOnly` or
  ///   `closed`.
  @discardableResult
  public func complete(
    _ deliveries: [(device: EventModel.DeviceID, token: LockToken)]
  ) async throws(EventStoreError) -> [Bool] {
    let core = try await writer().queues()
    var completing = QueueCore.Completing(deliveries)
    try await core.carryOut(&completing)
    try await core.durable(completing)
    return completing.done
  }

  /// Does what time has done to the queues, and returns when that and all before it is durable.
  ///
  /// For simulations: nobody wakes the store's threads when their clock moves.
  package func settleDue() async throws(EventStoreError) {
    guard let core = try writer().existingQueues else { return }
    try await core.settleDue()
  }

  /// How many devices have messages that wait, and how many those are.
  public func queueTotals() async throws(EventStoreError) -> QueueTotals {
    try await lookAtQueueTotals().found
  }

  /// The same, and what of the queues cannot be read.
  package func lookAtQueueTotals() async throws(EventStoreError) -> QueueLook<QueueTotals> {
    let source = source
    return try await source.readers.offload { () throws(EventStoreError) in
      try source.withQueues { table in
        QueueTotals(
          devices: table.deviceCount, pending: table.messageCount, locked: table.lockedCount)
      } reading: { (totals, _, _) in
        totals
      }
    }
  }

  /// Every device with messages that wait, in the order of their ids.
  public func queueSummaries() async throws(EventStoreError) -> [QueueSummary] {
    try await lookAtQueues().found
  }

  /// The same, or the summary of one device, and what of the queues cannot be read.
  package func lookAtQueues(
    of device: EventModel.DeviceID? = nil
  ) async throws(EventStoreError) -> QueueLook<[QueueSummary]> {
    let source = source
    return try await source.readers.offload { () throws(EventStoreError) in
      try source.withQueues { (table) in
        var found: [(EventModel.DeviceID, QueueCounts)] = []
        if let device {
          if let counts = table.counts(of: device) { found.append((device, counts)) }
        } else {
          table.forEachDevice { found.append(($0, $1)) }
          found.sort { $0.0 < $1.0 }
        }
        return found
      } reading: { (found, reader, damages) throws(EventStoreError) in
        var summaries: [QueueSummary] = []
        for (device, counts) in found {
          var oldest: SentMessage?
          switch try reader.readableMessage(
            counts.first, to: device, checkpoint: counts.checkpoint)
          {
          case .success(let sent): oldest = sent
          case .failure(let damage): damages.append(damage)
          }
          summaries.append(
            QueueSummary(
              device: device, pending: counts.pending, locked: counts.locked,
              size: ByteCount(counts.size), oldestTime: oldest?.enqueued))
        }
        return summaries
      }
    }
  }

  func peek(
    _ device: EventModel.DeviceID, max: Int
  ) async throws(EventStoreError) -> QueueLook<[QueuedMessage]> {
    let source = source
    return try await source.readers.offload { () throws(EventStoreError) in
      try source.withQueues { (table) in
        table.messages(of: device, max: max)
      } reading: { (found, reader, damages) throws(EventStoreError) in
        var messages: [QueuedMessage] = []
        for pending in found {
          let sent: SentMessage
          switch try reader.readableMessage(
            pending.sequence, to: device, checkpoint: pending.checkpoint)
          {
          case .success(let message): sent = message
          case .failure(let damage):
            if !damages.contains(damage) { damages.append(damage) }
            continue
          }
          messages.append(
            QueuedMessage(
              sequenceNumber: pending.sequence, enqueuedTime: sent.enqueued,
              expiryTime: sent.expiry, deliveryCount: pending.deliveryCount,
              isLocked: pending.isLocked, availableFrom: pending.availableFrom,
              message: sent.message))
        }
        return messages
      }
    }
  }
}
