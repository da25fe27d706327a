internal import CommitLog
internal import DeviceQueueing
internal import EventModel
internal import LogFormat
internal import Synchronization

extension EventStore.Queues {
  var rules: QueueRules {
    QueueRules(
      depthMax: depthMax, sizeMax: sizeMax?.bytes ?? depthMax * Limits.messageSizeMax,
      deliveryCountMax: deliveryCountMax, lockTimeoutsCount: lockTimeoutsCount)
  }
}

extension QueueCore {
  /// Decides whether a message may join a queue.
  func decideEnqueue(
    _ message: DeviceMessage, to device: EventModel.DeviceID, _ table: borrowing QueueTable,
    at time: QueueTime
  ) throws(EventStoreError) -> Decision {
    guard message.size <= Limits.messageSizeMax else {
      throw .limit(
        LimitExceeded("message size", maximum: Limits.messageSizeMax, value: message.size))
    }
    if !message.systemProperties.isEmpty { try EventLimits.check(message.systemProperties) }
    let timeToLive = message.timeToLive ?? defaults.timeToLive
    if message.expiryTime == nil { try timeToLive.check(asA: "time to live") }
    let expiry = message.expiryTime ?? time.wall.advanced(by: timeToLive)
    do throws(QueueRejection) {
      let entry = try table.decideEnqueue(
        to: device, size: message.size, expiry: expiry,
        feedback: message.feedback ?? defaults.feedback, at: time)
      return Decision(device: device, entry: entry, message: message)
    } catch {
      throw EventStoreError(error)
    }
  }

  /// Locks the first messages that are available, and reads them.
  func receive(
    by device: EventModel.DeviceID, max: Int, lockFor duration: Duration?
  ) async throws(EventStoreError) -> [LockedMessage] {
    let applied = try await carryOut(try receiving(by: device, max: max, lockFor: duration))
    guard !applied.isEmpty else { return [] }
    return try await readers.offload { [self] () throws(EventStoreError) in
      try read(applied)
    }
  }

  /// The same for threads that may block.
  func receiveBlocking(
    by device: EventModel.DeviceID, max: Int, lockFor duration: Duration?
  ) throws(EventStoreError) -> [LockedMessage] {
    try read(try carryOutBlocking(try receiving(by: device, max: max, lockFor: duration)))
  }

  private func receiving(
    by device: EventModel.DeviceID, max: Int, lockFor duration: Duration?
  ) throws(EventStoreError) -> Plan {
    let duration = duration ?? defaults.lockDuration
    try duration.check(asA: "lock duration")
    return { [journal] table, time, applied in
      guard max > 0, applied.isEmpty else { return [] }
      return table.decideReceive(
        by: device, max: max, for: duration.microseconds, below: journal.durableNumber, at: time
      ).map { Decision(device: device, entry: $0) }
    }
  }

  /// Reads the messages that have been locked.
  ///
  /// Blocks for the disk.
  private func read(_ applied: [Applied]) throws(EventStoreError) -> [LockedMessage] {
    var messages: [LockedMessage] = []
    var unreadable: UInt64?
    for one in applied {
      guard case .locked(let locked) = one.entry, let token = one.token else { continue }
      guard let sent = try message(locked.sequence, to: one.device) else {
        unreadable = unreadable ?? locked.sequence
        continue
      }
      messages.append(
        LockedMessage(
          device: one.device, sequenceNumber: locked.sequence, enqueuedTime: sent.enqueued,
          expiryTime: sent.expiry, deliveryCount: locked.deliveryCount, lockToken: token,
          message: sent.message))
    }
    // One that is damaged keeps nobody from the others; it ends by its deliveries or its expiry.
    if messages.isEmpty, let unreadable {
      throw EventStoreError(
        .corrupt,
        "message \(unreadable) to \(applied[0].device) cannot be read; run `millrace fsck` on the "
          + "store")
    }
    return messages
  }

  /// Settles what is due, and returns when everything decided so far is durable.
  func settleDue() async throws(EventStoreError) {
    while true {
      let applied = try await carryOut { table, time, applied in
        applied.isEmpty ? table.decideDue(at: time, max: 256).map { Decision($0) } : []
      }
      wakeReceivers(of: applied.map(\.device))
      guard !applied.isEmpty else { break }
    }
    // The timer's thread may have been faster, so that this is not the last change of ours.
    try await journal.wait(upTo: journal.nextNumber, .durable)
  }

  func renew(
    _ token: LockToken, of device: EventModel.DeviceID, for duration: Duration?
  ) throws(EventStoreError) {
    let duration = duration ?? defaults.lockDuration
    try duration.check(asA: "lock duration")
    try state.withLock { (state) throws(EventStoreError) in
      guard !state.isClosed else { throw .isClosed }
      do throws(QueueRejection) {
        try state.table.renew(
          token, of: device, for: duration.microseconds, at: clock.now())
      } catch {
        throw EventStoreError(error)
      }
    }
  }
}

extension Duration {
  /// Whole microseconds; it must be one that was checked.
  fileprivate var microseconds: Int64 {
    components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000
  }
}
