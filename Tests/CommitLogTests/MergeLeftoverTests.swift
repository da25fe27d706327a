import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// A merge that was cut short leaves a file whose events stand in the sealed segment as well.
@Suite("What a merge leaves that cannot be moved")
struct MergeLeftoverTests {
  private static let serials = Array(0..<24 as Range<UInt64>)

  private func makeStore(on disk: any FileSystem) throws -> SimulatedStore {
    try SimulatedStore.create(on: disk, partitionCount: 1, seed: 1)
    let store = try SimulatedStore.open(on: disk, segmentSize: 64 << 10, seed: 1)
    for serial in Self.serials.dropLast(4) { try store.append([serial], to: 0) }
    try store.log.partitions[0].sealActive()
    for serial in Self.serials.suffix(4) { try store.append([serial], to: 0) }
    _ = try store.log.partitions[0].synchronize()
    return store
  }

  private func open(_ disk: any FileSystem, seed: UInt64) throws -> SimulatedStore {
    try SimulatedStore.open(on: disk, segmentSize: 64 << 10, seed: seed)
  }

  /// A disk whose process was killed before it named the merged segment, and that segment's path.
  private func leftover() throws -> (disk: SimulatedDisk, path: FilePath) {
    let disk = SimulatedDisk()
    let store = try makeStore(on: disk)
    disk.plan = FaultPlan(failures: [
      .init(.call(.write, pathSuffix: FileNames.manifest), .ioError, isLasting: true),
      .init(.call(.truncate, pathSuffix: FileNames.manifest), .ioError, isLasting: true),
    ])
    let partition = store.log.partitions[0]
    #expect(throws: CommitLogFailure.self) {
      try partition.mergeSmallBatches(store.log.mappings)
    }
    var random = SeededRandom(seed: 1)
    let killed = disk.crashImage(using: &random, .processOnly)
    let named = Set(partition.snapshot.segments.map(\.path))
    let others = killed.image.keys.filter { $0.extension == "segment" && !named.contains($0) }
    try #require(others.count == 1)
    return (killed, others[0])
  }

  /// Opens a disk on which the file can be moved, and looks for what is to be there: all events, or
  /// those that were not retired.
  private func check(_ disk: SimulatedDisk, _ path: FilePath, isRetired: Bool?) throws {
    disk.plan = .none
    let store = try open(disk, seed: 9)
    let seen = try store.read(0)
    let isShort = isRetired ?? (seen.serials.count == 4)
    #expect(seen.serials == (isShort ? Self.serials.suffix(4) : Self.serials))
    #expect(seen.gaps.map(\.reason) == (isShort ? [.retired] : []))
    #expect(store.log.partitions[0].report.isClean)
    #expect(disk.image[path] == nil)
    try store.append([24], to: 0)
    try store.log.partitions[0].sealActive()
    #expect(try store.read(0).serials == seen.serials + [24])
    try store.log.close()
  }

  /// The store did not open: a segment that held events and had no name looked like a lost edit.
  @Test(
    "It stands in nobody's way when retention has dropped the same events",
    arguments: [Errno.noSpace, .permissionDenied], CrashStyle.allCases)
  func retired(_ reason: Errno, _ style: CrashStyle) throws {
    var random = SeededRandom(seed: 1)
    let (first, path) = try leftover()
    var operation = 0
    var isDone = false
    while !isDone {
      operation += 1
      let disk = SimulatedDisk(files: first.image, directories: first.directories)
      let stays = FaultPlan.Failure(
        .call(.rename, pathSuffix: path.string), reason, isLasting: true)
      disk.plan = FaultPlan(failures: [stays])
      let store = try open(disk, seed: 2)
      #expect(try store.read(0).serials == Self.serials)
      disk.plan = FaultPlan(failures: [stays], crashOperation: disk.operationCount + operation)
      do {
        #expect(try store.log.retire(store.log.partitions[0], below: 20) == 1)
      } catch {
        try #require(disk.isDead)
      }
      isDone = !disk.isDead
      #expect(disk.image[path] != nil)
      let after = disk.crashImage(using: &random, style)
      // Once more without being able to move it.
      after.plan = FaultPlan(failures: [stays])
      _ = try open(after, seed: 3)
      try check(
        after.crashImage(using: &random, style), path, isRetired: isDone ? true : nil)
    }
    #expect(operation > 3)
  }

  @Test("So it is where the process that made it went on")
  func sameProcess() throws {
    let disk = SimulatedDisk()
    let store = try makeStore(on: disk)
    let partition = store.log.partitions[0]
    disk.plan = FaultPlan(failures: [
      .init(.call(.write, pathSuffix: FileNames.manifest), .noSpace),
      .init(.call(.remove), .ioError, isLasting: true),
    ])
    let named = Set(partition.snapshot.segments.map(\.path))
    #expect(throws: CommitLogFailure.self) {
      try partition.mergeSmallBatches(store.log.mappings)
    }
    let path = try #require(
      disk.image.keys.first { $0.extension == "segment" && !named.contains($0) })
    disk.plan = .none
    #expect(try store.log.retire(partition, below: 20) == 1)
    var random = SeededRandom(seed: 1)
    try check(disk.crashImage(using: &random, .dropAll), path, isRetired: true)
  }

  /// The active segment may be damaged as well: what is told of the log is that.
  @Test("Nothing is dropped of a log whose folder could not be listed", arguments: [false, true])
  func unlisted(_ isDamaged: Bool) throws {
    let (disk, path) = try leftover()
    let folder = path.removingLastComponent()
    disk.plan = FaultPlan(failures: [
      .init(.call(.list, pathSuffix: folder.string), .permissionDenied, isLasting: true)
    ])
    let active = try #require(
      disk.image.keys.first { $0.string.contains("/00000000000000000020-") })
    if isDamaged { disk.plan.badSectors = [active.string: 512..<1 << 30] }
    let store = try open(disk, seed: 2)
    let cause = try #require(store.log.partitions[0].report.unreadable)
    #expect(cause.path == (isDamaged ? active : folder))
    #expect(try store.log.retire(store.log.partitions[0], below: 20) == 0)
    let rule = RetentionPlan.Rule(size: 1)
    #expect(try store.log.retain(rule, consumed: [nil]).partitions.isEmpty)
    var random = SeededRandom(seed: 1)
    try check(disk.crashImage(using: &random, .dropAll), path, isRetired: false)
  }
}
