import EventModel
import Millrace
import MillraceTesting
import Testing

/// Feedback and dead letters have rules of their own.
@Suite("Retention of feedback and dead letters")
struct StreamRetentionTests {
  private static let start = Timestamp(microseconds: 1_700_000_000_000_000)
  private static let count = 24
  private let clock = ManualClock(at: start)
  private let storage = InMemoryStorage()

  private func open(
    feedback: EventStore.Retention = .unlimited, deadLetters: EventStore.Retention = .unlimited
  ) async throws -> EventStore {
    try await storage.open(
      configuration: .init(
        partitionCount: 1, segmentSize: .kibibytes(64), compression: CompressionCodec.none,
        queues: .init(
          feedback: .full, feedbackRetention: feedback, deadLetterRetention: deadLetters)),
      clock: clock)
  }

  /// Rejects messages of 20 KiB, three to a segment, one a minute.
  private func fill(_ store: EventStore) async throws {
    let queue = store.deviceQueue(for: "d")
    let body = Payload([UInt8](repeating: 7, count: 20 << 10))
    for number in 0..<Self.count {
      clock.advance(by: .seconds(60))
      try await queue.enqueue(DeviceMessage(id: try MessageID("m\(number)"), body: body))
      let message = try #require(try await queue.receive(max: 1).first)
      try await queue.reject(message.lockToken)
      while try await numbers(store, .deadLetters).last != number { await Task.yield() }
    }
    while try await numbers(store, .feedback).count < Self.count { await Task.yield() }
  }

  private func numbers(_ store: EventStore, _ stream: PartitionID) async throws -> [Int] {
    var ids: [String?] = []
    for try await batch in store.batches(in: stream, until: .highWatermark) {
      ids += batch.map { $0[.messageID] }
    }
    return ids.compactMap { $0.flatMap { Int($0.dropFirst()) } }
  }

  @Test("Nothing goes unless it is asked for")
  func unlimited() async throws {
    let store = try await open()
    try await fill(store)
    #expect(try await store.retain().partitions.isEmpty)
    #expect(try await numbers(store, .deadLetters) == Array(0..<Self.count))
    try await store.close()
  }

  @Test("By size and by age, and what is kept is copied once", arguments: [false, true])
  func dropped(byAge: Bool) async throws {
    let rule: EventStore.Retention =
      byAge ? .init(age: .seconds(600)) : .init(size: .kibibytes(200))
    var store = try await open()
    try await fill(store)
    try await store.close()
    store = try await open(deadLetters: rule)
    _ = try await store.retain()
    let kept = try await numbers(store, .deadLetters)
    let first = try #require(kept.first)
    #expect(first >= Self.count / 3 && first < Self.count - 2)
    #expect(kept == Array(first..<Self.count))
    #expect(try await numbers(store, .feedback) == Array(0..<Self.count))
    // Whatever is that old: the last segment stays, and with it what was copied last.
    clock.advance(by: .seconds(1_000_000))
    _ = try await store.retain()
    try await store.close()
    let again = try await open(deadLetters: rule)
    #expect(try await numbers(again, .deadLetters).last == Self.count - 1)
    #expect(try await numbers(again, .feedback) == Array(0..<Self.count))
    try await again.close()
  }

  @Test("What a group has not read stays where reading comes first")
  func unread() async throws {
    let rule = EventStore.Retention(size: .kibibytes(100), keepUntilConsumed: true)
    var store = try await open()
    try await fill(store)
    try await store.consumerGroup("audit").commit(
      Checkpoint(partition: .deadLetters, next: Offset(6)))
    try await store.close()
    store = try await open(deadLetters: rule)
    let group = try await store.consumerGroup("audit")
    _ = try await store.retain()
    let kept = try await numbers(store, .deadLetters)
    #expect(try #require(kept.first) <= 6 && kept.last == Self.count - 1)
    try await group.commit(Checkpoint(partition: .deadLetters, next: Offset(UInt64(Self.count))))
    _ = try await store.retain()
    #expect(try #require(try await numbers(store, .deadLetters).first) > 6)
    try await store.close()
  }
}
