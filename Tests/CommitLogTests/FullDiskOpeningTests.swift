import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// On some file systems there must be room also for what is written over something (I9).
@Suite("Opening where nothing can be written over")
struct FullDiskOpeningTests {
  private func full(_ suffix: String) -> FaultPlan {
    FaultPlan(
      failures: [IOFailure.Operation.write, .reserve, .create, .createDirectory].map {
        .init(.call($0, pathSuffix: suffix), .noSpace, isLasting: true)
      })
  }

  private func expectStorageFull(_ body: () throws -> Void) {
    do {
      try body()
      Issue.record("there is room")
    } catch CommitLogFailure.storageFull {
    } catch {
      Issue.record("\(error)")
    }
  }

  /// A disk as a killed process leaves it, whose last edit of the manifest was never synced: it
  /// retires two segments.
  private func retiring() throws -> (disk: SimulatedDisk, count: UInt64, first: UInt64) {
    let disk = SimulatedDisk()
    try TestStore.create(on: disk)
    let store = try TestStore.open(on: disk, segmentSize: 4_096)
    var serial: UInt64 = 0
    while store.partition.snapshot.segments.count < 4 {
      try store.append(serial..<serial + 2)
      serial += 2
    }
    let first = store.partition.snapshot.segments[2].baseNumber
    disk.plan = FaultPlan(failures: [
      .init(.call(.synchronize, pathSuffix: FileNames.manifest), .ioError)
    ])
    #expect(throws: CommitLogFailure.self) {
      try store.log.retire(store.partition, below: first)
    }
    var random = SeededRandom(seed: 1)
    return (disk.crashImage(using: &random, .processOnly), serial, first)
  }

  /// The store did not open.
  @Test("No file goes before the edit that says so is written anew")
  func unsettledManifest() throws {
    let (disk, count, first) = try retiring()
    let files = disk.image.keys.count { $0.extension == "segment" }
    disk.plan = full(FileNames.manifest)
    let store = try TestStore.open(on: disk, seed: 3)
    #expect(store.partition.report.waitsForRoom?.isStorageFull == true)
    #expect(disk.image.keys.count { $0.extension == "segment" } == files)
    #expect(try store.read().serials == Array(first..<count))
    expectStorageFull { try store.append(count..<count + 1) }
    expectStorageFull { try store.log.manifest.settle() }
    // A power failure takes the edit back, and everything is there that the manifest names then.
    var random = SeededRandom(seed: 2)
    let lost = try TestStore.open(on: disk.crashImage(using: &random, .dropAll), seed: 4)
    #expect(try lost.read().serials == Array(0..<count))
    // With room it is made durable, and what it retires goes at the next opening.
    disk.plan = .none
    try store.append(count..<count + 1)
    #expect(store.partition.report.waitsForRoom == nil)
    let after = disk.crashImage(using: &random, .dropAll)
    let again = try TestStore.open(on: after, seed: 5)
    #expect(try again.read().serials == Array(first..<count + 1))
    #expect(after.image.keys.count { $0.extension == "segment" } == files - 2)
  }

  @Test("A manifest that could not be settled and then does not sync takes no more edits (I8)")
  func failedSettling() throws {
    let (disk, count, first) = try retiring()
    disk.plan = full(FileNames.manifest)
    let store = try TestStore.open(on: disk, seed: 3)
    disk.plan = FaultPlan(failures: [
      .init(.call(.synchronize, pathSuffix: FileNames.manifest), .ioError)
    ])
    for _ in 0..<2 {
      #expect(throws: CommitLogFailure.self) { try store.append(count..<count + 1) }
      #expect(throws: CommitLogFailure.self) { try store.log.manifest.settle() }
    }
    #expect(try store.read().serials == Array(first..<count))
  }

  @Test("A bit of the manifest that cannot be set right is read as if it were, and is later")
  func flippedBit() throws {
    var image = try StoreImage.killed([.write(0..<3), .sync])
    var manifest = try image.manifestFile()
    let last = try #require(manifest.frames.last)
    manifest.flipBit(at: last.bodyRange.lowerBound)
    image.put(manifest)
    let disk = image.disk(full(""))
    let store = try TestStore.open(on: disk, seed: 3)
    expectStorageFull { try store.append(3..<4) }
    #expect(disk.image[manifest.path]?.starts(with: manifest.bytes) == true)
    disk.plan = .none
    try store.append(3..<4)
    #expect(try store.read().serials == [0, 1, 2, 3])
    let after = try ManifestImage.read(root: TestStore.root, fileSystem: disk)
    #expect(after.repairs.isEmpty)
    #expect(disk.image.keys.count { $0.string.contains("/quarantine/MANIFEST.healed") } == 1)
  }

  /// Each attempt left one more of them.
  @Test("However often opening is tried, what it keeps is kept once")
  func copies() throws {
    var image = try StoreImage.killed([.write(0..<3), .sync, .mark])
    var manifest = try image.manifestFile()
    let last = try #require(manifest.frames.last)
    manifest.flipBit(at: last.bodyRange.lowerBound)
    image.put(manifest)
    var segment = try image.segment()
    segment.bytes += [UInt8](repeating: 0xee, count: 100)
    image.put(segment)
    let disk = image.disk()
    for seed in 1...3 as ClosedRange<UInt64> {
      disk.plan = full(FileNames.manifest)
      try TestStore.open(on: disk, seed: seed).log.close()
      disk.plan = FaultPlan(failures: [
        .init(.call(.write, pathSuffix: FileNames.manifest), .ioError)
      ])
      if seed == 1 {
        #expect(throws: CommitLogFailure.self) { try TestStore.open(on: disk, seed: seed) }
      }
      disk.plan = FaultPlan(failures: [
        .init(.call(.truncate, pathSuffix: segment.path.string), .ioError)
      ])
      _ = try TestStore.open(on: disk, seed: seed)
    }
    let kept = StoreImage(files: disk.image, directories: disk.directories).quarantine
    #expect(kept.keys.count { $0.contains("healed") } == 1)
    #expect(kept.values.count { $0 == Array(repeating: 0xee, count: 100) } == 1)
    #expect(kept.count == 2)
    disk.plan = .none
    #expect(try TestStore.open(on: disk, seed: 4).read().serials == [0, 1, 2])
  }

  /// Whoever read it could have seen what a power failure takes back.
  @Test("What nothing proves is read once it could be written anew", arguments: [false, true])
  func unprovenTail(_ isTorn: Bool) throws {
    var image = try StoreImage.killed([
      .write(0..<3), .sync, .write(3..<6), .sync, .write(6..<9), .sync,
    ])
    var segment = try image.segment()
    if isTorn {
      segment.bytes += [UInt8](repeating: 0xee, count: 100)
      image.put(segment)
    }
    let disk = image.disk(full(".segment"))
    let store = try TestStore.open(on: disk, seed: 3)
    #expect(try store.read().serials == Array(0..<6))
    #expect(store.partition.highWatermark == 6 && store.partition.nextNumber == 9)
    #expect(store.partition.snapshot.activeEventSize > 0)
    _ = try store.partition.synchronize()
    #expect(store.partition.highWatermark == 6)
    expectStorageFull { try store.partition.showAll() }
    expectStorageFull { try store.append(9..<10) }
    #expect(try store.read().serials == Array(0..<6))
    #expect(disk.image[segment.path] == segment.bytes)
    disk.plan = .none
    try store.partition.showAll()
    #expect(try store.read().serials == Array(0..<9))
    try store.append(9..<10)
    #expect(try store.read().serials == Array(0..<10))
    var random = SeededRandom(seed: 1)
    let again = try TestStore.open(on: disk.crashImage(using: &random, .dropAll), seed: 4)
    #expect(try again.read().serials == Array(0..<10))
    #expect(again.partition.nextNumber == 10)
  }

  @Test("A store that is closed before there is room keeps what nothing proves")
  func closedUnproven() throws {
    let image = try StoreImage.killed([.write(0..<3), .sync, .write(3..<6), .sync])
    let disk = image.disk(full(""))
    try TestStore.open(on: disk, seed: 3).log.close()
    disk.plan = .none
    let again = try TestStore.open(on: disk, seed: 4)
    #expect(try again.read().serials == Array(0..<6))
    #expect(again.partition.report.isClean)
  }

  /// The roll met a file with the name of its segment, and stopped the partition.
  @Test("A segment that was made and never named is in nobody's way when it cannot be moved")
  func orphan() throws {
    let serials: Range<UInt64> = 0..<2
    var image = try StoreImage.killed([.write(serials), .sync])
    let named = try image.segment().path
    // The roll that comes next would make this file.
    let stem = FileNames.segmentStem(baseNumber: serials.upperBound, segmentID: 2)
    let orphan = named.removingLastComponent().appending(stem + FileNames.segmentSuffix)
    image.files[orphan] = Array((image.files[named] ?? []).prefix(FileHeader.size))
    let disk = image.disk(full(""))
    let store = try TestStore.open(on: disk, seed: 3)
    #expect(disk.image[orphan] != nil)
    disk.plan = .none
    try store.append(2..<3)
    try store.partition.sealActive()
    try store.append(3..<4)
    #expect(store.partition.snapshot.segments.map(\.added.segmentID) == [1, 3])
    #expect(try store.read().serials == [0, 1, 2, 3])
    try store.log.close()
    let again = try TestStore.open(on: disk, seed: 4)
    #expect(disk.image[orphan] == nil)
    #expect(try again.read().serials == [0, 1, 2, 3])
  }

  /// Each of the calls with which opening needs room is the first that finds none.
  @Test("A disk that is full from any write of an opening on keeps no store from being opened")
  func anywhere() throws {
    var image = try StoreImage.killed([
      .write(0..<3), .sync, .write(3..<6), .sync, .write(6..<9),
    ])
    var segment = try image.segment()
    segment.bytes += [UInt8](repeating: 0xee, count: 100)
    image.put(segment)
    var nth = 0
    var wasFull = true
    while wasFull {
      nth += 1
      try #require(nth < 100)
      let disk = image.disk(
        FaultPlan(failures: [.init(.call(.write, nth: nth), .noSpace, isLasting: true)]))
      let store = try TestStore.open(on: disk, seed: 3)
      wasFull = store.partition.report.waitsForRoom != nil
      let seen = try store.read().serials
      #expect(seen.count >= 3 && Array(0..<9).starts(with: seen), "write \(nth)")
      if wasFull { expectStorageFull { try store.append(9..<10) } }
      disk.plan = .none
      try store.append(9..<10)
      #expect(try store.read().serials == Array(0..<10), "write \(nth)")
      var random = SeededRandom(seed: 1)
      let again = try TestStore.open(on: disk.crashImage(using: &random, .dropAll), seed: 4)
      #expect(try again.read().serials == Array(0..<10), "write \(nth)")
      #expect(again.partition.report.isClean)
    }
    #expect(nth > 4)
  }
}
