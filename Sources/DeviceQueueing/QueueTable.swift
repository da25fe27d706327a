package import EventModel

/// The queues of all devices: a pure state machine that decides what may be done and applies what
/// was written to the journal, live and in recovery alike.
///
/// Holds what deciding needs and no message: about 120 bytes for a device with one pending message
/// and nothing for others. Whoever owns it applies entries in the order of their numbers.
package struct QueueTable: ~Copyable, Sendable {
  package let rules: QueueRules
  var nodes = Slab<QueueNode>()
  var slots = Slab<QueueSlot>()
  var names = DeviceNames()
  var index = SlotIndex()
  var wheel = ExpiryWheel()
  /// Voided by a restart.
  var locks = LockTable()
  /// By sequence number: when a message is available again.
  var delays: [UInt64: Delay] = [:]
  /// Ends of locks, some of them void by now.
  var lockEnds = DeadlineHeap()
  /// Ends of delays, some of them void by now.
  var delayEnds = DeadlineHeap()
  /// Queue files whose every message is gone.
  var emptied: [QueueFile] = []
  /// Whether a message that a queue file holds has changed or is gone since the directory of those
  /// files was made.
  package internal(set) var isDirectoryStale = false
  /// The highest number of a message that came from a queue file; nil for none.
  package internal(set) var lastLoaded: UInt64?
  /// Makes nonces that no earlier opening has given out.
  private var nonceState: UInt64

  struct Delay {
    let place: UInt32
    let availableFrom: Timestamp
  }

  /// A table without messages.
  ///
  /// - Parameters:
  ///   - rules: what holds for every queue.
  ///   - key: random, another one at each opening.
  package init(rules: QueueRules, key: UInt64) {
    self.rules = rules
    nonceState = key
  }

  // MARK: Looking

  /// Devices with pending messages.
  package var deviceCount: Int { slots.count }
  /// Messages that wait.
  package var messageCount: Int { nodes.count }
  package var lockedCount: Int { locks.count }

  package func counts(of device: DeviceID) -> QueueCounts? {
    guard let slot = find(device) else { return nil }
    return counts(of: slot)
  }

  private func counts(of slot: UInt32) -> QueueCounts {
    let queue = slots[slot]
    let first = nodes[queue.first]
    return QueueCounts(
      pending: Int(queue.count), locked: Int(queue.lockedCount), size: queue.size,
      first: first.sequence, checkpoint: first.checkpoint)
  }

  /// The messages of a device, the oldest first.
  package func messages(of device: DeviceID, max: Int = .max) -> [PendingMessage] {
    find(device).map { messages(in: $0, max: max) } ?? []
  }

  func messages(in slot: UInt32, max: Int) -> [PendingMessage] {
    var messages: [PendingMessage] = []
    var place = slots[slot].first
    while place != noPlace, messages.count < max {
      messages.append(message(at: place))
      place = nodes[place].next
    }
    return messages
  }

  /// Every device with pending messages, in no order.
  package func forEachDevice(_ body: (DeviceID, QueueCounts) -> Void) {
    index.forEach { slot in body(names.device(at: slots[slot].name), counts(of: slot)) }
  }

  func message(at place: UInt32) -> PendingMessage {
    let node = nodes[place]
    return PendingMessage(
      sequence: node.sequence, expiry: node.expiry, size: Int(node.size),
      feedback: node.feedback, deliveryCount: Int(node.deliveryCount), isLocked: node.isLocked,
      availableFrom: delays[node.sequence]?.availableFrom,
      checkpoint: node.checkpoint)
  }

  /// When ``decideDue(at:max:)`` has to be asked again at the latest.
  package func nextDue(at time: QueueTime) -> QueueTime {
    QueueTime(
      wall: min(
        wheel.nextTime ?? Timestamp(microseconds: .max),
        Timestamp(microseconds: delayEnds.first?.time ?? .max)),
      steady: lockEnds.first?.time ?? .max)
  }

  // MARK: Finding

  func find(_ device: borrowing DeviceID) -> UInt32? {
    index.find(hash: device.hash) { isSlot($0, of: device) }
  }

  func isSlot(_ slot: UInt32, of device: borrowing DeviceID) -> Bool {
    slots[slot].hash == device.hash && names.isEqual(slots[slot].name, to: device)
  }

  /// Where a message stands, searched from both ends.
  func find(_ sequence: UInt64, in slot: UInt32) -> UInt32? {
    var (front, back) = (slots[slot].first, slots[slot].last)
    while front != noPlace, back != noPlace {
      if nodes[front].sequence == sequence { return front }
      if nodes[back].sequence == sequence { return back }
      guard nodes[front].sequence < sequence, nodes[back].sequence > sequence else { return nil }
      front = nodes[front].next
      back = nodes[back].previous
    }
    return nil
  }

  mutating func makeNonce() -> UInt64 {
    // SplitMix64: all distinct, and unlike those that another key makes.
    nonceState &+= 0x9E37_79B9_7F4A_7C15
    var value = nonceState
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }
}
