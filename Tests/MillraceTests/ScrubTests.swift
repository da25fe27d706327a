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
    // In the first batch: further on a mark may stand, by when the store was idle.
    for path in segments { files[path]?[300] ^= 1 }
    let store = try await open(MemoryFileSystem(files: files, directories: disk.directories))
    let report = try await store.scrub()
    #expect(report.damages.count == segments.count)
    #expect(report.damages.allSatisfy { $0.reason == .damaged })
    let lost = report.damages.reduce(0) { $0 + Int($1.count) }
    #expect(report.eventCount == count - lost)
    try await store.close()
  }

  /// A closed store whose group has a checkpoint and whose queues were filed.
  private func filed() async throws -> MemoryFileSystem {
    let disk = MemoryFileSystem()
    var settings = EventStore.Configuration(partitionCount: 1)
    settings.queues.journalSegmentSize = 64 << 10
    let store = try await disk.openStore(settings)
    try await store.append(0..<3)
    try await store.consumerGroup("group").commit(Checkpoint(partition: 0, next: 2))
    let message = DeviceMessage(body: Payload([UInt8](repeating: 7, count: 1_000)))
    _ = try await store.deviceQueue(for: "waits").enqueue(message)
    // Traffic that the journal forgets, until what waits for long is in a file.
    let busy = store.deviceQueue(for: "busy")
    for _ in 0..<50 where !disk.image.keys.contains(where: { $0.extension == "directory" }) {
      for _ in 0..<20 {
        _ = try await busy.enqueue(message)
        _ = try await busy.purge()
      }
    }
    try await store.close()
    return disk
  }

  private func flip(_ path: FilePath, at position: Int, on disk: MemoryFileSystem) throws {
    let file = try disk.open(path, .readWrite)
    let byte = [try #require(disk.image[path])[position] ^ 1]
    try file.write(byte.span.bytes, at: FilePosition(position))
  }

  @Test("What has rotted in files that are no logs is found too, and they are named")
  func files() async throws {
    let disk = try await filed()
    let names = disk.image.keys.filter {
      ["queue", "directory"].contains($0.extension) || $0.removingLastComponent() == Self.root
    }.map { String($0.string.dropFirst(Self.root.string.utf8.count + 1)) }
      .filter { $0 != "LOCK" }.sorted()
    #expect(names.count == 4 && names.prefix(2) == ["CHECKPOINTS", "MANIFEST"])
    let store = try await disk.openStore(access: .readWrite)
    #expect(try await store.scrub().damagedFiles == [])
    for name in names {
      let path = Self.root.appending(name)
      // The group's name in the checkpoints; the first frame of the others says something.
      let text = try #require(disk.image[path]).firstRange(of: Array("group".utf8))
      let position = text?.lowerBound ?? 140
      try flip(path, at: position, on: disk)
      #expect(try await store.scrub().damagedFiles == [name])
      try flip(path, at: position, on: disk)
    }
    #expect(try await store.scrub().damagedFiles == [])
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
