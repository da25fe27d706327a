import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// What the manifest does not name, and cannot be looked at, holds back its own partition alone.
@Suite("Files without a name in the manifest that cannot be read")
struct UnreadableOrphanTests {
  /// A killed store of two partitions with a journal, and where the next segment of the first would
  /// be.
  private func files() throws -> (image: StoreImage, next: FilePath) {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem, partitionCount: 2)
    let store = try TestStore.open(on: fileSystem)
    try store.append(0..<4)
    try store.append(0..<5, to: 1)
    try store.append(0..<3, to: try store.log.log(.journal))
    for partition in store.log.partitions { try partition.writeMark() }
    let image = StoreImage(fileSystem)
    let stem = FileNames.segmentStem(baseNumber: 4, segmentID: 4)
    let folder = try image.segment().path.removingLastComponent()
    return (image, folder.appending(stem + FileNames.segmentSuffix))
  }

  private func follow(_ disk: any FileSystem) throws(CommitLogFailure) -> LogFollower {
    try LogFollower.open(at: TestStore.root, environment: TestStore.environment(disk, seed: 9)) {
      (_) throws(CommitLogFailure) in [:]
    }
  }

  /// The records that a cursor gives until it throws, and where that was.
  private func read(_ cursor: BatchCursor) throws -> (count: Int, place: UnreadablePlace?) {
    var count = 0
    do throws(CommitLogFailure) {
      while let item = try cursor.read() {
        guard case .batch(let batch, let first) = item else {
          Issue.record("a gap")
          continue
        }
        count += Int(batch.header.recordCount) - first
      }
      return (count, nil)
    } catch .unreadable(let place) {
      return (count, place)
    }
  }

  private func read(_ follower: LogFollower, _ partition: Int) throws -> (
    count: Int, place: UnreadablePlace?
  ) {
    try read(
      BatchCursor(
        from: 0, mappings: follower.mappings, fileSystem: follower.context.fileSystem
      ) { follower.snapshot(of: partition) })
  }

  private func failing(
    _ operation: IOFailure.Operation, _ path: FilePath, _ reason: Errno
  ) -> FaultPlan {
    FaultPlan(failures: [
      .init(.call(operation, pathSuffix: path.string), reason, isLasting: true)
    ])
  }

  /// A store with such a file, the plans under which it cannot be read, and its path.
  private func cases() throws -> [(image: StoreImage, plan: FaultPlan, path: FilePath)] {
    var (image, next) = try files()
    image.files[next] = [UInt8](repeating: 1, count: 4_096)
    let folder = next.removingLastComponent()
    return [
      (image, failing(.open, next, .ioError), next),
      (image, failing(.open, next, .permissionDenied), next),
      (image, failing(.inspect, next, .ioError), next),
      (image, failing(.read, next, .ioError), next),
      (image, FaultPlan(badSectors: [next.string: 0..<64]), next),
      (image, failing(.list, folder, .ioError), folder),
      (image, failing(.list, folder, .permissionDenied), folder),
    ]
  }

  /// A want of descriptors or of memory is nothing that a file has.
  @Test("What is no fault of a file fails the opening, and the next one finds all as it was")
  func noFault() throws {
    var (image, next) = try files()
    image.files[next] = [UInt8](repeating: 1, count: 4_096)
    let folder = next.removingLastComponent()
    let plans = [
      failing(.open, next, .tooManyOpenFiles), failing(.read, next, .noMemory),
      failing(.list, folder, .tooManyOpenFiles), failing(.rename, next, .tooManySymbolicLinkLevels),
    ]
    for (number, plan) in plans.enumerated() {
      let disk = image.disk(plan)
      do throws(CommitLogFailure) {
        _ = try TestStore.open(on: disk, seed: UInt64(number))
        Issue.record("\(number): it was opened")
      } catch {
        guard case .io(let cause) = error else { throw error }
        #expect(cause.reason == plan.failures[0].reason)
      }
      for (path, bytes) in image.withoutLock.files {
        #expect(disk.image[path] == bytes, "\(number): \(path)")
      }
      disk.plan = .none
      let again = try TestStore.open(on: disk, seed: UInt64(number) + 100)
      try again.append(4..<6)
      #expect(try again.read().serials == Array(0..<6))
      #expect(try again.read(1).serials == Array(0..<5))
    }
  }

  /// Another process may remove what it left: it was nothing of the store's.
  @Test("A file that is gone once it is looked at holds nothing back")
  func gone() throws {
    var (image, next) = try files()
    image.files[next] = [UInt8](repeating: 1, count: 4_096)
    let disk = image.disk(
      FaultPlan(failures: [
        .init(.call(.open, pathSuffix: next.string), .noSuchFileOrDirectory)
      ]))
    let store = try TestStore.open(on: disk, seed: 3)
    #expect(disk.failureCount == 1)
    #expect(store.partition.report.isClean)
    try store.append(4..<6)
    #expect(try store.read().serials == Array(0..<6))
  }

  /// Each of these kept all partitions from being opened.
  @Test("Its partition is read to its end and takes nothing, and the others go on")
  func heldBack() throws {
    for (number, (image, plan, path)) in try cases().enumerated() {
      let disk = image.disk(plan)
      let store = try TestStore.open(on: disk, seed: UInt64(number))
      #expect(store.partition.report.unreadable?.path == path, "\(number)")
      #expect(store.partition.report.lostSuffix == nil && store.partition.report.tail == nil)
      let found = try read(store.cursor())
      let place = try #require(found.place, "\(number)")
      #expect(found.count == 4 && place.number == 4 && place.path == path)
      #expect(place.nextSegment == nil && place.filePosition == nil)
      #expect(try read(store.cursor(from: 9)).place == place)
      #expect(throws: CommitLogFailure.unreadable(place)) { try store.append(4..<5) }
      let before = try image.segment()
      #expect(disk.image[before.path] == before.bytes)
      // The others are as ever, and go on to segments of their own.
      try store.append(5..<7, to: 1)
      try store.log.partitions[1].sealActive()
      try store.append(7..<8, to: 1)
      #expect(try store.read(1).serials == Array(0..<8))
      #expect(try store.read(store.log.log(.journal)).serials == Array(0..<3))
      try store.log.close()
      let follower = try follow(disk)
      #expect(try read(follower, 0).count == 4 && read(follower, 0).place == place)
      #expect(try read(follower, 1).count == 8 && read(follower, 1).place == nil)
      #expect(follower.report(of: 0).unreadable == place.cause)
      // It is read again, and is nothing of the store's.
      disk.plan = .none
      let again = try TestStore.open(on: disk, seed: UInt64(number) + 100)
      #expect(again.partition.report.isClean && again.log.partitions[1].report.isClean)
      try again.append(4..<6)
      #expect(try again.read().serials == Array(0..<6))
      #expect(disk.image[path] == nil || path.extension == nil)
    }
  }

  /// Numbers given meanwhile to segments of other partitions are higher than its own.
  @Test("A segment that turns out to hold events is found out, also after others went on")
  func lostEdit() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem, partitionCount: 2)
    let store = try TestStore.open(on: fileSystem)
    try store.append(0..<4)
    try store.append(0..<5, to: 1)
    for partition in store.log.partitions { try partition.writeMark() }
    let manifest = TestStore.root.appending(FileNames.manifest)
    let before = try #require(StoreImage(fileSystem).files[manifest])
    try store.partition.sealActive()
    try store.append(4..<6)
    let orphan = try #require(store.partition.snapshot.segments.last?.path)
    // The edit that named it is gone.
    var image = StoreImage(fileSystem)
    image.files[manifest] = before
    #expect(throws: CommitLogFailure.self) { try TestStore.open(on: image.disk(), seed: 3) }
    let disk = image.disk(failing(.open, orphan, .permissionDenied))
    for seed in 4...5 as ClosedRange<UInt64> {
      let held = try TestStore.open(on: disk, seed: seed)
      #expect(try read(held.cursor()).count == 4)
      #expect(throws: CommitLogFailure.self) { try held.append(4..<5) }
      for _ in 0..<2 {
        try held.append(5..<6, to: 1)
        try held.log.partitions[1].sealActive()
      }
      try held.log.close()
    }
    disk.plan = .none
    for _ in 0..<2 {
      do throws(CommitLogFailure) {
        _ = try TestStore.open(on: disk, seed: 6)
        Issue.record("events vanish")
      } catch {
        #expect("\(error)".contains("\(orphan) holds events"))
      }
    }
    #expect(disk.image[orphan] == image.files[orphan])
  }

  /// The edits behind the one that is missed are lost for all partitions.
  @Test("A manifest that has lost its last edits is told, and nothing is written by its word")
  func lostEdits() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem, partitionCount: 2)
    let store = try TestStore.open(on: fileSystem)
    try store.append(0..<4)
    try store.append(0..<5, to: 1)
    let manifest = TestStore.root.appending(FileNames.manifest)
    let before = try #require(StoreImage(fileSystem).files[manifest])
    // That the other one's first segment was sealed is forgotten, and nothing but this tells it.
    try store.log.partitions[1].sealActive()
    try store.partition.sealActive()
    try store.append(4..<6)
    let orphan = try #require(store.partition.snapshot.segments.last?.path)
    var image = StoreImage(fileSystem).withoutLock
    image.files[manifest] = before
    let disk = image.disk()
    for seed in 3...4 as ClosedRange<UInt64> {
      do throws(CommitLogFailure) {
        _ = try TestStore.open(on: disk, seed: seed)
        Issue.record("it was opened")
      } catch {
        let text = "\(error)"
        #expect(text.contains("\(manifest)") && text.contains("\(orphan) holds events"))
        #expect(text.contains("millrace fsck"))
      }
    }
    #expect(StoreImage(files: disk.image, directories: []).withoutLock.files == image.files)
  }

  @Test("What begins before the active segment holds nothing back when it cannot be read")
  func older() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem)
    for serial in 0..<3 as Range<UInt64> {
      try store.append(serial..<serial + 1)
      try store.partition.sealActive()
    }
    let retired = store.partition.snapshot.segments[0].path
    let bytes = try #require(StoreImage(fileSystem).files[retired])
    #expect(try store.log.retire(store.partition, below: 1) == 1)
    // It could not be removed, and nor can it now.
    var image = StoreImage(fileSystem)
    image.files[retired] = bytes
    var plan = failing(.open, retired, .ioError)
    plan.failures += failing(.remove, retired, .permissionDenied).failures
    let disk = image.disk(plan)
    let again = try TestStore.open(on: disk, seed: 3)
    #expect(again.partition.report.isClean)
    try again.append(3..<4)
    #expect(try again.read().serials == [1, 2, 3])
    #expect(disk.image[retired] != nil)
  }

  /// The roll met it, and stopped the partition.
  @Test("A folder in the place of the next segment is in nobody's way")
  func folder() throws {
    let (image, next) = try files()
    let disk = SimulatedDisk(files: image.files, directories: image.directories + [next])
    let store = try TestStore.open(on: disk, seed: 3)
    #expect(store.partition.report.isClean)
    try store.partition.sealActive()
    try store.append(4..<6)
    #expect(try store.read().serials == Array(0..<6))
    #expect(disk.directories.contains(next))
  }

  @Test("What cannot be moved to the quarantine stays, and the next opening tries again")
  func immovable() throws {
    var (image, next) = try files()
    image.files[next] = Array((image.files[try image.segment().path] ?? []).prefix(128))
    let disk = image.disk(failing(.rename, next, .permissionDenied))
    let store = try TestStore.open(on: disk, seed: 3)
    try store.partition.sealActive()
    try store.append(4..<6)
    #expect(try store.read().serials == Array(0..<6))
    try store.log.close()
    disk.plan = .none
    let again = try TestStore.open(on: disk, seed: 4)
    #expect(try again.read().serials == Array(0..<6))
    #expect(disk.image[next] == nil)
  }

  /// A new one could give numbers again.
  @Test("A log that is made on demand is not made where nobody can tell whether it is there")
  func unmade() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let image = StoreImage(fileSystem)
    let folder = TestStore.root.appending(FileNames.feedback).appending("000")
    let stem = FileNames.segmentStem(baseNumber: 0, segmentID: 9)
    let file = folder.appending(stem + FileHeader.Stream.feedback.segmentSuffix)
    let bytes = [UInt8](repeating: 1, count: 4_096)
    for (plan, path) in [
      (failing(.list, folder, .permissionDenied), folder),
      (failing(.open, file, .permissionDenied), file),
    ] {
      let disk = SimulatedDisk(
        files: image.files.merging([file: bytes]) { $1 },
        directories: image.directories + [folder], plan)
      let store = try TestStore.open(on: disk, seed: 3)
      do throws(CommitLogFailure) {
        _ = try store.log.log(.feedback)
        Issue.record("it was made")
      } catch {
        guard case .unreadable(let place) = error else { throw error }
        #expect(place.path == path && place.cause.reason == .permissionDenied)
      }
      #expect(disk.image[file] == bytes)
      try store.append(0..<2)
      try store.append(0..<1, to: try store.log.log(.journal))
      disk.plan = .none
      try store.log.close()
      // It is read again, and is nothing of the store's.
      let again = try TestStore.open(on: disk, seed: 4)
      try again.append(0..<1, to: try again.log.log(.feedback))
      #expect(disk.image[file] == nil)
    }
  }
}
