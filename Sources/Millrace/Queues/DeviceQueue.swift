internal import DeviceQueueing
public import EventModel
internal import LogFormat

/// The messages that wait for one device, in the order in which they were sent.
///
/// A message is delivered at least once: it is hidden while a receiver holds its lock, and comes
/// back to its own place when the lock runs out or the receiver abandons it, until it is completed,
/// rejected or expired. Messages that are hidden do not hold up younger ones.
public struct DeviceQueue: Sendable {
  /// The device.
  public let device: EventModel.DeviceID
  let store: EventStore

  /// Puts a message into the queue and returns its sequence number.
  ///
  /// *Durability*: returns when the message would survive a crash.
  ///
  /// - Throws: ``EventStoreError`` with `queueFull`, `limitExceeded`, `invalidArgument` (an expiry
  ///   time that has passed, a message id that is none), `storageFull`, `outcomeUnknown`,
  ///   `poisoned`, `readOnly` or `closed`.
  @discardableResult
  public func enqueue(_ message: DeviceMessage) async throws(EventStoreError) -> UInt64 {
    let core = try await store.writer().queues()
    var sending = QueueCore.SendingOne(message, to: device)
    try await core.carryOut(&sending)
    try await core.durable(sending)
    core.wakeReceivers(of: CollectionOfOne(device))
    return sending.number
  }

  /// Locks the first available messages and returns them; an empty queue gives none.
  ///
  /// Never waits for a message.
  ///
  /// - Parameters:
  ///   - max: how many at most.
  ///   - duration: time until the locks run out; what the store is configured with unless given.
  /// - Returns: the messages, in their order.
  /// - Throws: ``EventStoreError`` with `corrupt`, where messages are available and none can be
  ///   read, or as ``enqueue(_:)``.
  public func receive(
    max: Int, lockFor duration: Duration? = nil
  ) async throws(EventStoreError) -> [LockedMessage] {
    let core = try await store.writer().queues()
    return try await core.receive(by: device, max: max, lockFor: duration).readable()
  }

  /// The same, and which messages were passed over because they cannot be read.
  package func receiveReadable(
    max: Int, lockFor duration: Duration? = nil
  ) async throws(EventStoreError) -> QueueLook<[LockedMessage]> {
    let core = try await store.writer().queues()
    return try await core.receive(by: device, max: max, lockFor: duration)
  }

  /// Waits for a message that is available, locks it, and returns it.
  ///
  /// - Returns: nil when the store is closed or the task cancelled while it waits.
  public func receive(
    lockFor duration: Duration? = nil
  ) async throws(EventStoreError) -> Delivery? {
    guard let locked = try await receiveNext(lockFor: duration) else { return nil }
    return Delivery(message: locked, queue: self)
  }

  func receiveNext(lockFor duration: Duration?) async throws(EventStoreError) -> LockedMessage? {
    let core = try await store.writer().queues()
    while await core.waitForMessage(to: device) {
      let look = try await core.receive(by: device, max: 1, lockFor: duration)
      if let message = try look.readable().first { return message }
    }
    return nil
  }

  /// Every message as it becomes available, locked: new, abandoned, or its lock run out.
  ///
  /// Ends when the store is closed or the task cancelled.
  public func messages(lockFor duration: Duration? = nil) -> LockedMessages {
    LockedMessages(queue: self, duration: duration)
  }

  // MARK: Settling

  /// The device has done what the message says: it is gone, with feedback if asked for.
  ///
  /// *Durability*: once this returns the message is never delivered again.
  ///
  /// - Throws: ``EventStoreError`` with `lockLost`, then nothing has changed; or as
  ///   ``enqueue(_:)``.
  public func complete(_ token: LockToken) async throws(EventStoreError) {
    try await settle(token) { _ in .complete }
  }

  /// Gives the message back, available at once or after a delay; it becomes a dead letter if that
  /// was its last delivery.
  ///
  /// - Throws: as ``complete(_:)``.
  public func abandon(
    _ token: LockToken, delay: Duration = .zero
  ) async throws(EventStoreError) {
    try await settle(token, try QueueVerb.abandoning(after: delay))
  }

  /// The device will never do what the message says: it becomes a dead letter, with the reason.
  ///
  /// - Throws: as ``complete(_:)``; `limitExceeded` for a reason of more than 4,096 bytes.
  public func reject(
    _ token: LockToken, reason: String = ""
  ) async throws(EventStoreError) {
    try await settle(token, try QueueVerb.rejecting(reason))
  }

