import EventModel
import Millrace
import QueueSimulation
import SimulationKit
import StorageIO
import Synchronization
import Testing

/// Senders, receivers and settlers at once: what each was told fits one order of all that happened.
@Suite("Histories of concurrent calls")
struct QueueHistoryTests {
  private static let devices: [DeviceID] = ["a", "b", "c"]
  private static let depthMax = 12
  private static let deliveryCountMax = 3
  private static let specification = QueueSpecification(
    depthMax: depthMax, deliveryCountMax: deliveryCountMax)

  /// What the callers share: the history, and tokens that anybody may settle with.
  private final class Fleet: Sendable {
    let store: EventStore
    let history = QueueHistory()
    let tokens = Mutex<[(device: DeviceID, token: LockToken)]>([])

    init(_ store: EventStore) { self.store = store }

    func send(to device: DeviceID) async throws {
      let begin = history.takeTime()
      do throws(EventStoreError) {
        let number = try await store.deviceQueue(for: device).enqueue(DeviceMessage(body: "x"))
        history.end([.enter(number), .appear(number)], on: device, begin: begin)
      } catch {
        guard error.code == .queueFull else { throw error }
        history.end([.refuse], on: device, begin: begin)
      }
    }

    func receive(by device: DeviceID, max: Int) async throws {
      let begin = history.takeTime()
      let messages = try await store.deviceQueue(for: device).receive(max: max)
      history.end(
        [
          .receive(
            max: max, messages.map { .init($0.lockToken, deliveryCount: $0.deliveryCount) })
        ], on: device, begin: begin)
      tokens.withLock { tokens in tokens += messages.map { (device, $0.lockToken) } }
    }

    func settle(_ random: inout SeededRandom) async throws {
      let choice = random.below(1 << 20)
      let keeps = random.chance(percent: 15)
      let picked = tokens.withLock { tokens -> (device: DeviceID, token: LockToken)? in
        guard !tokens.isEmpty else { return nil }
        let index = choice % tokens.count
        // One that stays is settled twice.
        return keeps ? tokens[index] : tokens.remove(at: index)
      }
      guard let (device, token) = picked else { return }
      let verb = QueueCall.Verb.allCases[random.below(QueueCall.Verb.allCases.count)]
      let queue = store.deviceQueue(for: device)
      let begin = history.takeTime()
      do throws(EventStoreError) {
        switch verb {
        case .complete: try await queue.complete(token)
        case .abandon: try await queue.abandon(token)
        case .reject: try await queue.reject(token)
        }
        history.end([.settle(token, verb, succeeded: true)], on: device, begin: begin)
      } catch {
        guard error.code == .lockLost else { throw error }
        history.end([.settle(token, verb, succeeded: false)], on: device, begin: begin)
      }
    }

    func completeTwo(of device: DeviceID) async throws {
      let two = tokens.withLock { tokens in
        tokens.filter { $0.device == device }.prefix(2).map(\.token)
      }
      let begin = history.takeTime()
      let done = try await store.deviceQueue(for: device).complete(contentsOf: two)
      history.end(
        zip(two, done).map { .settle($0, .complete, succeeded: $1) }, on: device, begin: begin)
    }

    func look(at device: DeviceID) async throws {
      let begin = history.takeTime()
      let counts = try await store.deviceQueue(for: device).counts()
      history.end(
        [.count(pending: counts?.pending ?? 0, locked: counts?.locked ?? 0)], on: device,
        begin: begin)
    }

    func purge(_ device: DeviceID) async throws {
      let begin = history.takeTime()
      let count = try await store.deviceQueue(for: device).purge()
      history.end([.purge(count: count)], on: device, begin: begin)
    }
  }

  /// Twelve callers, each with operations of its own seed.
  private static func record(seed: UInt64) async throws -> [DeviceID: [QueueCall]] {
    let system = EngineEnvironment.system()
    let store = try await EventStore.open(
      at: "/store",
      configuration: .init(
        partitionCount: 1,
        queues: .init(
          depthMax: depthMax, timeToLive: .seconds(86_400), feedback: .full,
          lockDuration: .seconds(86_400), deliveryCountMax: deliveryCountMax)),
      access: .createIfAbsent,
      environment: EngineEnvironment(
        fileSystem: MemoryFileSystem(), now: system.now, steady: system.steady,
        random: system.random))
    let fleet = Fleet(store)
    try await withThrowingTaskGroup { tasks in
      for caller in 0..<12 {
        tasks.addTask {
          var random = SeededRandom(seed: seed &* 1_000 &+ UInt64(caller))
          for _ in 0..<100 {
            let device = devices[random.below(devices.count)]
            switch (caller % 3, random.below(100)) {
            case (_, 0): try await fleet.purge(device)
            case (_, 1..<8): try await fleet.look(at: device)
            case (0, _): try await fleet.send(to: device)
            case (1, _): try await fleet.receive(by: device, max: 1 + random.below(3))
            case (_, 8..<16): try await fleet.completeTwo(of: device)
            default: try await fleet.settle(&random)
            }
          }
        }
      }
      try await tasks.waitForAll()
    }
    try await store.close()
    return fleet.history.calls
  }

  @Test("What concurrent callers are told fits one order of all calls", arguments: 1...8)
  func concurrent(_ round: Int) async throws {
    let seed = UInt64.random(in: 1...1 << 30)
    var steps = 0
    var count = 0
    let histories = try await Self.record(seed: seed)
    for (device, calls) in histories {
      var check = LinearizabilityCheck(calls, of: Self.specification)
      #expect(check.run() == .fits, "\(device), seed \(seed)")
      steps += check.stepCount
      count += calls.count
    }
    print("round \(round): \(count) calls of \(histories.count) queues fit, \(steps) steps")
    #expect(count > 800)
  }

