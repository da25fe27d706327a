import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage

/// What a writer does before it is killed.
enum WriterStep {
  /// One batch, handed to the operating system.
  case write(Range<UInt64>)
  case sync
  case mark
}

/// The files of a store that nobody has open, to be damaged and opened again.
struct StoreImage: Sendable {
  var files: [FilePath: [UInt8]]
  let directories: [FilePath]

  init(files: [FilePath: [UInt8]], directories: [FilePath]) {
    self.files = files
    self.directories = directories
  }

  init(_ fileSystem: MemoryFileSystem) {
    files = fileSystem.image
    directories = fileSystem.directories
  }

  /// A store of one partition whose writer took these steps and was killed.
  static func killed(_ steps: [WriterStep]) throws(CommitLogFailure) -> StoreImage {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem)
    for step in steps {
      switch step {
      case .write(let serials): try store.write(serials)
      case .sync: _ = try store.partition.synchronize()
      case .mark: try store.partition.writeMark()
      }
    }
    return StoreImage(fileSystem)
  }

  func memory() -> MemoryFileSystem {
    MemoryFileSystem(files: files, directories: directories)
  }

  func disk(_ plan: FaultPlan = .none) -> SimulatedDisk {
    SimulatedDisk(files: files, directories: directories, plan)
  }

  func manifest() throws(CommitLogFailure) -> ManifestImage {
    try ManifestImage.read(root: TestStore.root, fileSystem: memory())
  }

  /// A segment of a partition; the last one is active.
  func segment(_ index: Int? = nil, of partition: UInt32 = 0) throws -> SegmentImage {
    let manifest = try manifest()
    let log = ManifestEdit.LogID(stream: .events, partition: partition)
    let segments = manifest.state.logs[log] ?? []
    let added = segments[index ?? segments.count - 1].added
    let stem = FileNames.segmentStem(baseNumber: added.baseNumber, segmentID: added.segmentID)
    let path = TestStore.root.appending(FileNames.partitions)
      .appending(FileNames.partition(partition)).appending(stem + FileNames.segmentSuffix)
    return try SegmentImage(
      path: path, bytes: files[path] ?? [],
      identity: FrameIdentity(
        storeID: manifest.header.storeID, fileID: added.segmentID, salt: added.salt))
  }

  func manifestFile() throws -> SegmentImage {
    let path = TestStore.root.appending(FileNames.manifest)
    return try SegmentImage(
      path: path, bytes: files[path] ?? [], identity: try manifest().header.identity)
  }

  /// Without the lock file, which every opener writes to.
  var withoutLock: StoreImage {
    var image = self
    image.files[TestStore.root.appending(FileNames.lock)] = nil
    return image
  }

  mutating func put(_ segment: SegmentImage) { files[segment.path] = segment.bytes }

  /// What is in the quarantine, by name.
  var quarantine: [String: [UInt8]] {
    let folder = TestStore.root.appending(FileNames.quarantine)
    var kept: [String: [UInt8]] = [:]
    for (path, bytes) in files where path.removingLastComponent() == folder {
      kept[path.lastComponent?.string ?? ""] = bytes
    }
    return kept
  }
}

/// The bytes of a segment, its frames as they were written, and ways to damage it.
struct SegmentImage: Sendable {
  let path: FilePath
  let identity: FrameIdentity
  /// The frames that stood there when the image was taken.
  let frames: [ScannedFrame]
  private let original: [UInt8]
  var bytes: [UInt8]

  init(path: FilePath, bytes: [UInt8], identity: FrameIdentity) throws {
    self.path = path
    self.bytes = bytes
    self.identity = identity
    original = bytes
    let file = try MemoryFileSystem(files: ["/segment": bytes]).open("/segment", .readOnly)
    var scanner = FrameScanner(StoredFrames(file, size: bytes.count), identity: identity)
    frames = try scanner.scan(from: FileHeader.size).frames
  }

  /// What a write that never reached the disk leaves.
  mutating func erase(_ frame: ScannedFrame) { erase(frame.position..<frame.end) }

  mutating func erase(_ range: Range<Int>) {
    for index in range { bytes[index] = 0 }
  }

  mutating func truncate(to size: Int) { bytes.removeSubrange(size...) }

  mutating func flipBit(at position: Int) { bytes[position] ^= 0x10 }

  /// Damage that no single flipped bit explains.
  mutating func garble(_ range: Range<Int>) {
    for index in range { bytes[index] ^= 0xa5 }
  }

  mutating func garbleBody(of frame: ScannedFrame) {
    garble(frame.bodyRange.lowerBound..<frame.bodyRange.lowerBound + 8)
  }

  /// Appends a frame with the sections of one that stood here, sealed for its new place.
  mutating func append(
    _ frame: ScannedFrame, base: UInt64? = nil, chain: UInt32? = nil, watermark: UInt64? = nil,
    type: UInt8? = nil
  ) -> ScannedFrame {
    var header = frame.header
    header.baseNumber = base ?? header.baseNumber
    header.chain = chain ?? header.chain
    header.watermark = watermark ?? header.watermark
    header.type = type ?? header.type
    var buffer = ByteBuffer(capacity: frame.header.frameSize)
    let start = FrameAssembly.begin(in: &buffer)
    buffer.append(Array(original[frame.clearRange.lowerBound..<frame.bodyRange.upperBound]))
    let position = bytes.count
    let checksum = FrameAssembly.end(
      &header, in: &buffer, from: start, clearSize: frame.clearRange.count, identity: identity,
      position: FilePosition(position))
    bytes += buffer.array(0..<buffer.count)
    return ScannedFrame(position: position, header: header, checksum: checksum)
  }
}
