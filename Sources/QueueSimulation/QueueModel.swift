internal import EventModel

/// What the queues of all devices may and must hold, as plain arrays: the truth that a model-based
/// run compares the store with.
///
/// Every function that changes a message does what one entry of the journal does.
struct QueueModel: Hashable, Sendable {
  /// What holds for every queue.
  struct Rules: Hashable, Sendable {
    var depthMax: Int
    var sizeMax: Int
    var deliveryCountMax: Int
    var lockTimeoutsCount: Bool
  }

  struct Message: Hashable, Sendable {
    /// Tells messages apart, also those whose sender was never told a number.
    let key: Int
    let content: MessageContent
    let device: Int
    let enqueued: Int64
    let expiry: Int64
    let feedback: FeedbackMode
    /// Its number; nil where the sender was not told.
    var sequence: UInt64?
    var deliveryCount = 0
    var lock: Lock?
    var availableFrom: Int64?
  }

  struct Lock: Hashable, Sendable {
    /// Tells locks apart as tokens do.
    let id: Int
    /// By the steady clock.
    var deadline: Int64
  }

  /// How a message ended.
  struct Outcome: Hashable, Sendable {
    let message: Message
    let status: SettlementStatus
    let description: String
    let deliveryCount: Int

    init(_ message: Message, _ status: SettlementStatus, _ description: String? = nil) {
      self.message = message
      self.status = status
      self.description = description ?? status.name
      deliveryCount = message.deliveryCount
    }

    var givesFeedback: Bool { message.feedback.covers(status) }
  }

  let rules: Rules
  /// The messages of each device, the oldest first.
  var queues: [[Message]]
  /// What ended since the last change that is known to be durable.
  var ended: [Outcome] = []
  /// The numbers that dead letters had which were sent again.
  var sentAgain: Set<UInt64> = []
  /// The time of the last record of the journal.
  var lastTime: Int64?

  init(rules: Rules, deviceCount: Int) {
    self.rules = rules
    queues = Array(repeating: [], count: deviceCount)
  }

  var pendingCount: Int { queues.reduce(0) { $0 + $1.count } }
  var lockedCount: Int { queues.reduce(0) { $0 + $1.count { $0.lock != nil } } }

  func index(of key: Int, in device: Int) -> Int? {
    queues[device].firstIndex { $0.key == key }
  }

  // MARK: One entry each

  mutating func add(_ message: Message) { queues[message.device].append(message) }

  mutating func lock(_ key: Int, of device: Int, _ lock: Lock) {
    guard let index = index(of: key, in: device) else { return }
    queues[device][index].deliveryCount += 1
    queues[device][index].lock = lock
    queues[device][index].availableFrom = nil
  }

  mutating func giveBack(_ key: Int, of device: Int, availableFrom: Int64?) {
    guard let index = index(of: key, in: device) else { return }
    queues[device][index].lock = nil
    queues[device][index].availableFrom = availableFrom
  }

  mutating func settle(
    _ key: Int, of device: Int, _ status: SettlementStatus, _ description: String? = nil
  ) {
    guard let index = index(of: key, in: device) else { return }
    ended.append(Outcome(queues[device].remove(at: index), status, description))
  }

  /// A lock that runs out gives its message back, unless that was the last delivery.
  mutating func timeOut(_ key: Int, of device: Int) {
    guard let index = index(of: key, in: device) else { return }
    let count = max(0, queues[device][index].deliveryCount - (rules.lockTimeoutsCount ? 0 : 1))
    guard count < rules.deliveryCountMax else {
      return settle(key, of: device, .deliveryCountExceeded)
    }
    queues[device][index].deliveryCount = count
    queues[device][index].lock = nil
  }

  // MARK: Time

  /// What becomes of messages once a store has been opened: locks are void, time has passed.
  func reopened(at wall: Int64) -> Self {
    var model = self
    let locked = queues.joined().filter { $0.lock != nil }
    for message in locked { model.timeOut(message.key, of: message.device) }
    let due = model.due(at: wall, steady: .min)
    for message in due { model.settleDue(message, at: wall) }
    if !locked.isEmpty || !due.isEmpty { model.lastTime = max(lastTime ?? .min, wall) }
    return model
  }

  /// The messages to which time has done something that needs nobody to look: expired ones, up to
  /// a tick late, and locks that ran out.
  func due(at wall: Int64, steady: Int64) -> [Message] {
    queues.joined().filter { message in
      if Self.isSwept(message.expiry, at: wall) { return true }
      guard message.expiry > wall, let lock = message.lock else { return false }
      return lock.deadline <= steady
    }
  }

  mutating func settleDue(_ message: Message, at wall: Int64) {
    if message.expiry <= wall {
      settle(message.key, of: message.device, .expired)
    } else {
      timeOut(message.key, of: message.device)
    }
  }

  /// Whether a message is settled that expires at a time: at the tick behind it.
  private static func isSwept(_ expiry: Int64, at wall: Int64) -> Bool {
    let tick = QueueOperation.tick
    return (max(1, expiry) - 1) / tick + 1 <= wall / tick
  }
}

/// What a message carries: everything else of it follows from these.
struct MessageContent: Hashable, Sendable {
  let serial: UInt64
  let size: Int

  private static let propertySets: [Properties] = [
    .empty, ["unit": "C"], ["unit": "F", "kind": "test"],
  ]

  var id: String { "m\(serial)" }
  var properties: Properties { Self.propertySets[Int(serial % 3)] }

  /// The serial number, then bytes that compress or do not.
  var body: [UInt8] {
    var body = (0..<8).map { UInt8(truncatingIfNeeded: serial >> (8 * $0)) }
    var value = serial &* 0x9e37_79b9_7f4a_7c15 | 1
    for _ in 0..<size {
      if serial % 2 == 1 {
        value ^= value << 13
        value ^= value >> 7
        value ^= value << 17
      }
      body.append(UInt8(truncatingIfNeeded: value >> 32))
    }
    return body
  }

  var generationID: String? { serial % 5 == 0 ? "g\(serial)" : nil }

  /// The message as its sender hands it over.
  func message() throws -> DeviceMessage {
    DeviceMessage(
      id: try MessageID(id), body: Payload(body), generationID: generationID,
      properties: properties)
  }

  /// What the message counts against the limits: body, system properties and properties.
  var messageSize: Int {
    8 + size + id.utf8.count + (generationID?.utf8.count ?? 0) + properties.size
  }
}