  @Test("A history in which one message is delivered to two at once does not fit")
  func tampered() async throws {
    for (device, calls) in try await Self.record(seed: 5) {
      // Somebody else is told of a delivery as well, when its receiver has long been told.
      let delivery = calls.first { call in
        if case .receive(_, let deliveries) = call.operation { !deliveries.isEmpty } else { false }
      }
      let found = try #require(delivery)
      let end = (calls.map(\.end).max() ?? 0) + 1
      let wrong = calls + [QueueCall(found.operation, begin: end, end: end + 1)]
      var check = LinearizabilityCheck(wrong, of: Self.specification)
      #expect(check.run() == .contradicts, "\(device)")
    }
  }
}

@Suite("The check of histories itself")
struct LinearizabilityCheckTests {
  private static func token(_ sequence: UInt64, _ nonce: UInt64 = 1) -> LockToken {
    LockToken(sequenceNumber: sequence, nonce: nonce)
  }

  private static func sent(_ sequence: UInt64, _ begin: Int, _ end: Int) -> [QueueCall] {
    [
      QueueCall(.enter(sequence), begin: begin, end: end),
      QueueCall(.appear(sequence), begin: begin, end: end),
    ]
  }

  private static func received(
    _ sequences: [UInt64], _ begin: Int, _ end: Int, max: Int = 1, count: Int = 1,
    nonce: UInt64 = 1
  ) -> QueueCall {
    QueueCall(
      .receive(max: max, sequences.map { .init(token($0, nonce), deliveryCount: count) }),
      begin: begin, end: end)
  }

  private static func settled(
    _ verb: QueueCall.Verb, _ succeeded: Bool, _ begin: Int, _ end: Int
  ) -> QueueCall {
    QueueCall(.settle(token(1), verb, succeeded: succeeded), begin: begin, end: end)
  }

  private static let fitting: [String: [QueueCall]] = [
    "an empty queue": [received([], 1, 2)],
    "a message that is being sent is not there yet": sent(1, 1, 6) + [
      received([], 2, 3), received([1], 4, 5),
    ],
    "of two that send at once either is first": sent(1, 1, 4) + sent(2, 2, 3) + [
      received([1], 5, 6), received([2], 7, 8),
    ],
    "a message that was given back is delivered again": sent(1, 1, 2) + [
      received([1], 3, 4), settled(.abandon, true, 5, 6),
      received([1], 7, 8, count: 2, nonce: 2),
    ],
    "after its last delivery it is gone": sent(1, 1, 2) + [
      received([1], 3, 4), settled(.abandon, true, 5, 6),
      received([1], 7, 8, count: 2, nonce: 2),
      QueueCall(.settle(token(1, 2), .abandon, succeeded: true), begin: 9, end: 10),
      received([], 11, 12),
    ],
    "of two settlements at once one loses": sent(1, 1, 2) + [
      received([1], 3, 4), settled(.complete, false, 5, 8), settled(.reject, true, 6, 7),
    ],
    "who is not durable yet fills the queue": sent(1, 1, 2) + sent(2, 3, 8) + [
      QueueCall(.refuse, begin: 4, end: 5), received([1], 6, 7, max: 2),
    ],
    "a purge takes what has not appeared": sent(1, 1, 4) + [
      QueueCall(.purge(count: 1), begin: 2, end: 3), received([], 5, 6),
    ],
  ]

  private static let wrong: [String: [QueueCall]] = [
    "a message that was sent is not there": sent(1, 1, 2) + [received([], 3, 4)],
    "a message is there before it is sent": [received([1], 1, 2)] + sent(1, 3, 4),
    "the younger message comes first": sent(1, 1, 2) + sent(2, 3, 4) + [received([2], 5, 6)],
    "numbers go back": sent(2, 1, 2) + sent(1, 3, 4),
    "two hold one message": sent(1, 1, 2) + [
      received([1], 3, 4), received([1], 5, 6, count: 2, nonce: 2),
    ],
    "a settled message is delivered again": sent(1, 1, 2) + [
      received([1], 3, 4), settled(.complete, true, 5, 6),
      received([1], 7, 8, count: 2, nonce: 2),
    ],
    "both of two settlements win": sent(1, 1, 2) + [
      received([1], 3, 4), settled(.complete, true, 5, 8), settled(.reject, true, 6, 7),
    ],
    "a lock is lost that nobody took": sent(1, 1, 2) + [
      received([1], 3, 4), settled(.complete, false, 5, 6),
    ],
    "a delivery is not counted": sent(1, 1, 2) + [
      received([1], 3, 4), settled(.abandon, true, 5, 6), received([1], 7, 8, nonce: 2),
    ],
    "a queue with room refuses": sent(1, 1, 2) + [QueueCall(.refuse, begin: 3, end: 4)],
    "a count misses one": sent(1, 1, 2) + [
      QueueCall(.count(pending: 0, locked: 0), begin: 3, end: 4)
    ],
  ]

  private func verdict(of calls: [QueueCall]) -> LinearizabilityCheck.Verdict {
    var check = LinearizabilityCheck(
      calls, of: QueueSpecification(depthMax: 2, deliveryCountMax: 2))
    return check.run()
  }

  @Test("A history that some order explains fits", arguments: fitting.keys.sorted())
  func fits(_ name: String) throws {
    #expect(verdict(of: try #require(Self.fitting[name])) == .fits)
  }

  @Test("A history that no order explains does not fit", arguments: wrong.keys.sorted())
  func contradicts(_ name: String) throws {
    #expect(verdict(of: try #require(Self.wrong[name])) == .contradicts)
  }
}
