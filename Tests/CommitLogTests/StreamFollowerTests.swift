import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// What processes that only read see of logs made on demand.
@Suite("Followers of logs made on demand")
struct StreamFollowerTests {
  private func follow(_ fileSystem: any FileSystem) throws -> LogFollower {
    try LogFollower.open(
      at: TestStore.root, environment: TestStore.environment(fileSystem, seed: 9)
    ) { (_) throws(CommitLogFailure) in [:] }
  }

  private func serials(_ stream: FileHeader.Stream, _ follower: LogFollower) throws -> [UInt64] {
    let snapshot = try #require(follower.snapshot(of: stream))
    let cursor = BatchCursor(
      from: 0, mappings: follower.mappings, fileSystem: follower.context.fileSystem
    ) { snapshot }
    return try PartitionContents(cursor).serials
  }

  @Test(
    "One that appears is found at a refresh, with what is durable, and followed over rolls",
    arguments: FileHeader.Stream.madeOnDemand)
  func appearing(_ stream: FileHeader.Stream) throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem)
    let follower = try follow(fileSystem)
    #expect(follower.snapshot(of: stream) == nil)
    let log = try store.log.log(stream)
    #expect(try follower.refresh())
    #expect(follower.snapshot(of: stream)?.highWatermark == 0)
    try store.append(0..<4, to: log)
    try log.writeMark()
    try store.write(4..<6, to: log)
    #expect(try follower.refresh())
    #expect(try serials(stream, follower) == Array(0..<4))
    try log.sealActive()
    try store.append(6..<9, to: log)
    try log.writeMark()
    #expect(try follower.refresh())
    #expect(follower.snapshot(of: stream)?.segments.count == 2)
    #expect(try serials(stream, follower) == Array(0..<9))
    #expect(try store.log.retire(log, below: 6) == 1)
    #expect(try follower.refresh())
    #expect(follower.snapshot(of: stream)?.startNumber == 6)
    // Its partitions are what they were.
    #expect(follower.partitionCount == 1 && follower.snapshot(of: 0).log.stream == .events)
    #expect(try !follower.refresh())
  }

  @Test("Without a writer every whole frame is shown, and nothing is written")
  func alone() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem)
    for stream in FileHeader.Stream.madeOnDemand {
      try store.append(0..<2, to: store.log.log(stream))
      try store.write(2..<5, to: store.log.log(stream))
    }
    let killed = StoreImage(fileSystem).memory()
    let files = killed.image
    let follower = try follow(killed)
    for stream in FileHeader.Stream.madeOnDemand {
      #expect(try serials(stream, follower) == Array(0..<5))
    }
    #expect(killed.image == files)
  }
}
