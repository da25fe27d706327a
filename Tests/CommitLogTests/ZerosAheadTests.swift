import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Zeros written ahead of the frames where little is synced at a time.
@Suite("Zeros ahead of small groups")
struct ZerosAheadTests {
  private let fileSystem = MemoryFileSystem()

  private func open() throws -> TestStore {
    try TestStore.create(on: fileSystem)
    return try TestStore.open(on: fileSystem)
  }

  /// The bytes of the active segment's file behind its last frame.
  private func rest(_ store: TestStore) throws -> [UInt8] {
    let snapshot = store.partition.snapshot
    let path = try #require(snapshot.segments.last?.path)
    return Array(try #require(fileSystem.image[path]).dropFirst(snapshot.activeEnd))
  }

  private func appendSmall(_ serials: Range<UInt64>, to store: TestStore) throws {
    for serial in serials { try store.append(serial..<serial + 1) }
  }

  @Test("They come with small groups, at most 128 KiB of them, and a close takes them away")
  func small() throws {
    let store = try open()
    try appendSmall(0..<1, to: store)
    #expect(try rest(store).isEmpty)
    try appendSmall(1..<2_000, to: store)
    let ahead = try rest(store)
    #expect((1...128 << 10).contains(ahead.count) && ahead.allSatisfy { $0 == 0 })
    try store.log.close()
    #expect(try rest(store).isEmpty)
  }

  @Test("Large groups write none")
  func large() throws {
    let store = try open()
    for seed in 0..<12 {
      try store.append(bodySize: 120 << 10, seed: UInt64(seed))
      #expect(try rest(store).isEmpty)
    }
  }

  @Test("Groups of 50 KB have them for several groups, at most 512 KiB")
  func middling() throws {
    let store = try open()
    var most = 0
    for seed in 0..<60 {
      try store.append(bodySize: 50 << 10, seed: UInt64(seed))
      most = max(most, try rest(store).count)
    }
    #expect((256 << 10...512 << 10).contains(most))
  }

  @Test("After a kill they are no tail: nothing is cut, and appending goes on in them")
  func killed() throws {
    let store = try open()
    try appendSmall(0..<30, to: store)
    #expect(try !rest(store).isEmpty)
    let killed = StoreImage(fileSystem).memory()
    let again = try TestStore.open(on: killed, seed: 3)
    try again.append(30..<31)
    #expect(again.partition.report.tail == nil && again.partition.report.findings.isEmpty)
    #expect(try again.read().serials == Array(0..<31))
    try again.log.close()
    #expect(try TestStore.open(on: killed, seed: 4).read().serials == Array(0..<31))
  }

  @Test("A sealed segment ends with its last frame")
  func sealed() throws {
    let store = try open()
    try appendSmall(0..<30, to: store)
    let segment = try #require(store.partition.snapshot.segments.last)
    try store.partition.sealActive()
    let summary = try #require(store.partition.snapshot.segments.first?.summary)
    let size = try fileSystem.open(segment.path, .readOnly).size()
    #expect(size == ByteCount(Int(summary.endPosition)))
  }

  @Test(
    "A roll whose sync fails stops the partition, also for want of room (I8)",
    arguments: [Errno.ioError, .noSpace])
  func failedRoll(_ reason: Errno) throws {
    func fill(_ fileSystem: any FileSystem) throws -> TestStore {
      try TestStore.create(on: fileSystem)
      let store = try TestStore.open(on: fileSystem)
      try appendSmall(0..<30, to: store)
      return store
    }
    let observed = ObservedFileSystem(MemoryFileSystem())
    _ = try fill(observed)
    let syncs = observed.calls.count {
      $0.operation == .synchronize && $0.path.string.hasSuffix(".segment")
    }
    let disk = SimulatedDisk(
      FaultPlan(failures: [
        .init(.call(.synchronize, pathSuffix: ".segment", nth: syncs + 1), reason)
      ]))
    let store = try fill(disk)
    #expect(throws: CommitLogFailure.self) { try store.partition.sealActive() }
    #expect(store.partition.poison != nil)
    #expect(throws: CommitLogFailure.self) { try store.append(30..<31) }
    var random = SeededRandom(seed: 1)
    let again = try TestStore.open(on: disk.crashImage(using: &random, .dropAll), seed: 3)
    #expect(try again.read().serials == Array(0..<30))
  }

  @Test("A follower sees events that did not make the file grow, and is told when there are none")
  func followed() throws {
    let store = try open()
    try appendSmall(0..<30, to: store)
    let path = try #require(store.partition.snapshot.segments.last?.path)
    let follower = try LogFollower.open(
      at: TestStore.root, environment: TestStore.environment(fileSystem, seed: 9)
    ) { (_) throws(CommitLogFailure) in [:] }
    let size = try fileSystem.open(path, .readOnly).size()
    try appendSmall(30..<32, to: store)
    try store.partition.writeMark()
    #expect(try fileSystem.open(path, .readOnly).size() == size)
    #expect(try follower.refresh())
    #expect(follower.snapshot(of: 0).highWatermark == 32)
    #expect(try !follower.refresh())
  }

  /// Of frames and of zeros: each write of the segment fails once.
  @Test("A write that finds the disk full loses nothing and stops nothing", arguments: 1...40)
  func full(_ nth: Int) throws {
    let disk = SimulatedDisk(
      FaultPlan(failures: [
        .init(
          .call(.write, pathSuffix: ".segment", nth: nth), .noSpace, bytesWritten: nth % 3 * 50)
      ]))
    do throws(CommitLogFailure) {
      try TestStore.create(on: disk)
    } catch {
      return
    }
    let store = try TestStore.open(on: disk)
    for serial in 0..<UInt64(40) {
      do throws(CommitLogFailure) {
        try store.append(serial..<serial + 1)
      } catch .storageFull {
        try store.append(serial..<serial + 1)
      }
    }
    #expect(try store.read().serials == Array(0..<40))
    try store.log.close()
    #expect(try TestStore.open(on: disk, seed: 3).read().serials == Array(0..<40))
  }
}
