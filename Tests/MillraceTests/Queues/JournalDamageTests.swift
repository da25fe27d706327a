import EventModel
import LogFormat
import Logging
import Millrace
import SimulationKit
import StorageIO
import Synchronization
import SystemPackage
import Testing

/// What damage in the queues' journal takes is told, and takes nothing else.
@Suite("Damage in the queues' journal")
struct JournalDamageTests {
  /// The first records of the ranges that were told of.
  private final class Heard: Sendable {
    private let numbers = Mutex<[String]>([])

    var all: [String] { numbers.withLock { $0 } }

    func add(_ number: String) { numbers.withLock { $0.append(number) } }
  }

  /// Keeps what is logged about the journal.
  private struct Listener: LogHandler {
    let heard: Heard
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      guard "\(event.message)".hasPrefix("journal of the queues damaged") else { return }
      let first = event.metadata?["first"].map { "\($0)" } ?? "nothing"
      heard.add(first)
    }
  }

  private let heard = Heard()

  private func open(_ disk: SimulatedDisk) async throws -> EventStore {
    let listener = Listener(heard: heard)
    return try await disk.openStore(
      .init(
        partitionCount: 1, queues: .init(feedback: .full),
        logger: Logger(label: "test") { _ in listener }))
  }

  private func originals(_ store: EventStore) async throws -> [String] {
    var originals: [String] = []
    for try await batch in store.batches(in: .feedback, until: .highWatermark) {
      originals += batch.compactMap(\.feedbackReport?.originalMessageID)
    }
    return originals
  }

  /// Garbles the batch of the journal that begins with a record (format-spec §3.1).
  private func damage(_ number: UInt64, on disk: SimulatedDisk) throws {
    let (path, bytes) = try #require(disk.image.first { $0.key.extension == "journal" })
    let frames = stride(from: FileHeader.size, to: bytes.count, by: FrameHeader.alignment)
    let position = try #require(
      frames.first { start in
        FrameHeader.bearsMagic(bytes.span.bytes, at: start)
          && bytes[start + 8] == FrameHeader.FrameType.batch
          && (0..<8).reduce(0) { $0 | UInt64(bytes[start + 16 + $1]) << (8 * $1) } == number
      })
    let file = try disk.open(path, .readWrite)
    let garbage = [UInt8](repeating: 0xa5, count: 8)
    try file.write(garbage.span.bytes, at: FilePosition(position + FrameHeader.size))
    try file.synchronize()
  }

  @Test("A settlement that cannot be read is told when it would be copied, and the next is copied")
  func copying() async throws {
    let disk = SimulatedDisk()
    let store = try await open(disk)
    let queue = store.deviceQueue(for: "d")
    for id: MessageID in ["a", "b", "c"] {
      try await queue.enqueue(DeviceMessage(id: id, body: "x"))
    }
    let messages = try await queue.receive(max: 3)
    // The first copy waits for room while the second settlement is damaged.
    disk.plan = FaultPlan(failures: [
      .init(.call(.write, pathSuffix: ".segment"), .noSpace, isLasting: true)
    ])
    for message in messages { try await queue.complete(message.lockToken) }
    #expect(heard.all.isEmpty)
    try damage(5, on: disk)
    disk.plan = .none
    var found: [String] = []
    while found.count < 2 {
      found = try await originals(store)
      await Task.yield()
    }
    #expect(found == ["a", "c"])
    #expect(heard.all == ["5"])
    try await store.close()
  }

  @Test("Records that cannot be read when the store is opened are told")
  func opening() async throws {
    let disk = SimulatedDisk()
    let store = try await open(disk)
    let queue = store.deviceQueue(for: "d")
    for id: MessageID in ["a", "b", "c"] {
      try await queue.enqueue(DeviceMessage(id: id, body: "x"))
    }
    try await store.close()
    try damage(1, on: disk)
    let again = try await open(disk)
    #expect(heard.all == ["1"])
    let waiting = try await again.deviceQueue(for: "d").peek(max: 5)
    #expect(waiting.map { $0.message.systemProperties[.messageID] } == ["a", "c"])
    try await again.close()
  }
}
