internal import DeviceQueueing
public import EventModel
internal import LogFormat

/// Sends, receives and settles messages from a thread that may block.
///
/// One owner; make one for each thread.
///
/// The calling thread writes and syncs by itself where no other does: it leads its group. So one
/// durable operation costs a write and a sync, and no change of threads. Not for tasks: a blocked
/// cooperative thread serves nobody else; they have ``DeviceQueue``.
///
/// ```swift
/// let queues = try store.makeBlockingQueues()
/// try queues.enqueue(DeviceMessage(body: "21.5"), to: "thermostat-17")
/// for message in try queues.receive(by: "thermostat-17", max: 10) {
///   try queues.complete(message.lockToken, of: message.device)
/// }
/// ```
public struct BlockingQueues: ~Copyable {
  private let core: QueueCore
  private let wait = BlockingWait()

  init(_ core: QueueCore) { self.core = core }

  // MARK: Sending

  /// Puts a message into a device's queue and returns its sequence number.
  ///
  /// *Durability*: returns when the message would survive a crash.
  ///
  /// - Throws: ``EventStoreError`` as ``DeviceQueue/enqueue(_:)``.
  @discardableResult
  public func enqueue(
    _ message: DeviceMessage, to device: EventModel.DeviceID
  ) throws(EventStoreError) -> UInt64 {
    var sending = QueueCore.SendingOne(message, to: device)
    try core.carryOutBlocking(&sending)
    try core.lead(sending, wait)
    core.wakeReceivers(of: CollectionOfOne(device))
    return sending.number
  }

  /// Puts messages into the queues of any devices with one wait for the disk.
  ///
  /// Stops at the first one that is refused; those before it stay.
  ///
  /// *Durability*: returns when every message that was accepted would survive a crash.
  ///
  /// - Throws: ``EventStoreError`` as ``EventStore/enqueue(_:)``; a message that is refused is told
  ///   in the outcome.
  public func enqueue(
    _ messages: some Collection<(EventModel.DeviceID, DeviceMessage)>
  ) throws(EventStoreError) -> EnqueueOutcome {
    var sending = QueueCore.Sending(Array(messages))
    do throws(EventStoreError) {
      try core.carryOutBlocking(&sending)
    } catch {
      try sending.refuse(by: error)
    }
    try core.lead(sending, wait)
    core.wakeReceivers(of: sending.devices)
    return sending.outcome
  }

  // MARK: Receiving

  /// Locks a device's first available messages and returns them; an empty queue gives none.
  ///
  /// Waits for no message.
  ///
  /// - Parameters:
  ///   - device: who receives.
  ///   - max: how many at most.
  ///   - duration: time until the locks run out; what the store is configured with unless given.
  /// - Returns: the messages, in their order.
  /// - Throws: ``EventStoreError`` as ``DeviceQueue/receive(max:lockFor:)``.
  public func receive(
    by device: EventModel.DeviceID, max: Int, lockFor duration: Duration? = nil
  ) throws(EventStoreError) -> [LockedMessage] {
    try core.receiveBlocking(by: device, max: max, lockFor: duration).readable()
  }

  // MARK: Settling

  /// The device has done what the message says: it is gone, with feedback if asked for.
  ///
  /// *Durability*: once this returns the message is never delivered again.
  ///
  /// - Throws: ``EventStoreError`` as ``DeviceQueue/complete(_:)``.
  public func complete(
    _ token: LockToken, of device: EventModel.DeviceID
  ) throws(EventStoreError) {
    try settle(token, of: device) { _ in .complete }
  }

  /// Gives the message back, available at once or after a delay.
  ///
  /// - Throws: ``EventStoreError`` as ``DeviceQueue/abandon(_:delay:)``.
  public func abandon(
    _ token: LockToken, of device: EventModel.DeviceID, delay: Duration = .zero
  ) throws(EventStoreError) {
    try settle(token, of: device, try QueueVerb.abandoning(after: delay))
  }

  /// The device will never do what the message says: it becomes a dead letter, with the reason.
  ///
  /// - Throws: ``EventStoreError`` as ``DeviceQueue/reject(_:reason:)``.
  public func reject(
    _ token: LockToken, of device: EventModel.DeviceID, reason: String = ""
  ) throws(EventStoreError) {
    try settle(token, of: device, try QueueVerb.rejecting(reason))
  }

  private func settle(
    _ token: LockToken, of device: EventModel.DeviceID, _ verb: @escaping (QueueTime) -> QueueVerb
  ) throws(EventStoreError) {
    var settling = QueueCore.Settling(token, of: device, verb)
    try core.carryOutBlocking(&settling)
    core.wakeReceivers(of: CollectionOfOne(device))
    try core.lead(settling, wait)
  }

  /// Completes messages of any devices with one wait for the disk.
  ///
  /// - Returns: for each whether the token held its lock; those that did not have changed nothing.
  /// - Throws: ``EventStoreError`` as ``EventStore/complete(_:)``.
  @discardableResult
  public func complete(
    _ deliveries: [(device: EventModel.DeviceID, token: LockToken)]
  ) throws(EventStoreError) -> [Bool] {
    var completing = QueueCore.Completing(deliveries)
    try core.carryOutBlocking(&completing)
    try core.lead(completing, wait)
    return completing.done
  }
}

extension EventStore {
  /// The queues of all devices, for one thread that may block.
  ///
  /// Blocks where the queues have not been used yet.
  ///
  /// - Throws: ``EventStoreError`` with `readOnly`, `closed`, or what reading the journal throws.
  public func makeBlockingQueues() throws(EventStoreError) -> BlockingQueues {
    BlockingQueues(try writer().queuesBlocking())
  }
}
