import CommitLog
import EventModel
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// What a repair does about each kind of damage; the sweeps of `DamageTests` go everywhere.
@Suite("Repairing a store")
struct RepairTests {
  func repair(_ fileSystem: any FileSystem) throws -> StoreRepair.Outcome {
    try StoreRepair.run(
      SampleStore.root, environment: SimulatedStore.environment(fileSystem, seed: 1))
  }

  /// Repairs a store, expects that a check finds nothing worse than notes, and returns what was
  /// done with what is there now.
  func repaired(
    _ store: SampleStore
  ) throws -> (repairs: [Repair], files: [FilePath: [UInt8]]) {
    let fileSystem = store.fileSystem
    let outcome = try repair(fileSystem)
    let left = try Fsck.check(SampleStore.root, fileSystem: fileSystem).findings
    #expect(left.filter { $0.severity > .note } == [])
    return (outcome.repairs, fileSystem.image)
  }

  private func name(_ path: FilePath) -> String {
    String(path.string.dropFirst(SampleStore.root.string.count + 1))
  }

  @Test("A store without damage stays as it is, to the byte", arguments: [true, false])
  func healthy(isClosed: Bool) throws {
    let store = try SampleStore(isClosed: isClosed)
    let fileSystem = store.fileSystem
    #expect(try repair(fileSystem).repairs == [])
    #expect(fileSystem.image == store.files)
  }

  @Test("A flipped bit of a sealed segment is set right, and the frame is kept as it was")
  func flippedBit() throws {
    var store = try SampleStore()
    let whole = store.files
    let path = store.sealed
    store.files[path]?[300] ^= 0x40
    let (repairs, files) = try repaired(store)
    #expect(repairs.map(\.kind) == [.healed])
    #expect(files[path] == whole[path])
    let kept = files.filter { $0.key.string.contains("/quarantine/") }
    #expect(kept.count == 1)
    #expect(try #require(kept.first).value.contains(try #require(store.files[path]?[300])))
  }

