import EventModel
import LogInspection
import Millrace
import SimulationKit
import StorageIO
import Testing

/// What becomes of queue files that cannot be opened now.
extension QueueFileTests {
  /// It was filed again without them.
  @Test("Another user's file is not taken for one that has lost its messages")
  func deniedFile() async throws {
    let store = try await open()
    try await fill(store)
    try await store.close()
    let victim = Self.offline[3]
    let failing = SimulatedDisk(files: disk.image)
    failing.plan = FaultPlan(failures: [
      .init(
        .call(.open, pathSuffix: "\(victim)-00000001.queue"), .permissionDenied, isLasting: true)
    ])
    var queues = EventStore.Queues(depthMax: 1_000, timeToLive: .seconds(1 << 30))
    queues.journalSegmentSize = 64 << 10
    let again = try await EventStore.open(
      at: "/store", configuration: .init(partitionCount: 1, queues: queues), access: .readWrite,
      environment: environment(failing))
    let sequence = try await again.deviceQueue(for: victim).enqueue(message(9, victim))
    let body = Payload([UInt8](repeating: 7, count: 1_000))
    for _ in 0..<12 {
      _ = try await again.enqueue((0..<60).map { _ in ("busy", DeviceMessage(body: body)) })
      let messages = try await again.deviceQueue(for: "busy").receive(max: 60)
      try await again.deviceQueue(for: "busy").complete(contentsOf: messages.map(\.lockToken))
    }
    while failing.failureCount == 0 { await Task.yield() }
    try await again.close()
    #expect(!failing.image.keys.contains { $0.string.contains("/quarantine/queues-\(victim)") })
    let whole = MemoryFileSystem(files: failing.image)
    let last = try await open(whole)
    let waiting = try await last.deviceQueue(for: victim).peek(max: 10)
    #expect(waiting.count == 4 && waiting.last?.sequenceNumber == sequence)
    try await last.close()
  }
}
