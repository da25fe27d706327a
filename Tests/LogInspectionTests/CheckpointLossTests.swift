import EventModel
import LogFormat
import LogInspection
import Millrace
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Checkpoints were acknowledged as durable: what takes them away from the disk is told, by opening
/// and by a check, and a repair goes on with what is left.
@Suite("Checkpoints that are lost")
struct CheckpointLossTests {
  static let root: FilePath = "/store"
  static let path = root.appending(FileNames.checkpoints)

  static func environment(_ fileSystem: any FileSystem) -> EngineEnvironment {
    let system = EngineEnvironment.system()
    return EngineEnvironment(fileSystem: fileSystem, now: system.now, random: system.random)
  }

  static func open(
    _ fileSystem: any FileSystem, _ access: EventStore.Access = .createIfAbsent
  ) async throws -> EventStore {
    try await EventStore.open(
      at: root.string, configuration: .init(partitionCount: 1), access: access,
      environment: environment(fileSystem))
  }

  /// A store of 20 events whose group has committed each of these, and was closed.
  static func written(_ commits: [Offset] = [3, 7, 12]) async throws -> MemoryFileSystem {
    let fileSystem = MemoryFileSystem()
    let store = try await open(fileSystem)
    try await fill(store, commits)
    try await store.close()
    return fileSystem
  }

  private static func fill(_ store: EventStore, _ commits: [Offset]) async throws {
    _ = try await store.append(
      contentsOf: (0..<20).map { Event(from: "d", body: Payload("\($0)")) })
    guard !commits.isEmpty else { return }
    let group = try await store.consumerGroup("readers")
    for next in commits { try await group.commit(Checkpoint(partition: 0, next: next)) }
  }

  /// Expects that everybody tells the loss, and that the group goes on at a place until a repair,
  /// and behind it.
  static func expectTold(
    _ damaged: MemoryFileSystem, _ kind: DamageKind, goesOnAt next: Offset?, _ place: Comment
  ) async throws {
    let image = damaged.image
    for access in [EventStore.Access.readOnly, .readWrite] {
      let disk = MemoryFileSystem(files: image, directories: damaged.directories)
      let store = try await open(disk, access)
      let notices = store.recoveryNotices
      #expect(notices.map(\.kind) == [.damaged] && notices.first?.partition == nil, place)
      #expect(notices.first?.message.contains("consumer groups") == true, place)
      #expect(try await store.checkpoint() == next, place)
      try await store.close()
      // Nobody has committed anything since.
      #expect(try Fsck.check(root, fileSystem: disk).clean == false, place)
    }
    let found = try Fsck.check(root, fileSystem: damaged).findings.filter { $0.severity > .note }
    #expect(found.map(\.kind) == [kind] && found.first?.file == FileNames.checkpoints, place)
    #expect(damaged.image == image, place)
    try await expectRepaired(damaged, goesOnAt: next, place)
    try await expectCommitted(damaged, image, place)
  }

  private static func expectRepaired(
    _ damaged: MemoryFileSystem, goesOnAt next: Offset?, _ place: Comment
  ) async throws {
    let disk = MemoryFileSystem(files: damaged.image, directories: damaged.directories)
    let outcome = try StoreRepair.run(root, environment: environment(disk))
    #expect(outcome.repairs.contains { $0.kind == .rebuilt && $0.file == FileNames.checkpoints })
    let kept = disk.image.filter { $0.key.string.contains("quarantine/CHECKPOINTS") }.map(\.value)
    #expect(damaged.image[path].map { kept.contains($0) } ?? true, place)
    #expect(try Fsck.check(root, fileSystem: disk).findings.filter { $0.severity > .note } == [])
    let once = disk.image
    #expect(try StoreRepair.run(root, environment: environment(disk)).repairs == [], place)
    #expect(disk.image == once, place)
    let store = try await open(disk)
    #expect(store.recoveryNotices.isEmpty, place)
    #expect(try await store.checkpoint() == next, place)
    try await store.close()
    #expect(try Fsck.check(root, fileSystem: disk).clean, place)
  }

  /// What a group commits from there on is all there is to know again.
  private static func expectCommitted(
    _ damaged: MemoryFileSystem, _ image: [FilePath: [UInt8]], _ place: Comment
  ) async throws {
    for isClosed in [true, false] {
      let disk = MemoryFileSystem(files: image, directories: damaged.directories)
      let store = try await open(disk)
      let group = try await store.consumerGroup("readers")
      try await group.commit(Checkpoint(partition: 0, next: 15))
      let killed = MemoryFileSystem(files: disk.image, directories: disk.directories)
      try await store.close()
      let left = isClosed ? disk : killed
      #expect(try Fsck.check(root, fileSystem: left).clean, place)
      let again = try await open(left)
      #expect(again.recoveryNotices.isEmpty, place)
      #expect(try await again.checkpoint() == 15, place)
      try await again.close()
    }
  }