  private func settle(
    _ token: LockToken, _ verb: @escaping (QueueTime) -> QueueVerb
  ) async throws(EventStoreError) {
    let core = try await store.writer().queues()
    var settling = QueueCore.Settling(token, of: device, verb)
    try await core.carryOut(&settling)
    core.wakeReceivers(of: CollectionOfOne(device))
    try await core.durable(settling)
  }

  /// Completes many messages with one wait for the disk.
  ///
  /// - Returns: for each token whether it held its lock; those that did not have changed nothing.
  /// - Throws: ``EventStoreError`` as ``enqueue(_:)``.
  @discardableResult
  public func complete(
    contentsOf tokens: [LockToken]
  ) async throws(EventStoreError) -> [Bool] {
    try await store.complete(tokens.map { (device, $0) })
  }

  /// Gives a lock more time, from now.
  ///
  /// - Throws: ``EventStoreError`` with `lockLost`.
  public func renew(
    _ token: LockToken, for duration: Duration? = nil
  ) async throws(EventStoreError) {
    let core = try await store.writer().queues()
    try core.renew(token, of: device, for: duration)
  }

  /// Ends everything in the queue, locked messages too, with feedback where asked for.
  ///
  /// - Returns: how many messages that were.
  @discardableResult
  public func purge() async throws(EventStoreError) -> Int {
    let core = try await store.writer().queues()
    let device = device
    let purged = try await core.carryOut { table, _, _ in
      table.decidePurge(of: device).map { (device, $0) }
    }
    try await core.durable(purged)
    return purged.devices.count
  }

  /// The queue of a device that is gone: everything in it goes without feedback.
  public func remove() async throws(EventStoreError) {
    let core = try await store.writer().queues()
    let device = device
    let removed = try await core.carryOut { table, _, isBegun in
      guard !isBegun, table.counts(of: device) != nil else { return [] }
      return [(device, .deviceRemoved)]
    }
    try await core.durable(removed)
  }

  // MARK: Looking

  /// How many messages wait; nil for none.
  public func counts() async throws(EventStoreError) -> QueueSummary? {
    try await store.lookAtQueues(of: device).found.first
  }

  /// The first messages, without locking them.
  public func peek(max: Int = 1) async throws(EventStoreError) -> [QueuedMessage] {
    try await peekReadable(max: max).found
  }

  /// The same, and what of them cannot be read.
  package func peekReadable(
    max: Int
  ) async throws(EventStoreError) -> QueueLook<[QueuedMessage]> {
    try await store.peek(device, max: max)
  }
}

/// A delivery of one message, settled at most once: settling consumes it.
///
/// One that is dropped unsettled is available again when its lock has run out.
public struct Delivery: ~Copyable, Sendable {
  /// The message, and the token of its lock.
  public let message: LockedMessage
  let queue: DeviceQueue

  /// As ``DeviceQueue/complete(_:)``.
  public consuming func complete() async throws(EventStoreError) {
    try await queue.complete(message.lockToken)
  }

  /// As ``DeviceQueue/abandon(_:delay:)``.
  public consuming func abandon(delay: Duration = .zero) async throws(EventStoreError) {
    try await queue.abandon(message.lockToken, delay: delay)
  }

  /// As ``DeviceQueue/reject(_:reason:)``.
  public consuming func reject(reason: String = "") async throws(EventStoreError) {
    try await queue.reject(message.lockToken, reason: reason)
  }

  /// As ``DeviceQueue/renew(_:for:)``.
  public func renew(for duration: Duration? = nil) async throws(EventStoreError) {
    try await queue.renew(message.lockToken, for: duration)
  }
}

/// Locked messages of one device as they become available.
public struct LockedMessages: AsyncSequence, Sendable {
  /// One message.
  public typealias Element = LockedMessage
  /// What an iterator may throw.
  public typealias Failure = EventStoreError

  let queue: DeviceQueue
  let duration: Duration?

  /// Begins to receive.
  public func makeAsyncIterator() -> Iterator { Iterator(queue: queue, duration: duration) }

  /// Receives one message at a time.
  public struct Iterator: AsyncIteratorProtocol {
    let queue: DeviceQueue
    let duration: Duration?

    /// The next message; nil when the store is closed or the task cancelled.
    public mutating func next(
      isolation actor: isolated (any Actor)? = #isolation
    ) async throws(EventStoreError) -> LockedMessage? {
      try await queue.receiveNext(lockFor: duration)
    }
  }
}
