import BareLoop
import Foundation
import Millrace

/// W4: messages of 500 bytes to 10,000 devices, from one thread.
extension PeerDriver {
  private static let deviceCount = 10_000
  private static let singleCount = 2_000
  private static let roundCount = 5
  private static let groupSize = 100

  func queues() async throws {
    let store = try await open(.createIfAbsent)
    try exchange(try store.makeBlockingQueues())
    try await store.close()
  }

  private func exchange(_ queues: borrowing BlockingQueues) throws {
    var random = SplitMix(state: 99)
    let template = (0..<500).map { _ in UInt8(32 + random.next() % 90) }
    // The last ones get the messages that are synced one by one.
    let devices = try (0..<Self.deviceCount * 2).map { try DeviceID("device-\($0)") }
    var order = Array(0..<Self.deviceCount)
    for place in order.indices.dropFirst().reversed() {
      order.swapAt(place, Int(random.next() % UInt64(place + 1)))
    }
    let singles = order.prefix(Self.singleCount).map { devices[Self.deviceCount + $0] }
    let fleet = order.map { devices[$0] }

    let enqueuing = try timed(singles.count) { turn in
      try queues.enqueue(Self.message(template, UInt64(turn)), to: singles[turn])
    }
    let groups = try enqueueGroups(queues, to: fleet, template)
    let received = try receiveGroups(queues, by: fleet.reversed())
    let completing = try timed(singles.count) { turn in
      let messages = try queues.receive(by: singles[turn], max: 1)
      check(messages.count == 1, "\(messages.count) messages for \(singles[turn])")
      _ = Self.sum(messages[0].message.body)
      try queues.complete(messages[0].lockToken, of: singles[turn])
    }
    report([
      ("enq_sync1_ops", enqueuing.rate), ("enq_sync1_p99_us", enqueuing.percentile(0.99)),
      ("enq_g100_ops", groups.rate), ("enq_g100_cpu_s", groups.processor),
      ("rcv_g100_ops", received.rate), ("rcv_g100_cpu_s", received.processor),
      ("rcv_sync1_ops", completing.rate), ("rcv_sync1_p99_us", completing.percentile(0.99)),
    ])
  }

  private func timed(
    _ count: Int, _ operation: (Int) throws -> Void
  ) rethrows -> Latencies {
    var latencies = Latencies()
    for turn in 0..<count {
      let begin = Usage.clock
      try operation(turn)
      latencies.add(since: begin)
    }
    return latencies
  }

  private func enqueueGroups(
    _ queues: borrowing BlockingQueues, to fleet: [DeviceID], _ template: [UInt8]
  ) throws -> (rate: Double, processor: Double) {
    let (start, processor) = (Usage.clock, Usage.processor)
    for round in 1...Self.roundCount {
      for first in stride(from: 0, to: fleet.count, by: Self.groupSize) {
        let group = (first..<first + Self.groupSize).map { turn in
          (fleet[turn], Self.message(template, UInt64(turn) | UInt64(round) << 32))
        }
        let outcome = try queues.enqueue(group)
        check(outcome.refusal == nil, "a message is refused")
      }
    }
    let seconds = Usage.clock - start
    return (Double(fleet.count * Self.roundCount) / seconds, Usage.processor - processor)
  }

  private func receiveGroups(
    _ queues: borrowing BlockingQueues, by fleet: [DeviceID]
  ) throws -> (rate: Double, processor: Double) {
    let (start, processor) = (Usage.clock, Usage.processor)
    let size = Self.groupSize / Self.roundCount
    var sum: UInt64 = 0
    var deliveries: [(device: DeviceID, token: LockToken)] = []
    for first in stride(from: 0, to: fleet.count, by: size) {
      deliveries.removeAll(keepingCapacity: true)
      for device in fleet[first..<first + size] {
        for message in try queues.receive(by: device, max: Self.roundCount) {
          sum &+= Self.sum(message.message.body)
          deliveries.append((device, message.lockToken))
        }
      }
      check(deliveries.count == Self.groupSize, "\(deliveries.count) messages came")
      let outcome = try queues.complete(deliveries)
      check(outcome.allSatisfy { $0 }, "a message is not completed")
    }
    let seconds = Usage.clock - start
    check(sum > 0, "no bytes came")
    return (Double(fleet.count * Self.roundCount) / seconds, Usage.processor - processor)
  }

  /// A message that no other is like.
  private static func message(_ template: [UInt8], _ number: UInt64) -> DeviceMessage {
    var body = template
    body.withUnsafeMutableBytes { $0.storeBytes(of: number, as: UInt64.self) }
    return DeviceMessage(body: Payload(body))
  }

  private static func sum(_ body: Payload) -> UInt64 {
    body.bytes.withUnsafeBytes { byte_sum($0.baseAddress, $0.count) }
  }
}
