import EventModel
import Millrace
import MillraceTesting
import StorageIO
import SystemPackage
import Testing

@Suite("Scrubbing")
struct ScrubTests {
  private static let root: FilePath = "/store"

  private func open(
    _ disk: MemoryFileSystem, _ access: EventStore.Access = .createIfAbsent
  ) async throws -> EventStore {
    try await EventStore.open(
      at: Self.root.string,
      configuration: .init(
        partitionCount: 2, segmentSize: .kibibytes(64), batchSize: .kibibytes(4)),
      access: access,
      environment: EngineEnvironment(
        fileSystem: disk, now: EngineEnvironment.system().now,
        random: EngineEnvironment.system().random))
  }

  /// Writes events of a few segments, and one message to a device; returns how many records.
  private func fill(_ store: EventStore) async throws -> Int {
    for number in 0..<400 {
      let body = Payload((0..<1_000).map { UInt8(truncatingIfNeeded: $0 &* number &+ $0 >> 3) })
      try await store.append(Event(from: DeviceID("d-\(number % 7)"), body: body))
    }
    _ = try await store.deviceQueue(for: "d-1").enqueue(DeviceMessage(body: "on"))
    return 401
  }

  @Test(
    "Everything that is durable is read once", arguments: [EventStore.Access.readWrite, .readOnly])
  func sound(_ access: EventStore.Access) async throws {
    let disk = MemoryFileSystem()
    let writer = try await open(disk)
    let count = try await fill(writer)
    try await writer.close()
    let store = try await open(disk, access)
    let report = try await store.scrub()
    #expect(report.damages == [])
    #expect(report.eventCount == count)
    #expect(report.bytesRead > .kibibytes(200))
    try await store.close()
  }

  @Test("What has rotted is found once, wherever it is, and the rest is read")
  func rotten() async throws {
    let disk = MemoryFileSystem()
    let writer = try await open(disk)
    let count = try await fill(writer)
    try await writer.close()
    var files = disk.image
    let segments = files.filter { $0.key.extension == "segment" && $0.value.count > 5_000 }.keys
    try #require(segments.count > 4)
    for path in segments { files[path]?[4_000] ^= 1 }
    let store = try await open(MemoryFileSystem(files: files, directories: disk.directories))
    let report = try await store.scrub()
    #expect(report.damages.count == segments.count)
    #expect(report.damages.allSatisfy { $0.reason == .damaged })
    let lost = report.damages.reduce(0) { $0 + Int($1.count) }
    #expect(report.eventCount == count - lost)
    try await store.close()
  }

  @Test("A closed store is not read")
  func closed() async throws {
    let disk = MemoryFileSystem()
    let store = try await open(disk)
    _ = try await fill(store)
    try await store.close()
    await #expect(throws: EventStoreError.self) { _ = try await store.scrub() }
  }
}
