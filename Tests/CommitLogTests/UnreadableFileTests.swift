import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// A file that the disk does not read, or the system does not give, takes nothing with it but what
/// it holds, and nothing is concluded from that.
@Suite("Files that cannot be read")
struct UnreadableFileTests {
  /// A killed store of two partitions with a journal.
  ///
  /// The first has events in sealed segments and in the active one; of what is active, a torn tail.
  private func files() throws -> (image: StoreImage, base: UInt64, count: UInt64) {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem, partitionCount: 2)
    let store = try TestStore.open(on: fileSystem, segmentSize: 4_096)
    var serial: UInt64 = 0
    while store.partition.snapshot.segments.count < 4 {
      try store.append(serial..<serial + 2)
      serial += 2
    }
    for _ in 0..<4 {
      try store.append(serial..<serial + 2)
      serial += 2
    }
    try store.append(0..<5, to: 1)
    try store.append(0..<4, to: try store.log.log(.journal))
    try store.write(serial..<serial + 1)
    let snapshot = store.partition.snapshot
    let base = try #require(snapshot.segments.last?.baseNumber)
    try #require(base < serial)
    var image = StoreImage(fileSystem)
    let active = try image.segment().path
    image.files[active]?.removeSubrange((snapshot.activeEnd + 90)...)
    return (image, base, serial)
  }

  private func suffix(_ path: FilePath) -> String { path.lastComponent?.string ?? "" }

  /// Everything that a cursor gives until it throws, and where that was.
  private func read(
    _ cursor: BatchCursor
  ) throws -> (numbers: [UInt64], gaps: Int, place: UnreadablePlace?) {
    var (numbers, gaps) = ([UInt64](), 0)
    do throws(CommitLogFailure) {
      while let item = try cursor.read() {
        switch item {
        case .batch(let batch, let first):
          numbers += Array(batch.header.baseNumber + UInt64(first)..<batch.header.nextNumber)
        case .gap: gaps += 1
        }
      }
      return (numbers, gaps, nil)
    } catch .unreadable(let place) {
      return (numbers, gaps, place)
    }
  }

  private func follow(_ disk: any FileSystem) throws -> LogFollower {
    try LogFollower.open(at: TestStore.root, environment: TestStore.environment(disk, seed: 9)) {
      (_) throws(CommitLogFailure) in [:]
    }
  }

  private func cursor(_ follower: LogFollower, from number: UInt64 = 0) -> BatchCursor {
    BatchCursor(
      from: number, mappings: follower.mappings, fileSystem: follower.context.fileSystem
    ) { follower.snapshot(of: 0) }
  }

  /// The plans under which the active segment of a file cannot be read.
  private func plans(_ path: FilePath, _ bytes: [UInt8]) -> [FaultPlan] {
    let suffix = suffix(path)
    func failing(_ operation: IOFailure.Operation, _ reason: Errno) -> FaultPlan {
      FaultPlan(failures: [.init(.call(operation, pathSuffix: suffix), reason, isLasting: true)])
    }
    return [
      failing(.open, .ioError), failing(.open, .permissionDenied), failing(.open, .notPermitted),
      failing(.open, .staleNFSFileHandle), failing(.read, .ioError), failing(.inspect, .ioError),
      failing(.synchronize, .ioError), FaultPlan(badSectors: [suffix: 64..<bytes.count]),
    ]
  }

  /// Each of these kept all partitions from being opened.
  @Test("An active segment that cannot be read is the only thing that is not to be had")
  func active() throws {
    let (image, base, count) = try files()
    let path = try image.segment().path
    let bytes = try #require(image.files[path])
    for (number, plan) in plans(path, bytes).enumerated() {
      let disk = image.disk(plan)
      let store = try TestStore.open(on: disk, seed: UInt64(number))
      let cause = try #require(store.partition.report.unreadable, "\(number)")
      #expect(store.partition.report.lostSuffix == nil && store.partition.report.tail == nil)
      let place = try #require(store.partition.snapshot.unreadable)
      #expect(place.cause == cause && place.path == path && place.number == base)
      // Whoever asks the file itself hears the same, and never that it is empty.
      let file = try #require(store.partition.snapshot.segments.last?.activeFile)
      var buffer = ByteBuffer(capacity: 64)
      #expect(throws: cause) { try file.size() }
      #expect(throws: cause) { try StoredFrames(file, size: 64).append(0..<64, to: &buffer) }
      #expect(throws: IOFailure(.write, path, cause.reason)) {
        try file.write([1].span.bytes, at: .start)
      }
      #expect(throws: CommitLogFailure.unreadable(place)) { try store.append(0..<1) }
      for start in [0, base, count, count + 100] {
        let found = try read(store.cursor(from: start))
        #expect(found.numbers == Array(min(start, base)..<base), "\(number)")
        #expect(found.gaps == 0 && found.place == place)
      }
      #expect(throws: CommitLogFailure.unreadable(place)) {
        try LastEvent.find(
          of: "nobody", in: store.partition.snapshot, mappings: store.log.mappings,
          fileSystem: disk)
      }
      // The others are as ever.
      try store.append(5..<7, to: 1)
      #expect(try store.read(1).serials == Array(0..<7))
      #expect(try store.read(store.log.log(.journal)).serials == Array(0..<4))
      try store.log.close()
      #expect(
        disk.image[path] == bytes
          && !disk.image.keys.contains { $0.string.contains("/quarantine/") })
      let follower = try follow(disk)
      if plan.failures.first?.trigger.isSync != true {
        let found = try read(cursor(follower))
        #expect(found.numbers == Array(0..<base) && found.gaps == 0 && found.place != nil)
        #expect(follower.report(of: 0).unreadable != nil)
      }
      // The disk reads it again.
      disk.plan = .none
      let again = try TestStore.open(on: disk, seed: UInt64(number) + 100)
      #expect(try again.read().serials == Array(0..<count) && again.read().gaps.isEmpty)
      try again.append(count..<count + 1)
      #expect(again.partition.highWatermark == count + 1)
      #expect(try again.read(1).serials == Array(0..<7))
    }
  }

  /// All of the segment was out of reach.
  @Test("In front of a bad sector of an active segment all is read that is proven there")
  func front() throws {
    let (image, base, count) = try files()
    let segment = try image.segment()
    try #require(segment.frames.count > 4)
    var seen: Set<UInt64> = []
    for bad in stride(from: 512, to: segment.bytes.count, by: 192) {
      let disk = image.disk(FaultPlan(badSectors: [suffix(segment.path): bad..<bad + 64]))
      let sector = bad / 512 * 512
      // The header of a frame testifies to those before it, wherever its body is.
      let watermark =
        segment.frames.filter { $0.position + FrameHeader.size <= sector }
        .map(\.header.watermark).max() ?? base
      let proven = segment.frames.last {
        $0.end <= sector && $0.header.baseNumber < watermark
      }
      let end = proven?.header.nextNumber ?? base
      seen.insert(end)
      let store = try TestStore.open(on: disk, seed: UInt64(bad))
      for cursor in [store.cursor(), cursor(try follow(disk))] {
        let found = try read(cursor)
        let place = try #require(found.place, "\(bad)")
        #expect(found.numbers == Array(0..<end) && found.gaps == 0, "\(bad)")
        #expect(place.number == end && place.nextSegment == nil, "\(bad)")
        #expect(place.filePosition == sector)
        #expect(place.path == segment.path && place.cause.reason == .ioError)
      }
      #expect(try read(store.cursor(from: count + 9)).numbers.isEmpty)
      #expect(store.partition.report.unreadable != nil && store.partition.report.lostSuffix == nil)
      #expect(throws: CommitLogFailure.self) { try store.append(0..<1) }
      try store.append(5..<7, to: 1)
      try store.log.close()
      #expect(disk.image[segment.path] == segment.bytes)
      disk.plan = .none
      let again = try TestStore.open(on: disk, seed: UInt64(bad) + 1)
      #expect(try again.read().serials == Array(0..<count) && again.read().gaps.isEmpty)
      try again.append(count..<count + 1)
    }
    #expect(seen.count > 2)
  }

  @Test("What is short in the process or on the disk still keeps the store from being opened")
  func others() throws {
    let image = try files().image
    let path = try image.segment().path
    for reason in [Errno.tooManyOpenFiles, .tooManyOpenFilesInSystem, .noMemory, .noSpace] {
      let plan = FaultPlan(failures: [
        .init(.call(.open, pathSuffix: suffix(path)), reason, isLasting: true)
      ])
      #expect(throws: CommitLogFailure.self) { try TestStore.open(on: image.disk(plan)) }
      #expect(throws: CommitLogFailure.self) { try follow(image.disk(plan)) }
    }
  }

  @Test("A log of one segment that cannot be read is not an empty one")
  func onlyOne() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let image = StoreImage(fileSystem)
    let path = try image.segment().path
    let disk = image.disk(FaultPlan(badSectors: [suffix(path): 0..<4_096]))
    let store = try TestStore.open(on: disk)
    #expect(try read(store.cursor()).place?.number == 0)
    #expect(try read(cursor(follow(disk))).place?.number == 0)
  }

  @Test("A tail that cannot be cut leaves all that was read to readers, and takes nothing")
  func unwritable() throws {
    let (image, _, count) = try files()
    let path = try image.segment().path
    let disk = image.disk(
      FaultPlan(failures: [
        .init(.call(.truncate, pathSuffix: suffix(path)), .ioError, isLasting: true)
      ]))
    let store = try TestStore.open(on: disk)
    #expect(store.partition.report.unwritable?.reason == .ioError)
    #expect(try store.read().serials == Array(0..<count))
    #expect(throws: CommitLogFailure.self) { try store.append(count..<count + 1) }
    try store.append(5..<7, to: 1)
    #expect(throws: CommitLogFailure.self) { try store.log.close() }
    disk.plan = .none
    let again = try TestStore.open(on: disk, seed: 5)
    #expect(try again.read().serials == Array(0..<count))
    #expect(try again.read(1).serials == Array(0..<7))
  }

  @Test("Readers throw at a bad sector of a sealed segment, and can begin behind that segment")
  func sealed() throws {
    let (image, _, count) = try files()
    let victim = try image.segment(1)
    let bad = victim.frames[victim.frames.count / 2]
    let next = try image.segment(2).frames[0].header.baseNumber
    let disk = image.disk(
      FaultPlan(badSectors: [suffix(victim.path): bad.position..<bad.position + 64]))
    let store = try TestStore.open(on: disk)
    for cursor in [store.cursor(), cursor(try follow(disk))] {
      let found = try read(cursor)
      let place = try #require(found.place)
      #expect(found.numbers == Array(0..<bad.header.baseNumber) && found.gaps == 0)
      #expect(place.path == victim.path && place.filePosition == bad.position)
      #expect(place.number == bad.header.baseNumber && place.nextSegment == next)
      #expect(place.cause.reason == .ioError)
    }
    #expect(try read(store.cursor(from: next)).numbers == Array(next..<count))
    // By time as well.
    let time = try #require(try store.cursor(from: next).timeOfNextRecord())
    let found = try TimeSearch.find(
      atOrAfter: time, in: store.partition.snapshot, mappings: store.log.mappings,
      fileSystem: disk
    ).start
    #expect(found == next)
    try store.append(count..<count + 1)
  }

  @Test("What follows a log hears of a file that cannot be read, and sees it again afterwards")
  func following() throws {
    let fileSystem = SimulatedDisk()
    try TestStore.create(on: fileSystem, partitionCount: 2)
    let store = try TestStore.open(on: fileSystem)
    try store.append(0..<3)
    try store.partition.writeMark()
    let follower = try follow(fileSystem)
    #expect(try read(cursor(follower)).numbers == [0, 1, 2])
    let path = store.partition.snapshot.segments[0].path
    fileSystem.plan = FaultPlan(badSectors: [suffix(path): 0..<1 << 20])
    try store.append(0..<2, to: 1)
    try store.log.partitions[1].writeMark()
    #expect(try follower.refresh())
    #expect(follower.snapshot(of: 1).highWatermark == 2)
    let found = try read(cursor(follower))
    #expect(found.numbers.isEmpty && found.place?.number == 0)
    #expect(follower.snapshot(of: 0).highWatermark == 3)
    fileSystem.plan = .none
    #expect(try follower.refresh())
    #expect(try read(cursor(follower)).numbers == [0, 1, 2])
  }

  @Test("A copy is refused while a part of the log cannot be read")
  func copied() throws {
    let image = try files().image
    let path = try image.segment().path
    let disk = image.disk(FaultPlan(badSectors: [suffix(path): 0..<4_096]))
    let store = try TestStore.open(on: disk)
    let place = try #require(store.partition.snapshot.unreadable)
    #expect(throws: CommitLogFailure.unreadable(place)) {
      try StoreCopy.make(
        at: "/copy", environment: TestStore.environment(disk, seed: 7)
      ) { () throws(CommitLogFailure) in
        StoreCopy.Source(store.log)
      } checkpoints: {
        []
      }
    }
  }

  /// It failed for all of them.
  @Test("Retention goes on where the active segment of one partition cannot be read")
  func retention() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem, partitionCount: 2)
    let store = try TestStore.open(on: fileSystem)
    for serial in 0..<3 as Range<UInt64> {
      try store.append(serial..<serial + 1, to: 1)
      try store.log.partitions[1].sealActive()
    }
    try store.append(0..<4)
    let image = StoreImage(fileSystem)
    let path = try image.segment().path
    let disk = image.disk(FaultPlan(badSectors: [path.string: 0..<64]))
    let again = try TestStore.open(on: disk, seed: 3)
    #expect(again.partition.report.unreadable?.path == path)
    let outcome = try again.log.retain(RetentionPlan.Rule(size: 1), consumed: [nil, nil])
    #expect(outcome.partitions.map(\.partition) == [1])
    #expect(outcome.partitions.map(\.segmentCount) == [3])
    #expect(try again.log.allocatedSize() > 0)
  }
}

extension FaultPlan.Trigger {
  fileprivate var isSync: Bool {
    if case .call(.synchronize, _, _) = self { true } else { false }
  }
}
