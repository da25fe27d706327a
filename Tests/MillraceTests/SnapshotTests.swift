import EventModel
import Millrace
import StorageIO
import Testing

@Suite("Snapshots of an open store")
struct SnapshotTests {
  private static let configuration = EventStore.Configuration(
    partitionCount: 2, segmentSize: .kibibytes(64), compression: CompressionCodec.none,
    batchSize: .kibibytes(4))

  private func open(
    _ path: String, on disk: MemoryFileSystem, _ access: EventStore.Access = .readOnly
  ) async throws -> EventStore {
    try await EventStore.open(
      at: path, configuration: Self.configuration, access: access,
      environment: EngineEnvironment(
        fileSystem: disk, now: EngineEnvironment.system().now,
        random: EngineEnvironment.system().random))
  }

  @Test("A snapshot holds what is durable and the checkpoints, also while it is written")
  func whileWriting() async throws {
    let disk = MemoryFileSystem()
    let store = try await open("/store", on: disk, .createIfAbsent)
    let devices = try store.partitions.map { try store.device(in: $0) }
    let group = try await store.consumerGroup("g")
    let writing = Task {
      let filler = String(repeating: ".", count: 200)
      for number in 0..<3_000 {
        for device in devices {
          try await store.append(
            Event(from: device, body: Payload("\(number) \(filler)")),
            durability: number % 50 == 49 ? .durable : .buffered)
        }
      }
    }
    try await store.untilReadable(100)
    for number in 0..<5 {
      let readable = try store.partitions.map { try store.offsets(in: $0).upperBound }
      try await group.commit(Checkpoint(partition: 0, next: readable[0]))
      try await store.snapshot(to: "/copy-\(number)")
      let copy = try await open("/copy-\(number)", on: disk)
      #expect(copy.recoveryNotices.isEmpty)
      for partition in copy.partitions {
        let texts = try await copy.texts(in: partition)
        #expect(texts.count >= readable[partition.number].value)
        #expect(texts.compactMap { Int($0.prefix { $0 != " " }) } == Array(0..<texts.count))
      }
      let seen = try await copy.consumerGroup("g")
      #expect(seen.checkpoint(in: 0)?.next == readable[0])
      try await copy.close()
    }
    try await writing.value
    try await store.close()
    let reader = try await open("/store", on: disk)
    try await reader.snapshot(to: "/last")
    try await reader.close()
    let last = try await open("/last", on: disk, .readWrite)
    #expect(try await last.texts(in: 1).count == 3_000)
    try await last.close()
  }

  @Test("A folder that holds something is refused")
  func occupied() async throws {
    let disk = MemoryFileSystem()
    let store = try await open("/store", on: disk, .createIfAbsent)
    let failure = await #expect(throws: EventStoreError.self) {
      try await store.snapshot(to: "/store")
    }
    #expect(failure?.code == .alreadyExists)
    try await store.close()
    let closed = await #expect(throws: EventStoreError.self) {
      try await store.snapshot(to: "/copy")
    }
    #expect(closed?.code == .closed)
  }
}
