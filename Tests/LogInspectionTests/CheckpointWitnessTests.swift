import EventModel
import LogFormat
import LogInspection
import Millrace
import SimulationKit
import StorageIO
import Synchronization
import SystemPackage
import Testing

/// The last close testifies to where the checkpoints ended (format-spec §8.10).
extension CheckpointLossTests {
  private static func disk(_ fileSystem: MemoryFileSystem) -> MemoryFileSystem {
    MemoryFileSystem(files: fileSystem.image, directories: fileSystem.directories)
  }

  /// A store as ``written(_:)`` makes it, whose checkpoints the next commit writes anew, in another
  /// file, because of a flipped bit that hurts nothing.
  private static func replaceable(_ whole: MemoryFileSystem) throws -> MemoryFileSystem {
    var bytes = try #require(whole.image[path])
    let start = try #require(frameEnds(whole).dropLast().last)
    bytes[start + FrameHeader.size + 3] ^= 4
    return whole.replacing(path, by: bytes)
  }

  /// Where the frames of a store's checkpoint file end.
  private static func frameEnds(_ fileSystem: MemoryFileSystem) throws -> [Int] {
    var ends: [Int] = []
    try StoreInspector(path, fileSystem: fileSystem).walk { item in
      if case .frame(let frame) = item { ends.append(frame.frame.end) }
      return .goOn
    }
    return ends
  }

  @Test("Whole frames are gone from the end, and the frames that are left say nothing of it")
  func cutAtFrame() async throws {
    let whole = try await Self.written()
    let bytes = try #require(whole.image[Self.path])
    let ends = try Self.frameEnds(whole)
    let left: [Offset?] = [nil, nil, nil, 3, 7]
    try #require(ends.count == left.count + 1, "a mark, an epoch, the group and three commits")
    for (end, next) in zip(ends, left) {
      for padding in [0, bytes.count - end] {
        let cut = Array(bytes[..<end]) + [UInt8](repeating: 0, count: padding)
        let damaged = whole.replacing(Self.path, by: cut)
        try await Self.expectTold(damaged, .lostSuffix, goesOnAt: next, "\(end) and \(padding)")
      }
    }
  }

  @Test("A last commit that is damaged is known to be lost, not only suspected")
  func damagedLast() async throws {
    let whole = try await Self.written()
    var bytes = try #require(whole.image[Self.path])
    let start = try #require(Self.frameEnds(whole).dropLast().last)
    for index in start + 70..<start + 80 { bytes[index] ^= 0xff }
    let damaged = whole.replacing(Self.path, by: bytes)
    let store = try await Self.open(damaged, .readOnly)
    #expect(store.recoveryNotices.map(\.kind) == [.damaged])
    try await store.close()
    #expect(try !Fsck.check(Self.root, fileSystem: damaged).clean)
  }

  @Test("An older copy of the file: the same one, or one that was replaced since")
  func olderCopy() async throws {
    let fileSystem = try await Self.written([3])
    let first = try #require(fileSystem.image[Self.path])
    let again = try await Self.open(fileSystem)
    try await again.consumerGroup("readers").commit(Checkpoint(partition: 0, next: 9))
    try await again.close()
    let same = fileSystem.replacing(Self.path, by: first)
    try await Self.expectTold(same, .lostSuffix, goesOnAt: 3, "the same file")
    let whole = try await Self.written()
    let old = try #require(whole.image[Self.path])
    let replaced = try Self.replaceable(whole)
    let writer = try await Self.open(replaced)
    #expect(writer.recoveryNotices.isEmpty)
    try await writer.consumerGroup("readers").commit(Checkpoint(partition: 0, next: 13))
    try await writer.close()
    #expect(try Fsck.check(Self.root, fileSystem: replaced).clean)
    let older = replaced.replacing(Self.path, by: old)
    try await Self.expectTold(older, .badCheckpoint, goesOnAt: 12, "another file")
  }

  @Test("What the last close named stays known while a writer is at work, and after a kill")
  func openedSince() async throws {
    let fileSystem = try await Self.written()
    let end = try #require(Self.frameEnds(fileSystem).dropLast().last)
    let store = try await Self.open(fileSystem)
    _ = try await store.append(Event(from: "d", body: "later"))
    let killed = Self.disk(fileSystem)
    try await store.close()
    #expect(try Fsck.check(Self.root, fileSystem: killed).clean)
    let bytes = try #require(killed.image[Self.path])
    let damaged = killed.replacing(Self.path, by: Array(bytes[..<end]))
    for access in [EventStore.Access.readOnly, .readWrite] {
      let store = try await Self.open(Self.disk(damaged), access)
      #expect(store.recoveryNotices.contains { $0.kind == .damaged && $0.partition == nil })
      try await store.close()
    }
    let found = try Fsck.check(Self.root, fileSystem: damaged).findings.map(\.kind)
    #expect(found.contains(.lostSuffix))
  }

