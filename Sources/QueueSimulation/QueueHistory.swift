package import EventModel
internal import Synchronization

/// What one caller asked of a device's queue, and what it was told.
package struct QueueCall: Hashable, Sendable {
  /// A delivery as its receiver saw it.
  package struct Delivery: Hashable, Sendable {
    package var token: LockToken
    package var deliveryCount: Int

    package init(_ token: LockToken, deliveryCount: Int) {
      self.token = token
      self.deliveryCount = deliveryCount
    }
  }

  package enum Verb: Hashable, Sendable, CaseIterable {
    case complete
    case abandon
    case reject
  }

  package enum Operation: Hashable, Sendable {
    /// A message takes its place; one that is not durable yet has it and is not delivered.
    case enter(UInt64)
    /// A message is there for receivers: the other half of sending it.
    case appear(UInt64)
    /// A message was refused since the queue is full.
    case refuse
    case receive(max: Int, [Delivery])
    case settle(LockToken, Verb, succeeded: Bool)
    case purge(count: Int)
    case count(pending: Int, locked: Int)
  }

  package var operation: Operation
  /// A place in the order of all beginnings and ends.
  package var begin: Int
  package var end: Int

  package init(_ operation: Operation, begin: Int, end: Int) {
    self.operation = operation
    self.begin = begin
    self.end = end
  }
}

/// Who asked what of which queue, when, and what they were told.
package final class QueueHistory: Sendable {
  private struct State {
    var time = 0
    var calls: [DeviceID: [QueueCall]] = [:]
  }

  private let state = Mutex(State())

  package init() {}

  /// The next place in the order of all beginnings and ends.
  package func takeTime() -> Int {
    state.withLock { state in
      state.time += 1
      return state.time
    }
  }

  /// A call has ended now; a call that did several things at once did them in any order.
  package func end(
    _ operations: [QueueCall.Operation], on device: DeviceID, begin: Int
  ) {
    state.withLock { state in
      state.time += 1
      let end = state.time
      state.calls[device, default: []] += operations.map {
        QueueCall($0, begin: begin, end: end)
      }
    }
  }

  /// The calls of each device.
  package var calls: [DeviceID: [QueueCall]] { state.withLock { $0.calls } }
}

/// A device's queue as it would be if one call came after the other: what histories of concurrent
/// calls are compared with.
package struct QueueSpecification: Hashable, Sendable {
  private struct Message: Hashable, Sendable {
    let sequence: UInt64
    var hasAppeared = false
    var deliveryCount = 0
    var token: LockToken?
  }

  private let depthMax: Int
  private let deliveryCountMax: Int
  private var messages: [Message] = []
  private var last: UInt64?
  /// Messages that were purged before they appeared.
  private var vanished: Set<UInt64> = []

  package init(depthMax: Int, deliveryCountMax: Int) {
    self.depthMax = depthMax
    self.deliveryCountMax = deliveryCountMax
  }

  /// Does what a call did.
  ///
  /// - Returns: false where the call cannot have been told that.
  package mutating func take(_ operation: QueueCall.Operation) -> Bool {
    switch operation {
    case .enter(let sequence):
      guard messages.count < depthMax, last.map({ $0 < sequence }) ?? true else { return false }
      last = sequence
      messages.append(Message(sequence: sequence))
      return true
    case .appear(let sequence): return appear(sequence)
    case .refuse: return messages.count >= depthMax
    case .receive(let max, let deliveries): return receive(max, deliveries)
    case .settle(let token, let verb, let succeeded):
      guard let index = messages.firstIndex(where: { $0.token == token }) else {
        return !succeeded
      }
      guard succeeded else { return false }
      if verb == .abandon, messages[index].deliveryCount < deliveryCountMax {
        messages[index].token = nil
      } else {
        messages.remove(at: index)
      }
      return true
    case .purge(let count):
      guard count == messages.count else { return false }
      vanished.formUnion(messages.filter { !$0.hasAppeared }.map(\.sequence))
      messages = []
      return true
    case .count(let pending, let locked):
      return pending == messages.count && locked == messages.count { $0.token != nil }
    }
  }

  /// Those that have taken their places appear in that order.
  private mutating func appear(_ sequence: UInt64) -> Bool {
    if vanished.remove(sequence) != nil { return true }
    guard let index = messages.firstIndex(where: { !$0.hasAppeared }),
      messages[index].sequence == sequence
    else { return false }
    messages[index].hasAppeared = true
    return true
  }

  private mutating func receive(_ max: Int, _ deliveries: [QueueCall.Delivery]) -> Bool {
    var taken = 0
    for index in messages.indices where taken < max {
      guard messages[index].hasAppeared, messages[index].token == nil else { continue }
      guard taken < deliveries.count else { return false }
      let delivery = deliveries[taken]
      messages[index].deliveryCount += 1
      guard delivery.token.sequenceNumber == messages[index].sequence,
        delivery.deliveryCount == messages[index].deliveryCount
      else { return false }
      messages[index].token = delivery.token
      taken += 1
    }
    return taken == deliveries.count
  }
}
