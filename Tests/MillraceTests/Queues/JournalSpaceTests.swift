import EventModel
import Millrace
import StorageIO
import SystemPackage
import Testing

/// What is settled takes no room for long.
@Suite("Space of the queues")
struct JournalSpaceTests {
  @Test("Messages that came and went give their space back, and what waits stays")
  func release() async throws {
    let disk = MemoryFileSystem()
    func open() async throws -> EventStore {
      // Clocks that stand: however slow the machine, no lock runs out.
      try await EventStore.open(
        at: "/store",
        configuration: .init(partitionCount: 1, queues: .init(depthMax: 1_000, feedback: .full)),
        access: .createIfAbsent,
        environment: EngineEnvironment(
          fileSystem: disk, now: { Timestamp(microseconds: 1_700_000_000_000_000) },
          steady: { 0 }, random: EngineEnvironment.system().random))
    }
    let store = try await open()
    let body = Payload([UInt8](repeating: 7, count: 60_000))
    let queue = store.deviceQueue(for: "busy")
    for round in 0..<12 {
      _ = try await store.enqueue(
        (0..<100).map { _ in ("busy", DeviceMessage(id: "m", body: body)) })
      if round == 8 {
        try await store.deviceQueue(for: "offline").enqueue(DeviceMessage(body: "stays"))
      }
      let messages = try await queue.receive(max: 100)
      #expect(messages.count == 100)
      try await queue.complete(contentsOf: messages.map(\.lockToken))
    }
    // 72 MB have gone through the journal, whose segments have 16 MiB.
    while try disk.list("/store/queues/journal").count(where: { $0.name.hasSuffix(".journal") }) > 2
    {
      await Task.yield()
    }
    try await store.close()
    let again = try await open()
    let offline = again.deviceQueue(for: "offline")
    #expect(try await offline.receive(max: 5).map(\.message.body) == ["stays"])
    #expect(try await again.queueSummaries().map(\.device) == ["offline"])
    var reports = 0
    for try await batch in again.batches(in: .feedback, until: .highWatermark) {
      reports += batch.count
    }
    #expect(reports == 1_200)
    try await again.close()
  }
}