  @Test("The file is gone")
  func gone() async throws {
    let whole = try await Self.written()
    let damaged = whole.replacing(Self.path, by: nil)
    try await Self.expectTold(damaged, .missingFile, goesOnAt: nil, "gone")
  }

  @Test("The file ends behind its header, with or without zeros")
  func headerOnly() async throws {
    let whole = try await Self.written()
    let bytes = try #require(whole.image[Self.path])
    let header = Array(bytes[..<FileHeader.size])
    for size in [header.count, bytes.count] {
      let zeros = [UInt8](repeating: 0, count: size - header.count)
      let damaged = whole.replacing(Self.path, by: header + zeros)
      try await Self.expectTold(damaged, .lostSuffix, goesOnAt: nil, "\(size) bytes")
    }
  }

  @Test("A store that never had a group has the file, and without it the loss is told")
  func neverUsed() async throws {
    let fileSystem = try await Self.written([])
    #expect(try Fsck.check(Self.root, fileSystem: fileSystem).findings == [])
    let damaged = fileSystem.replacing(Self.path, by: nil)
    try await Self.expectTold(damaged, .missingFile, goesOnAt: nil, "gone")
  }

  @Test("Snapshots have the file, with the groups or without any")
  func snapshots() async throws {
    for commits in [[], [3]] as [[Offset]] {
      let fileSystem = MemoryFileSystem()
      let store = try await Self.open(fileSystem)
      try await Self.fill(store, commits)
      let reader = try await Self.open(fileSystem, .readOnly)
      for (source, place) in [(store, "/writers"), (reader, "/readers")] {
        let report = try await source.snapshot(to: place)
        #expect(report.checkpointDamage == nil)
        #expect(try Fsck.check(FilePath(place), fileSystem: fileSystem).findings == [])
      }
      try await reader.close()
      try await store.close()
    }
  }

  /// A store exists when its manifest does, and has its checkpoints from then on.
  @Test("A crash while a store is made leaves one that is whole, or none, and the next makes it")
  func creation() throws {
    let counting = SimulatedDisk()
    try SimulatedStore.create(on: counting, partitionCount: 2, seed: 1)
    var random = SeededRandom(seed: 3)
    for operation in 1...counting.operationCount {
      let dying = SimulatedDisk(.crash(at: operation))
      do {
        try SimulatedStore.create(on: dying, partitionCount: 2, seed: 1)
      } catch {
        #expect(dying.isDead)
      }
      for style in [CrashStyle.dropAll, .keepAll, .prefix, .random, .random] {
        let disk = dying.crashImage(using: &random, style)
        let place: Comment = "operation \(operation), \(style)"
        if disk.image[SimulatedStore.root.appending(FileNames.manifest)] == nil {
          try SimulatedStore.create(on: disk, partitionCount: 2, seed: 2)
        }
        #expect(try Fsck.check(SimulatedStore.root, fileSystem: disk).findings == [], place)
        let store = try SimulatedStore.open(on: disk, segmentSize: 1 << 16, seed: 4)
        #expect(store.checkpoints.table.loss == nil, place)
      }
    }
  }

  /// Groups were all that the store held, and a new one would have taken their place.
  @Test("A folder that has lost its manifest and holds groups is not taken for an empty one")
  func lostManifest() throws {
    let fileSystem = MemoryFileSystem()
    try SimulatedStore.create(on: fileSystem, partitionCount: 1, seed: 1)
    let created = fileSystem.image
    let store = try SimulatedStore.open(on: fileSystem, segmentSize: 1 << 16, seed: 2)
    try store.commit(0, in: 0)
    var files = created
    files[SimulatedStore.root.appending(FileNames.checkpoints)] =
      fileSystem.image[SimulatedStore.root.appending(FileNames.checkpoints)]
    files[SimulatedStore.root.appending(FileNames.manifest)] = nil
    let damaged = MemoryFileSystem(files: files, directories: fileSystem.directories)
    #expect(throws: (any Error).self) {
      try SimulatedStore.create(on: damaged, partitionCount: 1, seed: 3)
    }
    #expect(damaged.image == files)
  }
}

extension EventStore {
  /// Where the group of these tests goes on; nil where there is none.
  fileprivate func checkpoint() async throws -> Offset? {
    guard consumerGroups.contains(where: { $0.text == "readers" }) else { return nil }
    return try await consumerGroup("readers").checkpoint(in: 0)?.next
  }
}
