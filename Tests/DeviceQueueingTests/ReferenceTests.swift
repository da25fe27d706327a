import DeviceQueueing
import EventModel
import LogFormat
import SimulationKit
import Testing

/// The table beside a reference that is as plain as can be: one array of messages.
@Suite("Queues beside a plain reference")
struct ReferenceTests {
  private struct Message {
    var sequence: UInt64
    var device: DeviceID
    var size: Int
    var expiry: Int64
    var count = 0
    var lock: (token: LockToken, deadline: Int64)?
    var availableFrom: Int64 = .min
  }

  private struct Run: ~Copyable {
    var random: SeededRandom
    var queues: TestQueues
    let rules: QueueRules
    var messages: [Message] = []
    var tokens: [(token: LockToken, device: DeviceID)] = []

    init(seed: UInt64) {
      random = SeededRandom(seed: seed)
      rules = QueueRules(
        depthMax: 1 + random.below(12), sizeMax: 100 + random.below(400),
        deliveryCountMax: 1 + random.below(4), lockTimeoutsCount: random.chance(percent: 50))
      queues = TestQueues(rules, key: seed)
    }

    var wall: Int64 { queues.time.wall.microseconds }
    var steady: Int64 { queues.time.steady }

    mutating func device() throws -> DeviceID { try DeviceID("device-\(random.below(6))") }

    mutating func step() throws {
      switch random.below(10) {
      case 0...2: try enqueue()
      case 3...4: try receive()
      case 5...6: try settle()
      case 7: queues.pass(Double(random.below(40)) / 4)
      case 8: try expire()
      default: try rare()
      }
    }

    mutating func enqueue() throws {
      let device = try device()
      let size = random.below(60)
      let live = random.below(100) - 2
      let own = messages.filter { $0.device == device }
      let total = own.reduce(0) { $0 + $1.size } + size
      do throws(QueueRejection) {
        let sequence = try queues.enqueue(to: device, size: size, timeToLive: Double(live))
        #expect(live > 0 && own.count < rules.depthMax && total <= rules.sizeMax)
        messages.append(
          Message(
            sequence: sequence, device: device, size: size,
            expiry: wall + Int64(live) * TestQueues.second))
      } catch {
        switch error {
        case .expired: #expect(live <= 0)
        case .full(let depth, _): #expect(depth == own.count && depth >= rules.depthMax)
        case .sizeExceeded(let size, _): #expect(size == total && total > rules.sizeMax)
        case .lockLost: Issue.record("\(error)")
        }
      }
    }

    /// Ends the lock of a message; false if that ended the message.
    mutating func timeOut(_ index: Int) -> Bool {
      messages[index].lock = nil
      if !rules.lockTimeoutsCount { messages[index].count -= 1 }
      return messages[index].count < rules.deliveryCountMax
    }

    mutating func receive() throws {
      let device = try device()
      let max = 1 + random.below(4)
      let seconds = random.below(20)
      var expected: [UInt64] = []
      var ended: [UInt64] = []
      for index in messages.indices where messages[index].device == device {
        guard expected.count < max else { break }
        let message = messages[index]
        if message.expiry <= wall {
          ended.append(message.sequence)
          continue
        }
        if let lock = message.lock {
          guard lock.deadline <= steady else { continue }
          guard timeOut(index) else {
            ended.append(message.sequence)
            continue
          }
        } else if message.availableFrom > wall {
          continue
        }
        expected.append(message.sequence)
      }
      let (fresh, entries) = queues.receive(by: device, max: max, seconds: Double(seconds))
      #expect(entries.locked == expected)
      #expect(fresh.map(\.sequenceNumber) == expected)
      messages.removeAll { ended.contains($0.sequence) }
      for token in fresh {
        guard let index = messages.firstIndex(where: { $0.sequence == token.sequenceNumber })
        else { continue }
        messages[index].count += 1
        messages[index].availableFrom = .min
        messages[index].lock = (token, steady + Int64(seconds) * TestQueues.second)
        tokens.append((token, device))
      }
    }

