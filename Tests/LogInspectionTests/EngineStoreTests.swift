import CommitLog
import EventModel
import LogFormat
import LogInspection
import Millrace
import StorageIO
import SystemPackage
import Testing

/// Inspection and engine must agree on what a store is: what the engine writes, fsck calls clean.
@Suite("Stores that the engine wrote")
struct EngineStoreTests {
  private static let root: FilePath = "/store"

  private func open(
    _ fileSystem: MemoryFileSystem, retention: EventStore.Retention = .unlimited
  ) async throws -> EventStore {
    let system = EngineEnvironment.system()
    return try await EventStore.open(
      at: Self.root.string,
      configuration: .init(
        partitionCount: 3, segmentSize: .kibibytes(64), retention: retention,
        batchSize: .kibibytes(4)),
      access: .createIfAbsent,
      environment: EngineEnvironment(
        fileSystem: fileSystem, now: system.now, random: system.random))
  }

  private func fill(_ store: EventStore, from first: Int, count: Int) async throws {
    for start in stride(from: first, to: first + count, by: 50) {
      let events = try (start..<start + 50).map { number in
        // Bodies that hardly compress, so that segments fill and roll.
        let fill = (0..<20).map { String(UInt64(number * 31 + $0 + 1) &* 0x9e37_79b9_7f4a_7c15) }
        return Event(
          from: try DeviceID("device-\(number % 40)"), body: Payload(fill.joined()),
          contentType: "text/plain", properties: try Properties([("line", "\(number % 3)")]))
      }
      _ = try await store.append(contentsOf: events)
    }
  }

  private func expectClean(
    _ fileSystem: MemoryFileSystem, events: Int, _ when: String, notes: Set<DamageKind> = []
  ) throws {
    let result = try Fsck.check(Self.root, fileSystem: fileSystem)
    #expect(result.clean, "\(when): \(result.findings)")
    let kinds = Set(result.findings.map(\.kind))
    #expect(kinds.isSubset(of: notes), "\(when): \(result.findings)")
    #expect(result.checked.events == events, "\(when)")
  }

  /// A manifest that had lost a roll was put together without it, and events went unread.
  @Test("A manifest that was put together still says that readers come first")
  func readingFirst() async throws {
    let fileSystem = MemoryFileSystem()
    let rule = EventStore.Retention(size: .kibibytes(64), keepUntilConsumed: true)
    let store = try await open(fileSystem, retention: rule)
    try await fill(store, from: 0, count: 1_000)
    try await store.close()
    let path = Self.root.appending(FileNames.manifest)
    var bytes = try #require(fileSystem.image[path])
    var frames: [Range<Int>] = []
    try StoreInspector(Self.root, fileSystem: fileSystem).walk { item in
      guard case .frame(let frame) = item, frame.file == FileNames.manifest else { return .goOn }
      frames.append(frame.position..<frame.frame.end)
      return .goOn
    }
    try #require(frames.count > 4)
    for index in frames[2] { bytes[index] = 0 }
    let damaged = fileSystem.replacing(path, by: bytes)
    let system = EngineEnvironment.system()
    let repaired = try StoreRepair.run(
      Self.root,
      environment: EngineEnvironment(
        fileSystem: damaged, now: system.now, random: system.random))
    #expect(repaired.repairs.contains { $0.kind == .rebuilt && $0.file == FileNames.manifest })
    let image = try ManifestImage.read(root: Self.root, fileSystem: damaged)
    #expect(image.state.readingFirst == ManifestEdit.ReadingFirst(isOn: true, sizeMax: 0))
  }

  @Test("They are clean while open, after a kill, after a reopening and after closing")
  func agreement() async throws {
    let fileSystem = MemoryFileSystem()
    let store = try await open(fileSystem)
    try await fill(store, from: 0, count: 2_000)
    try expectClean(fileSystem, events: 2_000, "open", notes: [.missingFile])
    let killed = MemoryFileSystem(
      files: fileSystem.image, directories: fileSystem.directories)
    try await store.close()
    try expectClean(fileSystem, events: 2_000, "closed", notes: [.missingFile])

    let again = try await open(killed)
    try expectClean(killed, events: 2_000, "reopened after a kill", notes: [.missingFile])
    try await fill(again, from: 2_000, count: 500)
    let group = try await again.consumerGroup("readers")
    for try await batch in group.batches(in: 0, until: .offset(100)) {
      try await group.commit(batch.checkpoint)
    }
    try await again.close()
    try expectClean(killed, events: 2_500, "closed after a kill", notes: [.missingFile])

    let statistics = try StoreStatistics.collect(Self.root, fileSystem: killed)
    #expect(statistics.totals.events == 2_500)
    #expect(statistics.totals.segments > 6)
    #expect(statistics.damages.isEmpty)
    let readers = try #require(
      statistics.groups.first { $0.name == "readers" && $0.partition == 0 })
    #expect(readers.checkpoint == 100)
    let partition = try #require(statistics.partitions.first)
    #expect(readers.lagEvents == partition.nextSequence - 100)
  }

  @Test("A tail cut short is clean again once the engine has opened the store")
  func afterRecovery() async throws {
    let fileSystem = MemoryFileSystem()
    let store = try await open(fileSystem)
    try await fill(store, from: 0, count: 200)
    var files = fileSystem.image
    let directories = fileSystem.directories
    try await store.close()
    for path in files.keys where path.extension == "segment" {
      files[path]? += [UInt8](repeating: 0xee, count: 200)
    }
    let torn = MemoryFileSystem(files: files, directories: directories)
    try expectClean(torn, events: 200, "torn", notes: [.tornTail, .missingFile])
    let again = try await open(torn)
    try await fill(again, from: 200, count: 100)
    try await again.close()
    try expectClean(torn, events: 300, "recovered", notes: [.missingFile])
  }
}
