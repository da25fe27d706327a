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
  /// Decides whether a message of so many bytes may join a queue.
  func decideEnqueue(
    _ message: borrowing DeviceMessage, size: Int, to device: borrowing EventModel.DeviceID,
    _ table: borrowing QueueTable, at time: QueueTime
  ) throws(EventStoreError) -> JournalEntry.Enqueued {
    guard size <= Limits.messageSizeMax else {
      throw .limit(LimitExceeded("message size", maximum: Limits.messageSizeMax, value: size))
    }
    if !message.systemProperties.isEmpty { try EventLimits.check(message.systemProperties) }
    let expiry: Timestamp
    if let expiryTime = message.expiryTime {
      expiry = expiryTime
    } else {
      expiry = try self.expiry(after: message.timeToLive, from: time.wall)
    }
    do throws(QueueRejection) {
      return try table.decideEnqueue(
        to: device, size: size, expiry: expiry, feedback: message.feedback ?? defaults.feedback,
        at: time)
    } catch {
      throw EventStoreError(error)
    }
  }

  private func expiry(
    after timeToLive: Duration?, from time: Timestamp
  ) throws(EventStoreError) -> Timestamp {
    // The usual one was checked when the store was opened.
    guard let timeToLive else {
      let (sum, overflow) = time.microseconds.addingReportingOverflow(usualLife)
      return Timestamp(microseconds: overflow ? .max : sum)
    }
    try timeToLive.check(asA: "time to live")
    return time.advanced(by: timeToLive)
  }

  /// Locks the first messages that are available, and reads them.
  ///
  /// Where none of them can be read the next ones are: those stay locked, and their deliveries
  /// count.
  func receive(
    by device: EventModel.DeviceID, max: Int, lockFor duration: Duration?
  ) async throws(EventStoreError) -> QueueLook<[LockedMessage]> {
    var look = QueueLook<[LockedMessage]>(found: [])
    while true {
      var work = try receiving(by: device, max: max, lockFor: duration)
      try await carryOut(&work)
      // What has been read lately needs no thread that may wait for the disk.
      if let messages = keptMessages(work) {
        look.found = messages
        return look
      }
      let (received, before) = (work, look)
      look = try await readers.offload { [self] () throws(EventStoreError) in
        try read(received, after: before)
      }
      if Self.isDone(look, after: before) { return look }
    }
  }

  /// The same for threads that may block.
  func receiveBlocking(
    by device: EventModel.DeviceID, max: Int, lockFor duration: Duration?
  ) throws(EventStoreError) -> QueueLook<[LockedMessage]> {
    var look = QueueLook<[LockedMessage]>(found: [])
    while true {
      var work = try receiving(by: device, max: max, lockFor: duration)
      try carryOutBlocking(&work)
      let before = look
      look = try read(work, after: before)
      if Self.isDone(look, after: before) { return look }
    }
  }

  /// Whether something was found, or nothing is left to pass over: one that comes again, because
  /// its lock was that short, ends it too.
  private static func isDone(
    _ look: QueueLook<[LockedMessage]>, after before: QueueLook<[LockedMessage]>
  ) -> Bool {
    !look.found.isEmpty || look.damages.count == before.damages.count
  }

  private func receiving(
    by device: EventModel.DeviceID, max: Int, lockFor duration: Duration?
  ) throws(EventStoreError) -> Receiving {
    try duration?.check(asA: "lock duration")
    return Receiving(by: device, max: max, for: duration?.microseconds ?? usualLock)
  }

  /// Reads the messages that have been locked.
  ///
  /// Blocks for the disk.
  private func read(
    _ work: Receiving, after before: QueueLook<[LockedMessage]>
  ) throws(EventStoreError) -> QueueLook<[LockedMessage]> {
    var look = before
    look.found = work.messages
    if work.unread.isEmpty { return look }
    for locked in work.unread {
      var damage = QueueDamage.message(locked.sequence, work.device)
      do throws(EventStoreError) {
        if let sent = try message(locked.sequence, to: work.device) {
          look.found.append(LockedMessage(locked, work.device, sent))
          continue
        }
      } catch {
        guard error.isOutOfReach else { throw error }
        if error.code == .unsupportedVersion { damage = .later(work.device) }
      }
      // One that is damaged keeps nobody from the others; it ends by its deliveries or its expiry.
      if !look.damages.contains(damage) { look.damages.append(damage) }
    }
    look.found.sort { $0.sequenceNumber < $1.sequenceNumber }
    return look
  }

  /// The messages that have been locked, as far as none has to be read; nil where one has.
  private func keptMessages(_ work: Receiving) -> [LockedMessage]? {
    if work.unread.isEmpty { return work.messages }
    var messages = work.messages
    for locked in work.unread {
      guard let sent = reader.journal.keptRecord(locked.sequence)?.sent else { return nil }
      messages.append(LockedMessage(locked, work.device, sent))
    }
    return messages.sorted { $0.sequenceNumber < $1.sequenceNumber }
  }

  /// Settles what is due, and returns when everything decided so far is durable.
  func settleDue() async throws(EventStoreError) {
    while true {
      let settled = try await carryOut { table, time, isBegun in
        isBegun ? [] : table.decideDue(at: time, max: 256)
      }
      wakeReceivers(of: settled.devices)
      guard !settled.devices.isEmpty else { break }
    }
    // The timer's thread may have been faster, so that this is not the last change of ours.
    try await journal.wait(upTo: journal.nextNumber, .durable)
  }

  func renew(
    _ token: LockToken, of device: EventModel.DeviceID, for duration: Duration?
  ) throws(EventStoreError) {
    try duration?.check(asA: "lock duration")
    let microseconds = duration?.microseconds ?? usualLock
    try state.withLock { (state) throws(EventStoreError) in
      guard !state.isClosed else { throw .isClosed }
      do throws(QueueRejection) {
        try state.table.renew(
          token, of: device, for: microseconds, at: clock.now())
      } catch {
        throw EventStoreError(error)
      }
    }
  }
}

extension QueueLook<[LockedMessage]> {
  /// The messages.
  ///
  /// - Throws: ``EventStoreError`` with `corrupt` where there are some and none can be read.
  func readable() throws(EventStoreError) -> [LockedMessage] {
    if found.isEmpty, let damage = damages.first { throw EventStoreError(.corrupt, "\(damage)") }
    return found
  }
}

extension LockedMessage {
  init(
    _ locked: QueueCore.Receiving.Locked, _ device: EventModel.DeviceID, _ sent: SentMessage
  ) {
    self.init(
      device: device, sequenceNumber: locked.sequence, enqueuedTime: sent.enqueued,
      expiryTime: sent.expiry, deliveryCount: locked.deliveryCount, lockToken: locked.token,
      message: sent.message)
  }
}

extension Duration {
  /// Whole microseconds; it must be one that was checked.
  var microseconds: Int64 {
    components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000
  }
}