    mutating func settle() throws {
      guard !tokens.isEmpty else { return }
      let (token, owner) = tokens[random.below(tokens.count)]
      let device = random.chance(percent: 95) ? owner : try self.device()
      let index = messages.firstIndex {
        $0.lock?.token == token && $0.device == device && $0.lock?.deadline ?? 0 > steady
          && $0.expiry > wall
      }
      let delay = Int64(random.below(3)) * 4 * TestQueues.second
      let verb: QueueVerb
      switch random.below(4) {
      case 0: verb = .abandon(availableFrom: Timestamp(microseconds: wall + delay))
      case 1: verb = .reject(reason: "no")
      case 2:
        let renewed = Int64(random.below(30)) * TestQueues.second
        let deadline = steady + renewed
        do throws(QueueRejection) {
          try queues.table.renew(token, of: device, for: renewed, at: queues.time)
          if let index { messages[index].lock?.deadline = deadline }
          #expect(index != nil)
        } catch {
          #expect(index == nil)
        }
        return
      default: verb = .complete
      }
      do throws(QueueRejection) {
        let entry = try queues.settle(token, verb, of: device)
        guard let index else {
          Issue.record("settled without a lock")
          return
        }
        if case .returned = entry {
          #expect(messages[index].count < rules.deliveryCountMax)
          messages[index].lock = nil
          messages[index].availableFrom = delay == 0 ? .min : wall + delay
        } else {
          messages.remove(at: index)
        }
      } catch {
        #expect(index == nil && error == .lockLost(sequence: token.sequenceNumber))
      }
    }

    mutating func expire() throws {
      let ended = Set(queues.expire().compactMap(\.settledSequence))
      var expected: Set<UInt64> = []
      for index in messages.indices {
        let message = messages[index]
        // The wheel may be a tick late.
        if message.expiry + 1 << 20 <= wall || ended.contains(message.sequence) {
          #expect(
            message.expiry <= wall
              || (message.lock?.deadline ?? .max <= steady
                && message.count - (rules.lockTimeoutsCount ? 0 : 1) >= rules.deliveryCountMax)
          )
          expected.insert(message.sequence)
        } else if message.expiry > wall, let lock = message.lock, lock.deadline <= steady,
          !timeOut(index)
        {
          expected.insert(message.sequence)
        }
      }
      #expect(ended == expected)
      messages = messages.filter { !ended.contains($0.sequence) }
    }

    mutating func rare() throws {
      let device = try device()
      switch random.below(4) {
      case 0:
        let entries = queues.table.decidePurge(of: device)
        #expect(
          entries.compactMap(\.settledSequence)
            == messages.filter { $0.device == device }.map(\.sequence))
        for entry in entries { queues.apply(entry, to: device) }
        messages.removeAll { $0.device == device }
      case 1:
        queues.apply(.deviceRemoved, to: device)
        messages.removeAll { $0.device == device }
      default:
        try compare()
      }
    }

    /// The table, and one that has applied the journal anew, hold what the reference holds.
    func compare() throws {
      let replayed = queues.replayed()
      #expect(queues.table.messageCount == messages.count)
      #expect(replayed.messageCount == messages.count)
      #expect(queues.table.deviceCount == Set(messages.map(\.device)).count)
      #expect(queues.table.lockedCount == messages.count { $0.lock != nil })
      for number in 0..<6 {
        let device = try DeviceID("device-\(number)")
        let own = messages.filter { $0.device == device }
        let held = queues.table.messages(of: device)
        #expect(held.map(\.sequence) == own.map(\.sequence))
        #expect(held.map(\.deliveryCount) == own.map(\.count))
        #expect(held.map(\.isLocked) == own.map { $0.lock != nil })
        #expect(held == replayed.messages(of: device))
        let counts = queues.table.counts(of: device)
        #expect(counts?.pending ?? 0 == own.count)
        #expect(counts?.locked ?? 0 == own.count { $0.lock != nil })
        #expect(counts?.size ?? 0 == own.reduce(0) { $0 + $1.size })
      }
    }
  }

  @Test("Random operations give what the reference gives", arguments: 1...12)
  func operations(seed: UInt64) throws {
    var run = Run(seed: seed)
    for _ in 0..<1_500 { try run.step() }
    try run.compare()
  }
}

extension JournalEntry {
  fileprivate var settledSequence: UInt64? {
    if case .settled(let settled) = self { settled.sequence } else { nil }
  }
}
