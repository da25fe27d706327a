import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// A disk that does not give what it holds: opening says so and takes nothing for granted.
@Suite("Reads that fail while a store is opened")
struct FailingReadTests {
  /// A store that was killed, with sealed segments, an index, a journal and a torn tail.
  private func files() throws -> StoreImage {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem, segmentSize: 4_096)
    for serial in 0..<60 as Range<UInt64> { try store.append(serial..<serial + 1) }
    try store.append(0..<4, to: try store.log.log(.journal))
    try store.write(60..<61)
    let end = store.partition.snapshot.activeEnd
    var image = StoreImage(fileSystem)
    let active = try image.segment().path
    image.files[active]?.removeSubrange((end - 9)...)
    return image
  }

  @Test(
    "Each one that fails is told, or costs nothing, and the next opening finds all of it",
    arguments: [IOFailure.Operation.open, .read, .inspect, .list, .lock, .synchronize])
  func everyCall(_ operation: IOFailure.Operation) throws {
    let image = try files()
    let expected = try TestStore.open(on: image.memory()).read().serials
    try #require(expected == Array(0..<60))
    var failureCount = 0
    for nth in 1... {
      let disk = image.disk(
        FaultPlan(failures: [.init(.call(operation, nth: nth), .ioError)]))
      do throws(CommitLogFailure) {
        let store = try TestStore.open(on: disk, seed: UInt64(nth))
        _ = try Self.follow(disk)
        if disk.failureCount == 0 { break }
        let losses = store.log.logs.compactMap(\.loss)
        failureCount += losses.count
        for loss in losses {
          guard case .unreadable(let place) = loss else { throw loss }
          #expect(place.cause.reason == .ioError)
        }
        if let loss = store.partition.loss {
          // Of what one file holds nothing is shown and nothing taken.
          #expect(throws: loss) { try store.read() }
          #expect(throws: loss) { try store.append(60..<61) }
        } else {
          #expect(try store.read().serials == expected, "\(operation) \(nth)")
        }
      } catch {
        failureCount += 1
        switch error {
        case .io(let cause), .poisoned(let cause): #expect(cause.reason == .ioError)
        default: Issue.record("\(operation) \(nth): \(error)")
        }
      }
      disk.plan = .none
      let again = try TestStore.open(on: disk, seed: UInt64(nth) + 1_000)
      #expect(try again.read().serials == expected, "\(operation) \(nth), again")
      #expect(try again.read(again.log.log(.journal)).serials == Array(0..<4))
    }
    #expect(failureCount > 0, "\(operation)")
  }

  /// The second one fails while what is in front of the first is looked for, and no place is found
  /// that stays unread; or for want of memory, and no place is looked for.
  @Test(
    "Two reads that fail and then do not are no bad sector: nothing is concluded from them",
    arguments: [Errno.ioError, .noMemory])
  func passing(_ second: Errno) throws {
    let image = try files()
    let segment = try image.segment()
    let name = try #require(segment.path.lastComponent?.string)
    let base = segment.frames[0].header.baseNumber
    var count = 0
    for nth in 1... {
      var isReached = false
      for next in 1...8 {
        let disk = image.disk(
          FaultPlan(failures: [
            .init(.call(.read, pathSuffix: name, nth: nth), .ioError),
            .init(.call(.read, pathSuffix: name, nth: nth + next), second),
          ]))
        let store = try TestStore.open(on: disk, seed: UInt64(nth))
        isReached = isReached || disk.failureCount > 0
        guard disk.failureCount == 2, let loss = store.partition.loss else { continue }
        guard case .unreadable(let place) = loss else { throw loss }
        count += 1
        #expect(place.path == segment.path && place.number == base && place.filePosition == nil)
        #expect(throws: loss) { try store.append(60..<61) }
        try store.log.close()
        #expect(disk.image[segment.path] == segment.bytes)
        disk.plan = .none
        let again = try TestStore.open(on: disk, seed: UInt64(nth) + 1_000)
        #expect(try again.read().serials == Array(0..<60), "\(nth) and \(nth + next)")
      }
      if !isReached { break }
    }
    #expect(count > 0)
  }

  /// What was gone had been called durable.
  @Test("A file that becomes shorter while its end is written anew shows nothing of it")
  func shrinking() throws {
    let image = try StoreImage.killed([.write(0..<3), .sync, .write(3..<6), .sync])
    let segment = try image.segment()
    let last = try #require(segment.frames.last)
    try #require(last.header.recordCount == 3)
    for size in [last.position, last.bodyRange.lowerBound + 1] {
      let disk = image.disk()
      let fileSystem = ObservedFileSystem(disk)
      // The scan comes to an end with this part of the last frame.
      let position = FilePosition(last.clearRange.lowerBound)
      fileSystem.afterNextRead(of: segment.path, at: position) {
        do {
          try disk.open(segment.path, .readWrite).truncate(to: ByteCount(size))
        } catch {
          Issue.record("\(error)")
        }
      }
      let store = try TestStore.open(on: fileSystem, seed: 3)
      #expect(disk.image[segment.path]?.count == size)
      let cause = IOFailure(.read, segment.path, .ioError)
      #expect(store.partition.report.unreadable == cause)
      #expect(store.partition.highWatermark == 0)
      #expect(throws: CommitLogFailure.self) { try store.read() }
      #expect(throws: CommitLogFailure.self) { try store.append(6..<7) }
    }
  }

  /// More is written anew than is read at once.
  @Test("A file that becomes shorter between two parts of its end shows nothing of it")
  func shrinkingLater() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let writer = try TestStore.open(on: fileSystem)
    var random = SeededRandom(seed: 7)
    for _ in 0..<12 {
      let batch = BatchEncoder(targetSize: 64 << 10)
      batch.append(
        from: "bulk", body: random.bytes(32 << 10).span.bytes, properties: .empty,
        at: writer.clock.now().microseconds)
      _ = try writer.partition.write(batch)
    }
    _ = try writer.partition.synchronize()
    let image = StoreImage(fileSystem)
    let segment = try image.segment()
    let last = try #require(segment.frames.last)
    // Nothing proves any of them.
    let start = segment.frames[0].position
    try #require(last.header.watermark == 0 && last.end - start > 256 << 10)
    let disk = image.disk()
    let observed = ObservedFileSystem(disk)
    // The scan comes to an end with this part of the last frame.
    let scanned = FilePosition(last.clearRange.lowerBound)
    observed.afterNextRead(of: segment.path, at: scanned) {
      observed.afterNextRead(of: segment.path, at: FilePosition(start)) {
        do {
          try disk.open(segment.path, .readWrite).truncate(to: ByteCount(start + 1))
        } catch {
          Issue.record("\(error)")
        }
      }
    }
    let store = try TestStore.open(on: observed, seed: 3)
    let cause = IOFailure(.read, segment.path, .ioError)
    #expect(store.partition.report.unreadable == cause)
    #expect(store.partition.highWatermark == 0)
    #expect(throws: CommitLogFailure.self) { try store.read() }
    #expect(throws: CommitLogFailure.self) { try store.append(12..<13) }
  }

  private static func follow(_ disk: SimulatedDisk) throws(CommitLogFailure) -> LogFollower {
    try LogFollower.open(at: TestStore.root, environment: TestStore.environment(disk, seed: 9)) {
      (_) throws(CommitLogFailure) in [:]
    }
  }
}