  /// It would be believed for good: nothing makes a footer again that says what it is.
  @Test("The footer that leaves out what is healed is set aside")
  func footerOfHealed() throws {
    let disk = MemoryFileSystem()
    try SimulatedStore.create(on: disk, partitionCount: 1, seed: 1)
    let store = try SimulatedStore.open(on: disk, segmentSize: 1 << 20, seed: 1)
    for number in 0..<20 { try store.append(UInt64(number)..<UInt64(number) + 1, to: 0) }
    let partition = store.log.partitions[0]
    try partition.sealActive()
    let segment = partition.snapshot.segments[0]
    let bytes = try #require(disk.image[segment.path])
    let frame = try #require(
      stride(from: bytes.count / 2 / 64 * 64, to: bytes.count, by: 64).first {
        FrameHeader.bearsMagic(bytes.span.bytes, at: $0)
      })
    let place = frame + FrameHeader.size + 2
    let flipped = [bytes[place] ^ 1]
    try disk.open(segment.path, .readWrite)
      .write(flipped.span.bytes, at: FilePosition(place))
    #expect(try partition.writeMissingFooter(store.log.mappings))
    let files = MemoryFileSystem(files: disk.image, directories: disk.directories)
    let outcome = try StoreRepair.run(
      SimulatedStore.root, environment: SimulatedStore.environment(files, seed: 3))
    #expect(outcome.repairs.map(\.kind) == [.setAside, .healed])
    #expect(files.image[segment.path] == bytes)
    #expect(files.image[segment.footerPath] == nil)
  }

  @Test("What cannot be set right becomes a gap with the numbers, and the bytes stay")
  func gap() throws {
    var store = try SampleStore()
    for index in 300..<330 { store.files[store.sealed]?[index] ^= 0xff }
    let (repairs, files) = try repaired(store)
    #expect(repairs.map(\.kind) == [.gapRecorded])
    #expect(files[store.sealed] == store.files[store.sealed])
    let found = try Fsck.check(
      SampleStore.root, fileSystem: MemoryFileSystem(files: files)
    ).findings
    let gap = try #require(found.first { $0.kind == .manifestGap })
    #expect(gap.acknowledgedLoss?.firstSequence == 0)
    #expect(gap.acknowledgedLoss?.nextSequence == 2)
  }

  /// The first pass recorded as much as was told, the second one saw only that, as notes.
  @Test("Damage that there is more of than a check tells is all recorded")
  func manyGaps() throws {
    let disk = MemoryFileSystem()
    try SimulatedStore.create(on: disk, partitionCount: 1, seed: 1)
    let store = try SimulatedStore.open(on: disk, segmentSize: 1 << 20, seed: 1)
    for number in 0..<20 { try store.append(UInt64(number)..<UInt64(number) + 1, to: 0) }
    try store.log.partitions[0].sealActive()
    let path = store.log.partitions[0].snapshot.segments[0].path
    try store.log.close()
    let bytes = try #require(disk.image[path])
    let file = try disk.open(path, .readWrite)
    for frame in stride(from: FileHeader.size, to: bytes.count, by: FrameHeader.alignment)
    where FrameHeader.bearsMagic(bytes.span.bytes, at: frame) {
      let place = frame + FrameHeader.size + 50
      let spoilt = bytes[place..<place + 10].map { ~$0 }
      try file.write(spoilt.span.bytes, at: FilePosition(place))
    }
    let outcome = try StoreRepair.run(
      SimulatedStore.root, environment: SimulatedStore.environment(disk, seed: 3), findingMax: 2)
    #expect(outcome.repairs.count { $0.kind == .gapRecorded } >= 20)
    let left = try Fsck.check(SimulatedStore.root, fileSystem: disk)
    #expect(left.clean && !left.needsRepair)
  }

  @Test("A sealed segment that is gone becomes a gap, one for new events is made again")
  func missingSegments() throws {
    var store = try SampleStore()
    store.files[store.sealed] = nil
    store.files[store.other] = nil
    let (repairs, files) = try repaired(store)
    #expect(Set(repairs.map(\.kind)) == [.gapRecorded, .rebuilt])
    #expect(files[store.sealed] == nil)
    #expect(files[store.other]?.count == FileHeader.size)
  }

  @Test("A header that is gone is written anew from the manifest")
  func header() throws {
    var store = try SampleStore()
    let whole = store.files
    for index in 0..<FileHeader.size { store.files[store.active]?[index] = 0 }
    let (repairs, files) = try repaired(store)
    #expect(repairs.map(\.kind) == [.healed])
    #expect(files[store.active] == whole[store.active])
  }

  @Test("Without a manifest everything that is there is named again")
  func manifest() throws {
    var store = try SampleStore()
    store.files[SampleStore.manifest] = nil
    let (repairs, files) = try repaired(store)
    #expect(repairs.map(\.kind) == [.rebuilt])
    let statistics = try StoreStatistics.collect(
      SampleStore.root, fileSystem: MemoryFileSystem(files: files))
    #expect(statistics.partitions.map(\.nextSequence) == [11, 4])
  }

  @Test("A partition of which nothing is left begins anew, beside what is there")
  func partitionGone() throws {
    var store = try SampleStore()
    store.files[SampleStore.manifest] = nil
    store.files = store.files.filter { !$0.key.string.contains("/001/") }
    // The folder itself says that there was a partition.
    store.files[store.other.removingLastComponent().appending("stray")] = []
    let (repairs, files) = try repaired(store)
    #expect(repairs.filter { $0.kind == .rebuilt }.count == 2)
    let statistics = try StoreStatistics.collect(
      SampleStore.root, fileSystem: MemoryFileSystem(files: files))
    #expect(statistics.partitions.map(\.nextSequence) == [11, 0])
  }

  @Test("A partition of which only a checkpoint is left goes on behind it (I15)")
  func partitionWithCheckpoint() throws {
    var store = try SampleStore()
    store.files[SampleStore.manifest] = nil
    store.files = store.files.filter { !$0.key.string.contains("/000/") }
    let (repairs, files) = try repaired(store)
    #expect(repairs.contains { $0.kind == .gapRecorded })
    let statistics = try StoreStatistics.collect(
      SampleStore.root, fileSystem: MemoryFileSystem(files: files))
    #expect(statistics.partitions[0].nextSequence == 7)
  }

  /// A store of 301 events as it is before a merge of its sealed segment, and behind it.
  private static func mergedStore() throws -> (
    before: [FilePath: [UInt8]], after: MemoryFileSystem
  ) {
    let disk = MemoryFileSystem()
    try SimulatedStore.create(on: disk, partitionCount: 1, seed: 1)
    let store = try SimulatedStore.open(on: disk, segmentSize: 1 << 20, seed: 1)
    for number in 0..<300 { try store.append(UInt64(number)..<UInt64(number) + 1, to: 0) }
    let partition = store.log.partitions[0]
    try partition.sealActive()
    try store.append(300..<301, to: 0)
    _ = try partition.synchronize()
    let before = disk.image
    try #require(try partition.mergeSmallBatches(store.log.mappings))
    return (before, disk)
  }

  @Test("Where a merge was under way and the manifest is gone, every event is there once")
  func mergeWithoutManifest() throws {
    let (before, disk) = try Self.mergedStore()
    // Both the old segment and the one that takes its place, and nothing that says which counts.
    var files = before.merging(disk.image) { $1 }
    files[SimulatedStore.root.appending(FileNames.manifest)] = nil
    let both = MemoryFileSystem(files: files, directories: disk.directories)
    try Self.expectWhole(both)
  }

  /// Repairs a store that has no manifest, and expects all of the 301 events.
  private static func expectWhole(_ fileSystem: MemoryFileSystem) throws {
    let environment = SimulatedStore.environment(fileSystem, seed: 3)
    let outcome = try StoreRepair.run(SimulatedStore.root, environment: environment)
    #expect(outcome.repairs.contains { $0.kind == .rebuilt })
    #expect(try Fsck.check(SimulatedStore.root, fileSystem: fileSystem).clean)
    let again = try SimulatedStore.open(on: fileSystem, segmentSize: 1 << 20, seed: 4)
    #expect(again.log.partitions[0].snapshot.highWatermark == 301)
    let statistics = try StoreStatistics.collect(SimulatedStore.root, fileSystem: fileSystem)
    #expect(statistics.partitions.map(\.events) == [301])
  }

  @Test("Where a merge was under way, the file that holds more of the same events counts")
  func mergeOfCutSegment() throws {
    let (before, disk) = try Self.mergedStore()
    var files = before.merging(disk.image) { $1 }
    files[SimulatedStore.root.appending(FileNames.manifest)] = nil
    let old = try #require(
      before.keys.first { disk.image[$0] == nil && $0.extension == "segment" })
    files[old] = files[old].map { Array($0[..<($0.count / 2)]) }
    let both = MemoryFileSystem(files: files, directories: disk.directories)
    try Self.expectWhole(both)
  }

  @Test("Checkpoints keep what can be read of them")
  func checkpoints() throws {
    var store = try SampleStore()
    let size = try #require(store.files[SampleStore.checkpoints]?.count)
    for index in 200..<210 { store.files[SampleStore.checkpoints]?[index] ^= 0xff }
    let (repairs, files) = try repaired(store)
    #expect(repairs.map(\.kind) == [.rebuilt])
    #expect(files.keys.contains { $0.string.contains("quarantine/CHECKPOINTS") })
    #expect(files[SampleStore.checkpoints].map { $0.count < size } ?? false)
  }

  @Test("A manifest that a repair replaces is kept, also where nothing is wrong with it")
  func replacedManifest() throws {
    var store = try SampleStore()
    store.files[store.other] = nil
    let (repairs, files) = try repaired(store)
    #expect(!repairs.contains { $0.file == FileNames.manifest })
    let before = try #require(store.files[SampleStore.manifest])
    #expect(files[SampleStore.manifest] != before)
    #expect(files.contains { $0.key.string.contains("/quarantine/") && $0.value == before })
  }

  @Test("A folder in a segment's place is set aside")
  func folderInPlace() throws {
    var store = try SampleStore()
    store.files[store.other] = nil
    store.files[store.other.appending("inside")] = [1, 2, 3]
    let (repairs, files) = try repaired(store)
    #expect(repairs.contains { $0.kind == .setAside && $0.file == name(store.other) })
    #expect(files.values.contains([1, 2, 3]))
  }

  @Test("A folder in the lock's place is set aside once there is something to repair")
  func folderForLock() throws {
    var store = try SampleStore()
    let lock = SampleStore.root.appending(FileNames.lock)
    store.files[lock] = nil
    store.files[lock.appending("inside")] = [7, 8, 9]
    #expect(try repair(store.fileSystem).repairs == [])
    store.files[store.sealed]?[300] ^= 0x40
    let (repairs, files) = try repaired(store)
    #expect(repairs.contains { $0.kind == .setAside && $0.file == FileNames.lock })
    #expect(repairs.contains { $0.kind == .healed })
    #expect(files.values.contains([7, 8, 9]))
  }

  @Test("What else lies among the partitions is none of them")
  func strayFolder() throws {
    var store = try SampleStore()
    let stray = SampleStore.root.appending(FileNames.partitions).appending("notes/to-do")
    store.files[stray] = [1]
    store.files[SampleStore.manifest] = nil
    let (_, files) = try repaired(store)
    #expect(files[stray] == [1])
    let statistics = try StoreStatistics.collect(
      SampleStore.root, fileSystem: MemoryFileSystem(files: files))
    #expect(statistics.partitions.map(\.nextSequence) == [11, 4])
  }

  @Test(
    "A call that fails on the way is told or passed over, and the next repair does the rest",
    arguments: [
      IOFailure.Operation.open, .read, .map, .create, .inspect, .list, .lock, .write, .rename,
      .synchronize, .synchronizeDirectory, .truncate,
    ], ["", FileNames.lock, FileNames.manifest, FileNames.checkpoints, ".segment", "s/000"])
  func failingCall(_ operation: IOFailure.Operation, _ suffix: String) throws {
    var store = try SampleStore()
    store.files[store.sealed]?[300] ^= 0x40
    store.files[store.other] = nil
    for index in 200..<210 { store.files[SampleStore.checkpoints]?[index] ^= 0xff }
    let expected = try Self.shown(by: MemoryFileSystem(files: try repaired(store).files))
    let disk = SimulatedDisk(files: store.files)
    disk.plan = FaultPlan(
      failures: [.init(.call(operation, pathSuffix: suffix), .ioError, isLasting: true)])
    do throws(RepairFailure) {
      _ = try StoreRepair.run(
        SampleStore.root, environment: SimulatedStore.environment(disk, seed: 1))
    } catch {
      #expect("\(error)".contains("Input/output error"))
    }
    disk.plan = .none
    _ = try repair(disk)
    let left = try Fsck.check(SampleStore.root, fileSystem: disk).findings
    #expect(left.filter { $0.severity > .note } == [])
    #expect(try Self.shown(by: disk) == expected)
  }

  /// A folder of the store was taken for what stands in a file's place, and set aside.
  @Test(
    "A folder that is not listed once stays where it is", arguments: 1...12,
    ["s/000", FileNames.partitions])
  func unlistedOnce(_ nth: Int, _ suffix: String) throws {
    var store = try SampleStore()
    store.files[store.sealed]?[300] ^= 0x40
    let expected = try Self.shown(by: MemoryFileSystem(files: try repaired(store).files))
    let disk = SimulatedDisk(files: store.files)
    disk.plan = FaultPlan(failures: [.init(.call(.list, pathSuffix: suffix, nth: nth), .ioError)])
    _ = try repair(disk)
    disk.plan = .none
    _ = try repair(disk)
    #expect(try Self.shown(by: disk) == expected)
    #expect(
      try Fsck.check(SampleStore.root, fileSystem: disk).findings.allSatisfy {
        $0.severity == .note
      })
  }

  /// Every record that `dump` shows: partition, number and body.
  static func shown(by fileSystem: any FileSystem) throws -> [String] {
    var shown: [String] = []
    try StoreInspector(SampleStore.root, fileSystem: fileSystem).walk { item in
      if case .record(let record) = item {
        shown.append("\(record.partition) \(record.sequenceNumber) \(record.body)")
      }
      return .goOn
    }
    return shown
  }
}
