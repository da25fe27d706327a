import CommitLog
import EventModel
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// What counts where the manifest is gone.
extension RepairTests {
  /// Repairs a store whose manifest is gone, beside other files, and returns what opens then.
  private func reopened(besides strays: [String: [UInt8]]) throws -> SimulatedStore {
    let disk = MemoryFileSystem()
    try SimulatedStore.create(on: disk, partitionCount: 2, seed: 1)
    return try reopened(disk, besides: strays)
  }

  private func reopened(
    _ disk: MemoryFileSystem, besides strays: [String: [UInt8]] = [:]
  ) throws -> SimulatedStore {
    var files = disk.image
    files[SimulatedStore.root.appending(FileNames.manifest)] = nil
    for (name, bytes) in strays { files[SimulatedStore.root.appending(name)] = bytes }
    let fileSystem = MemoryFileSystem(files: files, directories: disk.directories)
    let outcome = try StoreRepair.run(
      SimulatedStore.root, environment: SimulatedStore.environment(fileSystem, seed: 3))
    #expect(outcome.repairs.contains { $0.kind == .rebuilt && $0.file == FileNames.manifest })
    // Of the directory of queue files the test has no more than a header.
    let left = try Fsck.check(SimulatedStore.root, fileSystem: fileSystem).findings
    #expect(left.filter { $0.severity > .note && $0.kind != .badIndex } == [])
    return try SimulatedStore.open(on: fileSystem, segmentSize: 1 << 20, seed: 4)
  }

  @Test("A name beyond what a store can have makes neither a partition nor a checkpoint")
  func namesBeyondLimits() throws {
    let store = try reopened(besides: [
      "partitions/1024/note": [], "partitions/2024/note": [], "partitions/4294967295/note": [],
      "queues/ffffffff.directory": [], "queues/80000000.directory": [],
      "queues/00000000.directory": [],
    ])
    #expect(store.log.partitions.count == 2)
    #expect(store.log.manifest.queueCheckpoint == nil)
  }

  @Test("A folder without segments is the next partition's, and none where others are missing")
  func emptyFolders() throws {
    #expect(try reopened(besides: ["partitions/007/note": []]).log.partitions.count == 2)
    #expect(try reopened(besides: ["partitions/002/note": []]).log.partitions.count == 3)
  }

  @Test("A checkpoint whose directory says so itself counts before one of which there is a name")
  func checkpointDirectories() throws {
    func directory(_ checkpoint: UInt64, salt: UInt64) throws -> [UInt8] {
      let disk = MemoryFileSystem()
      try SimulatedStore.create(on: disk, partitionCount: 2, seed: 1)
      let segment = try #require(disk.image.first { $0.key.extension == "segment" }).value
      let known = try FileHeader(decoding: segment.span.bytes)
      var header = FileHeader(
        kind: .queueDirectory, storeID: known.storeID, fileID: checkpoint, salt: salt,
        created: known.created)
      header.stream = .journal
      var bytes = ByteBuffer()
      header.encode(into: &bytes)
      return bytes.array(0..<bytes.count)
    }
    let strays = [
      "queues/00000002.directory": [1, 2, 3],
      "queues/00000003.directory": try directory(4, salt: 1),
      "queues/00000009.directory": try directory(9, salt: 2),
    ]
    let store = try reopened(besides: strays)
    #expect(store.log.manifest.queueCheckpoint?.number == 9)
  }

  @Test("A group's checkpoint tells of its partition, also where nothing else is left of that")
  func partitionOfCheckpoint() throws {
    let disk = MemoryFileSystem()
    try SimulatedStore.create(on: disk, partitionCount: 3, seed: 1)
    var store: SimulatedStore? = try SimulatedStore.open(on: disk, segmentSize: 1 << 20, seed: 2)
    try store?.append(0..<5, to: 2)
    _ = try store?.log.partitions[2].synchronize()
    try store?.commit(4, in: 2)
    store = nil
    for (path, _) in disk.image where path.string.contains("/partitions/002/") {
      try disk.remove(path)
    }
    try disk.removeDirectory(SimulatedStore.root.appending("partitions/002"))
    let again = try reopened(disk)
    #expect(again.log.partitions.count == 3)
    #expect(again.log.partitions[2].snapshot.highWatermark == 4)
  }
}
