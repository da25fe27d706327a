import ConsumerCheckpoints
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import Synchronization
import SystemPackage

/// The checkpoint file of a store, without the store.
enum Checkpoints {
  static let root: FilePath = "/store"
  static let path = root.appending(FileNames.checkpoints)
  static let storeID = StoreID(high: 7, low: 8)

  static func environment(_ fileSystem: any FileSystem, seed: UInt64) -> EngineEnvironment {
    let random = Mutex(SeededRandom(seed: seed))
    let clock = Mutex<Int64>(1_700_000_000_000_000)
    return EngineEnvironment(
      fileSystem: fileSystem,
      now: {
        clock.withLock { time in
          time += 1_000
          return Timestamp(microseconds: time)
        }
      },
      random: { random.withLock { $0.next() } })
  }

  /// The file as a new store has it.
  static var begun: [FilePath: [UInt8]] {
    let file = EntryFile(
      checkpoints: [], storeID: storeID, salt: 0x1122_3344_5566_7788, at: Timestamp(microseconds: 1)
    )
    return [path: file.bytes.array(0..<file.bytes.count)]
  }

  static func read(
    _ fileSystem: any FileSystem, _ witness: CheckpointWitness = .none
  ) throws(CheckpointFailure) -> CheckpointImage {
    try CheckpointImage.read(
      root: root, storeID: storeID, witness: witness, fileSystem: fileSystem)
  }

  static func open(
    on fileSystem: any FileSystem, seed: UInt64 = 1, _ witness: CheckpointWitness = .none,
    noteReplacing: @escaping @Sendable () throws(IOFailure) -> Void = {}
  ) throws(CheckpointFailure) -> CheckpointLog {
    try CheckpointLog(
      try read(fileSystem, witness), root: root, storeID: storeID,
      environment: environment(fileSystem, seed: seed), noteReplacing: noteReplacing)
  }

  static func entry(_ group: GroupName, _ partition: UInt32, _ next: UInt64) -> CheckpointEntry {
    .checkpoint(
      CheckpointEntry.GroupCheckpoint(
        group: group, partition: partition, next: next, ownerEpoch: 0,
        time: Timestamp(microseconds: Int64(next))))
  }

  /// The frames of the file, and the identity that seeds them.
  static func frames(_ bytes: [UInt8]) throws -> [ScannedFrame] {
    let file = try MemoryFileSystem(files: ["/file": bytes]).open("/file", .readOnly)
    var header = ByteBuffer(capacity: FileHeader.size)
    header.append(Array(bytes[..<FileHeader.size]))
    let identity = try header.withBytes { try FileHeader(decoding: $0) }.identity
    var scanner = FrameScanner(FileFrames(file: file, size: bytes.count), identity: identity)
    return try scanner.scan(from: FileHeader.size).frames
  }
}

private struct FileFrames: FrameSource {
  let file: any StorageFile
  let size: Int

  func read(at position: Int, into buffer: inout MutableRawSpan) throws(IOFailure) -> Int {
    try file.read(into: &buffer, at: FilePosition(position))
  }
}