  /// The checkpoints were written anew before the manifest said that anybody was at work.
  @Test("A kill at any moment leaves a file that the manifest knows")
  func replacedAndKilled() async throws {
    let files = try await Self.replaceable(Self.written())
    func run(_ disk: SimulatedDisk) throws {
      let store = try SimulatedStore.open(on: disk, segmentSize: 1 << 16, seed: 3)
      try store.commit(15, in: 0)
      try store.commit(16, in: 0)
      try store.close()
    }
    let counting = SimulatedDisk(files: files.image, directories: files.directories)
    try run(counting)
    var random = SeededRandom(seed: 7)
    for operation in 1...counting.operationCount {
      let dying = SimulatedDisk(
        files: files.image, directories: files.directories, .crash(at: operation))
      do { try run(dying) } catch { #expect(dying.isDead) }
      for style in [CrashStyle.dropAll, .keepAll, .processOnly, .prefix, .random] {
        let image = dying.crashImage(using: &random, style)
        let place: Comment = "operation \(operation), \(style)"
        let found = try Fsck.check(Self.root, fileSystem: image)
        #expect(found.clean, "\(place): \(found.findings)")
        let store = try SimulatedStore.open(on: image, segmentSize: 1 << 16, seed: 4)
        #expect(store.checkpoints.table.loss == nil, place)
        #expect(store.checkpoints.table.checkpoint(of: "readers", in: 0) == 12, place)
      }
    }
  }

  /// The close would have named the file that was there before the crash.
  @Test("A file that was replaced before a crash that tore a commit is not called an older one")
  func replacedAndTorn() async throws {
    let disk = try await Self.replaceable(Self.written())
    let store = try await Self.open(disk)
    let group = try await store.consumerGroup("readers")
    for next in [13, 14, 15] as [Offset] {
      try await group.commit(Checkpoint(partition: 0, next: next))
    }
    let killed = Self.disk(disk)
    try await store.close()
    var bytes = try #require(killed.image[Self.path])
    let start = try #require(Self.frameEnds(killed).dropLast().last)
    for index in start + 70..<start + 80 { bytes[index] ^= 0xff }
    let torn = killed.replacing(Self.path, by: bytes)
    for _ in 0..<3 {
      let again = try await Self.open(torn)
      #expect(again.recoveryNotices.isEmpty)
      #expect(try await again.consumerGroup("readers").checkpoint(in: 0)?.next == 14)
      try await again.close()
      #expect(try Fsck.check(Self.root, fileSystem: torn).clean)
    }
  }

  /// Manifest and checkpoints are not read in one moment.
  @Test(
    "A writer that replaces the file while others look damages nothing", arguments: [true, false])
  func replacedMeanwhile(isClosed: Bool) async throws {
    let files = try await Self.replaceable(Self.written())
    var number = 0
    var isOver = false
    while !isOver {
      number += 1
      isOver = true
      for isFollower in [true, false] {
        let disk = Self.disk(files)
        let writer = Mutex<SimulatedStore?>(nil)
        let changing = ChangingFileSystem(disk, at: number) {
          writer.withLock { writer in
            do {
              let store = try SimulatedStore.open(on: disk, segmentSize: 1 << 16, seed: 3)
              try store.commit(15, in: 0)
              if isClosed { try store.close() } else { writer = store }
            } catch {
              Issue.record(error)
            }
          }
        }
        if isFollower {
          let store = try await Self.open(changing, .readOnly)
          #expect(store.recoveryNotices.isEmpty, "before file \(number)")
          try await store.close()
        } else {
          let found = try Fsck.check(Self.root, fileSystem: changing)
          #expect(found.clean, "before file \(number): \(found.findings)")
        }
        if changing.hasChanged { isOver = false }
      }
    }
    #expect(number > 5)
  }

  @Test("A manifest that was put together names no end, and the next close does")
  func rebuiltManifest() async throws {
    let whole = try await Self.written()
    let damaged = whole.replacing(Self.root.appending(FileNames.manifest), by: nil)
    let outcome = try StoreRepair.run(Self.root, environment: Self.environment(damaged))
    #expect(outcome.repairs.contains { $0.kind == .rebuilt && $0.file == FileNames.manifest })
    #expect(try Fsck.check(Self.root, fileSystem: damaged).clean)
    let store = try await Self.open(damaged)
    #expect(store.recoveryNotices.isEmpty)
    try await store.close()
    let end = try #require(Self.frameEnds(damaged).dropLast().last)
    let bytes = try #require(damaged.image[Self.path])
    let cut = damaged.replacing(Self.path, by: Array(bytes[..<end]))
    #expect(try !Fsck.check(Self.root, fileSystem: cut).clean)
  }
}

/// Runs something once, before a file is opened for the so-manieth time.
private final class ChangingFileSystem: FileSystem {
  private let below: MemoryFileSystem
  private let number: Int
  private let change: @Sendable () -> Void
  private let count = Mutex(0)

  init(_ below: MemoryFileSystem, at number: Int, _ change: @escaping @Sendable () -> Void) {
    self.below = below
    self.number = number
    self.change = change
  }

  var hasChanged: Bool { count.withLock { $0 } >= number }

  func open(_ path: FilePath, _ access: FileAccess) throws(IOFailure) -> any StorageFile {
    let isTime = count.withLock { count in
      count += 1
      return count == number
    }
    if isTime { change() }
    return try below.open(path, access)
  }

  func kind(of path: FilePath) throws(IOFailure) -> FileKind? { try below.kind(of: path) }
  func list(_ directory: FilePath) throws(IOFailure) -> [DirectoryEntry] {
    try below.list(directory)
  }
  func createDirectory(_ path: FilePath) throws(IOFailure) { try below.createDirectory(path) }
  func rename(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    try below.rename(path, to: target)
  }
  func link(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    try below.link(path, to: target)
  }
  func remove(_ path: FilePath) throws(IOFailure) { try below.remove(path) }
  func removeDirectory(_ path: FilePath) throws(IOFailure) { try below.removeDirectory(path) }
  func synchronizeDirectory(_ path: FilePath) throws(IOFailure) {
    try below.synchronizeDirectory(path)
  }
  func openVolume(of path: FilePath) throws(IOFailure) -> any StorageVolume {
    try below.openVolume(of: path)
  }
  func lock(_ path: FilePath) throws(IOFailure) -> LockAttempt { try below.lock(path) }
  func lockHolder(of path: FilePath) throws(IOFailure) -> LockHolder? {
    try below.lockHolder(of: path)
  }
}
