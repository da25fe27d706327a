import DeviceQueueing
import EventModel
import LogFormat
import SimulationKit
import Testing

/// Times to live from milliseconds to centuries, and clocks that jump.
@Suite("Expiry")
struct ExpiryTests {
  @Test("Messages expire in their second, wherever in the wheel they began", arguments: 1...4)
  func exact(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var queues = TestQueues(QueueRules(depthMax: 100_000, sizeMax: .max))
    var expiries: [UInt64: Int64] = [:]
    for number in 0..<2_000 {
      // Every order of magnitude.
      let live = Double(1 << random.below(36)) / 10 + Double(random.below(1_000_000)) / 1_000_000
      let device = try DeviceID("device-\(number % 37)")
      let sequence = try queues.enqueue(to: device, timeToLive: live)
      expiries[sequence] = queues.time.wall.microseconds + Int64(live * 1_000_000)
      if random.chance(percent: 20) { queues.pass(Double(random.below(100))) }
      // Ending in between must not disturb the wheel.
      if random.chance(percent: 10) {
        let (tokens, entries) = queues.receive(by: device)
        check(entries, queues.time.wall, &expiries, seed, isAll: false)
        for token in tokens {
          try queues.settle(token, .complete, of: device)
          expiries[token.sequenceNumber] = nil
        }
      }
      check(queues.expire(), queues.time.wall, &expiries, seed)
    }
    while !expiries.isEmpty {
      let next = queues.table.nextDue(at: queues.time).wall
      let step = max(1, next.microseconds - queues.time.wall.microseconds)
      queues.pass(Double(step) / 1_000_000 * (random.chance(percent: 30) ? 3 : 1))
      check(queues.expire(), queues.time.wall, &expiries, seed)
    }
    #expect(queues.table.messageCount == 0 && queues.table.deviceCount == 0)
  }

  /// Nothing ends early, and nothing is left that is more than a tick late.
  private func check(
    _ ended: [JournalEntry], _ now: Timestamp, _ expiries: inout [UInt64: Int64], _ seed: UInt64,
    isAll: Bool = true
  ) {
    for case .settled(let settled) in ended where settled.status == .expired {
      let expiry = expiries.removeValue(forKey: settled.sequence)
      #expect((expiry ?? .max) <= now.microseconds, "seed \(seed), \(settled.sequence)")
    }
    guard isAll else { return }
    let late = expiries.values.filter { $0 + 1 << 20 <= now.microseconds }
    #expect(late.isEmpty, "seed \(seed), \(late)")
  }

  @Test("The ends of time")
  func extremes() throws {
    var queues = TestQueues()
    queues.time.wall = Timestamp(microseconds: -5)
    let entry = try queues.table.decideEnqueue(
      to: "d", size: 1, expiry: Timestamp(microseconds: .max), feedback: .none, at: queues.time)
    queues.apply(.enqueued(entry), to: "d", size: 1)
    try queues.enqueue(timeToLive: 0.000002)
    #expect(queues.expire().isEmpty)
    queues.time.wall = Timestamp(microseconds: 1 << 20)
    #expect(queues.expire().count == 1)
    queues.time.wall = Timestamp(microseconds: .max - 1)
    #expect(queues.expire().isEmpty)
    queues.time.wall = Timestamp(microseconds: 7)
    #expect(queues.expire().isEmpty)
    #expect(queues.table.messageCount == 1)
  }
}
