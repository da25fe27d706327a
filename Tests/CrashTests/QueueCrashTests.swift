import EventModel
import Millrace
import SimulationKit
import StorageIO
import Testing

/// A crash at every storage operation of a life with queues: what was said to be so is so.
@Suite("Queues after a crash")
struct QueueCrashTests {
  /// What callers were told before the crash.
  private struct Ledger {
    /// Messages whose sender was told that they are durable, in their order.
    var sent: [String: [String]] = [:]
    /// Messages whose receiver was told that they are settled.
    var settled: Set<String> = []
    /// Messages that somebody tried to settle without being told how it ended.
    var doubtful: Set<String> = []
  }

  private func open(_ disk: any FileSystem, seed: UInt64) async throws -> EventStore {
    let system = EngineEnvironment.system()
    return try await EventStore.open(
      at: "/store",
      configuration: .init(
        partitionCount: 1, queues: .init(feedback: .full, deliveryCountMax: 2)),
      access: .createIfAbsent,
      environment: EngineEnvironment(
        fileSystem: disk, now: system.now, steady: system.steady, random: system.random))
  }

  /// Sends, receives and settles until it is done or the disk crashes.
  private func live(on disk: any FileSystem, _ ledger: inout Ledger) async throws {
    let store = try await open(disk, seed: 1)
    do {
      for round in 0..<3 {
        for device: DeviceID in ["a", "b"] {
          let names = ["x", "y", "z"].map { "\(device)-\(round)-\($0)" }
          let outcome = try await store.enqueue(
            try names.map { (device, DeviceMessage(id: try MessageID($0), body: Payload($0))) })
          if let refusal = outcome.refusal { throw refusal }
          ledger.sent["\(device)", default: []] += names
          let queue = store.deviceQueue(for: device)
          for (index, message) in try await queue.receive(max: 2).enumerated() {
            let name = message.message.systemProperties[.messageID] ?? ""
            ledger.doubtful.insert(name)
            if index == 0 {
              try await queue.complete(message.lockToken)
            } else {
              try await queue.reject(message.lockToken, reason: "no")
            }
            ledger.settled.insert(name)
          }
        }
      }
    } catch {
      try? await store.close()
      throw error
    }
    try await store.close()
  }

  private func check(
    _ image: any FileSystem, _ ledger: Ledger, _ context: String
  ) async throws {
    let store: EventStore
    do {
      store = try await open(image, seed: 2)
    } catch let error as EventStoreError {
      Issue.record("\(context): \(error)")
      return
    }
    var ends: [String: Int] = [:]
    for stream in [PartitionID.feedback, .deadLetters] {
      for try await batch in store.batches(in: stream, until: .highWatermark) {
        #expect(batch.gap == nil, "\(context)")
        for event in batch where stream == .feedback {
          ends[event.feedbackReport?.originalMessageID ?? "", default: 0] += 1
        }
      }
    }
    // What is not copied yet is copied soon after opening.
    for name in ledger.settled where ends[name] == nil {
      for try await batch in store.batches(in: .feedback) {
        let names = batch.compactMap(\.feedbackReport?.originalMessageID)
        if names.contains(name) { break }
      }
    }
    ends = [:]
    for try await batch in store.batches(in: .feedback, until: .highWatermark) {
      for event in batch {
        ends[event.feedbackReport?.originalMessageID ?? "", default: 0] += 1
      }
    }
    #expect(ends.values.allSatisfy { $0 == 1 }, "\(context): \(ends)")
    for (device, names) in ledger.sent {
      let waiting = try await store.deviceQueue(for: try DeviceID(device)).peek(max: 100)
        .compactMap { $0.message.systemProperties[.messageID] }
      #expect(Set(waiting).count == waiting.count, "\(context)")
      let known = waiting.filter { names.contains($0) }
      #expect(known == names.filter { known.contains($0) }, "\(context): order of \(device)")
      for name in names {
        let isSettled = ledger.settled.contains(name)
        let isOver = isSettled || (ledger.doubtful.contains(name) && !waiting.contains(name))
        #expect(waiting.contains(name) != isOver, "\(context): \(name) in \(waiting)")
        if isSettled { #expect(ends[name] == 1, "\(context): feedback for \(name)") }
        if waiting.contains(name) {
          #expect(ends[name] == nil, "\(context): \(name) waits and is settled")
        }
      }
    }
    try await store.close()
  }

  @Test("A crash anywhere: nothing acknowledged is lost, undone or said twice")
  func crashes() async throws {
    let whole = SimulatedDisk()
    var ledger = Ledger()
    try await live(on: whole, &ledger)
    #expect(ledger.settled.count == 12)
    let last = whole.operationCount
    var random = SeededRandom(seed: 11)
    var ended = 0
    for operation in stride(from: 1, to: last, by: max(1, last / 150)) {
      let disk = SimulatedDisk(.crash(at: operation))
      var ledger = Ledger()
      do {
        try await live(on: disk, &ledger)
      } catch {
        ended += 1
      }
      for style in [CrashStyle.dropAll, .keepAll, .random] {
        let image = disk.crashImage(using: &random, style)
        try await check(image, ledger, "operation \(operation), \(style)")
      }
    }
    #expect(ended > 100)
  }
}
