import EventModel
import LogFormat
import StorageIO
import SystemPackage

/// A small store of two partitions: partition 0 has a sealed segment and an active one, partition 1
/// an active one.
struct SampleStore {
  static let root: FilePath = "/store"
  static let storeID = StoreID(high: 0x0102_0304_0506_0708, low: 0x1112_1314_1516_1718)
  /// Devices of partition 0 and of partition 1 of two.
  static let devices: [[String]] = (0..<2).map { partition in
    (0..<100).map { "device-\($0)" }.filter {
      PartitionID(of: DeviceID(stringLiteral: $0), partitionCount: 2).number == partition
    }
  }

  var files: [FilePath: [UInt8]] = [:]
  /// The bodies of each partition's events, by number.
  var bodies: [[String]] = [[], []]
  let sealed: FilePath
  let active: FilePath
  let other: FilePath

  static let manifest = root.appending(FileNames.manifest)
  static let checkpoints = root.appending(FileNames.checkpoints)

  static func path(_ added: ManifestEdit.SegmentAdded, _ suffix: String) -> FilePath {
    let stem = FileNames.segmentStem(baseNumber: added.baseNumber, segmentID: added.segmentID)
    return root.appending(FileNames.partitions)
      .appending(FileNames.partition(added.log.partition)).appending(stem + suffix)
  }

  static func added(
    _ id: UInt64, partition: UInt32, base: UInt64 = 0, predecessor: UInt64 = 0,
    chain: UInt32 = 0
  ) -> ManifestEdit.SegmentAdded {
    ManifestEdit.SegmentAdded(
      log: ManifestEdit.LogID(stream: .events, partition: partition), segmentID: id,
      salt: 0xa5a5_0000 + id, baseNumber: base, predecessorID: predecessor,
      predecessorChain: chain, created: Timestamp(microseconds: 1_000))
  }

  /// Writes a store whose last writer closed it or not, with the group `readers` at a checkpoint of
  /// partition 0.
  init(
    isClosed: Bool = true, codec: CompressionCodec = .lz4, checkpoint: UInt64 = 7,
    extraEdits: [ManifestEdit] = []
  ) throws {
    let (mine, others) = (Self.devices[0], Self.devices[1])
    var first = SegmentWriter(
      Self.added(1, partition: 0), storeID: Self.storeID, codec: codec)
    first.epoch(at: 2_000)
    for number in 0..<3 {
      try first.batch(Array(mine[number..<number + 2]), at: 10_000 + Int64(number) * 10_000)
      first.sync()
    }
    first.mark(at: 40_000)
    var second = SegmentWriter(
      Self.added(3, partition: 0, base: 6, predecessor: 1, chain: first.end.chain),
      storeID: Self.storeID, codec: codec)
    try second.batch(Array(mine[0..<3]), at: 50_000)
    second.sync()
    try second.batch(Array(mine[2..<4]), at: 60_000)
    if isClosed { second.mark(at: 70_000) }
    var third = SegmentWriter(
      Self.added(2, partition: 1), storeID: Self.storeID, codec: codec)
    third.epoch(at: 2_000)
    try third.batch(Array(others[0..<4]), at: 15_000)
    third.mark(at: 16_000)

    sealed = Self.path(first.added, FileNames.segmentSuffix)
    active = Self.path(second.added, FileNames.segmentSuffix)
    other = Self.path(third.added, FileNames.segmentSuffix)
    bodies = [first.bodies + second.bodies, third.bodies]
    files[sealed] = first.file
    files[active] = second.file
    files[other] = third.file
    files[Self.path(first.added, FileNames.indexSuffix)] = first.index()
    files[Self.path(second.added, FileNames.indexSuffix)] = second.index(count: 1)
    var edits: [[ManifestEdit]] = [
      [
        .identity(ManifestEdit.StoreIdentity(partitionCount: 2)),
        .configuration(
          ManifestEdit.StoredConfiguration(
            codec: codec, segmentSize: 1 << 20, batchSize: 64 << 10)),
        .segmentAdded(first.added), .segmentAdded(third.added),
      ],
      [.opened(Timestamp(microseconds: 2_000))],
      [
        .segmentSealed(
          ManifestEdit.SegmentSealed(segmentID: 1, summary: first.summary)),
        .segmentAdded(second.added),
      ],
    ]
    if !extraEdits.isEmpty { edits.append(extraEdits) }
    if isClosed {
      let ends = [
        ManifestEdit.LogEnd(log: second.added.log, segmentID: 3, summary: second.summary),
        ManifestEdit.LogEnd(log: third.added.log, segmentID: 2, summary: third.summary),
      ]
      let end = Self.checkpointEnd(next: checkpoint)
      edits.append([.closed(Timestamp(microseconds: 80_000), ends, end)])
    }
    files[Self.manifest] = Self.manifestFile(edits)
    files[Self.checkpoints] = Self.checkpointFile(next: checkpoint)
    files[Self.root.appending(FileNames.lock)] = []
  }

  static func manifestFile(_ frames: [[ManifestEdit]]) -> [UInt8] {
    file(.manifest, FrameHeader.FrameType.manifestEdits, frames) { $0.encode(into: &$1) }.bytes
  }

  static func checkpointFile(next: UInt64) -> [UInt8] { checkpointLog(next: next).bytes }

  private static func checkpointEnd(next: UInt64) -> ManifestEdit.CheckpointsEnd {
    checkpointLog(next: next).end
  }

  private static func checkpointLog(
    next: UInt64
  ) -> (bytes: [UInt8], end: ManifestEdit.CheckpointsEnd) {
    let group: GroupName = "readers"
    let time = Timestamp(microseconds: 5_000)
    let entries: [[CheckpointEntry]] = [
      [.groupCreated(group, at: time)],
      [
        .checkpoint(
          CheckpointEntry.GroupCheckpoint(
            group: group, partition: 0, next: next, ownerEpoch: 0, time: time))
      ],
    ]
    return file(.checkpoints, FrameHeader.FrameType.checkpointEntries, entries) {
      $0.encode(into: &$1)
    }
  }

  private static func file<Entry>(
    _ kind: FileHeader.Kind, _ type: UInt8, _ frames: [[Entry]],
    _ encode: (Entry, inout ByteBuffer) -> Void
  ) -> (bytes: [UInt8], end: ManifestEdit.CheckpointsEnd) {
    let header = FileHeader(
      kind: kind, storeID: storeID, fileID: 0, salt: 77, created: Timestamp(microseconds: 1_000))
    var bytes = ByteBuffer()
    header.encode(into: &bytes)
    var log = FrameLog(header: header)
    for entries in frames {
      var body = ByteBuffer()
      for entry in entries { encode(entry, &body) }
      log.prepare(
        type, recordCount: entries.count, body: body, at: Timestamp(microseconds: 2_000))
      log.pending.withBytes { bytes.append($0) }
      log.confirm()
    }
    let end = ManifestEdit.CheckpointsEnd(log.identity, log.end)
    return (bytes.array(0..<bytes.count), end)
  }

  var fileSystem: MemoryFileSystem { MemoryFileSystem(files: files) }
}
