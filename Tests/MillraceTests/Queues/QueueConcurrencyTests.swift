import EventModel
import Millrace
import MillraceTesting
import Synchronization
import Testing

/// Senders, receivers and settlers at once: what each was told fits one order of all that happened.
@Suite("Queues under concurrency")
struct QueueConcurrencyTests {
  private static let devices: [DeviceID] = (0..<4).map { DeviceID(stringLiteral: "device-\($0)") }
  private static let senderCount = 4
  private static let messageCount = 60

  /// What all of them saw.
  private final class History: Sendable {
    struct State {
      var sent: [String: UInt64] = [:]
      var deliveries: [UInt64: [Int]] = [:]
      var settled: [UInt64: SettlementStatus] = [:]
    }

    private let state = Mutex(State())

    func note(_ change: (inout State) -> Void) { state.withLock { change(&$0) } }
    var all: State { state.withLock { $0 } }
  }

  @Test("Every message is delivered, settled once and told of once")
  func everything() async throws {
    let store = try await InMemoryStorage().open(
      configuration: .init(
        partitionCount: 1,
        queues: .init(
          depthMax: 1_000, feedback: .full, lockDuration: .seconds(300), deliveryCountMax: 1_000))
    )
    let history = History()
    let total = Self.senderCount * Self.messageCount
    try await withThrowingTaskGroup { tasks in
      for sender in 0..<Self.senderCount {
        tasks.addTask { try await Self.send(sender, to: store, history) }
      }
      for (number, device) in Self.devices.enumerated() {
        for receiver in 0..<2 {
          tasks.addTask {
            try await Self.receive(
              by: device, like: number + receiver, from: store, history, until: total)
          }
        }
      }
      try await tasks.waitForAll()
    }
    let seen = history.all
    #expect(seen.sent.count == total && seen.settled.count == total)
    #expect(Set(seen.sent.values) == Set(seen.settled.keys))
    for (sequence, counts) in seen.deliveries {
      // Each delivery had a number of its own, from 1 on.
      #expect(counts.sorted() == Array(1...counts.count), "message \(sequence)")
    }
    #expect(try await store.queueTotals().pending == 0)
    var told: [UInt64: SettlementStatus] = [:]
    for try await batch in store.batches(in: .feedback) {
      for report in batch.compactMap(\.feedbackReport) {
        #expect(told.updateValue(report.statusCode, forKey: report.sequenceNumber) == nil)
      }
      if told.count == total { break }
    }
    #expect(told == seen.settled)
    #expect(Set(told.values) == [.success, .rejected])
    try await store.close()
  }

  private static func send(
    _ sender: Int, to store: EventStore, _ history: History
  ) async throws {
    for number in 0..<messageCount {
      let name = "s\(sender)-\(number)"
      let device = devices[(sender + number) % devices.count]
      let sequence = try await store.deviceQueue(for: device).enqueue(
        DeviceMessage(id: try MessageID(name), body: Payload(name)))
      history.note { $0.sent[name] = sequence }
    }
  }

  private static func receive(
    by device: DeviceID, like kind: Int, from store: EventStore, _ history: History,
    until total: Int
  ) async throws {
    let queue = store.deviceQueue(for: device)
    var round = kind
    while history.all.settled.count < total {
      for message in try await queue.receive(max: 3) {
        round += 1
        history.note {
          $0.deliveries[message.sequenceNumber, default: []].append(message.deliveryCount)
        }
        switch round % 5 {
        case 0: try await queue.abandon(message.lockToken)
        case 1:
          try await queue.reject(message.lockToken, reason: "r")
          history.note { $0.settled[message.sequenceNumber] = .rejected }
        default:
          try await queue.complete(message.lockToken)
          history.note { $0.settled[message.sequenceNumber] = .success }
        }
      }
      await Task.yield()
    }
  }
}
