internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// Queue files (format-spec §14.4): a device's messages that can be read are kept, and the others
/// are gone.
extension StoreRepair {
  func mendQueueFiles(_ left: FsckResult) throws(IOFailure) {
    let names = left.mendableFiles
    let files = names.filter { $0.hasSuffix(FileNames.queueSuffix) }
    let storeID = readSnapshot().header?.storeID
    for name in files { try mendQueueFile(name, storeID) }
    guard !files.isEmpty || names.contains(where: { $0.hasSuffix(FileNames.directorySuffix) })
    else { return }
    // It would go on naming what is gone.
    let checkpoint = readSnapshot().state.queueCheckpoint?.number ?? 0
    try setAside(
      FileNames.queues + "/" + FileNames.queueDirectory(checkpoint: checkpoint),
      "the queue files say what is so, and it is made again")
  }

  /// Writes a queue file anew with the messages that can be read, or sets it aside where none can.
  ///
  /// A file of another checkpoint holds the device's messages all the same, one of another store
  /// does not.
  private func mendQueueFile(_ name: String, _ storeID: StoreID?) throws(IOFailure) {
    guard let source = SegmentFiles.source(at: root.appending(name), name: name, fileSystem),
      let named = FilePath(name).lastComponent.flatMap({ FileNames.parseQueueFile($0.string) })
    else { return }
    guard let header = FileHeaderReading(source).header, header.kind == .queue,
      header.storeID == storeID ?? header.storeID
    else { return try setAside(name, "nothing in it can be read") }
    let frames = readableFrames(of: source, header, device: named.device)
    var file = QueueFileCopy(header, checkpoint: named.checkpoint)
    for frame in frames {
      guard file.append(frame, of: source) else { return }
    }
    guard file.count > 0 else {
      return try setAside(name, "no message to \(named.device) in it can be read")
    }
    file.finish()
    try keepWhole(name)
    try replace(name, with: file.bytes)
    note(.rebuilt, name, "\(file.count) messages could be read and stay")
  }

  /// The whole frames of a queue file that hold messages to its device.
  private func readableFrames(
    of source: InspectedSource, _ header: FileHeader, device: EventModel.DeviceID
  ) -> [QueueFileCopy.Frame] {
    let walk = SegmentWalk(
      // The mark that proves them all stands at the end and may be gone: every whole frame counts.
      source: source, header: header, evidence: Limits.numberMax, contents: FrameContents(),
      isSealed: true, records: RecordCheck())
    let filter = DeviceFilter([device])
    var frames: [QueueFileCopy.Frame] = []
    _ = walk.run { item in
      guard case .frame(let frame, let contents?) = item else { return .goOn }
      let batch = contents.decoded
      let readable = batch.indexes(of: filter, in: 0..<batch.count).filter { index in
        do throws(FormatError) {
          var reader = ByteReader(batch.body(at: index))
          _ = try FiledMessage(decoding: &reader)
          return true
        } catch {
          return false
        }
      }
      if readable.count == batch.count {
        frames.append(.whole(frame.frame))
      } else if !readable.isEmpty {
        frames.append(.part(batch, readable))
      }
      return .goOn
    }
    return frames
  }
}

/// A queue file of what can be read of one: its frames one behind the other, and the mark that says
/// that it is whole.
private struct QueueFileCopy: ~Copyable {
  enum Frame {
    case whole(ScannedFrame)
    /// Some records of a batch, of which the others are none of the device's messages.
    case part(DecodedBatch, [Int])
  }

  private(set) var bytes = ByteBuffer(capacity: 64 << 10)
  private let identity: FrameIdentity
  private var end: RecoveryRule.Start
  private var time: Timestamp

  /// The number of messages.
  var count: Int { Int(clamping: end.nextNumber) }

  /// Begins a file of a checkpoint like another one.
  init(_ header: FileHeader, checkpoint: UInt32) {
    var header = header
    header.fileID = UInt64(checkpoint)
    identity = header.identity
    end = .behind(header)
    time = header.created
    header.encode(into: &bytes)
  }

  /// Adds a frame; returns whether it could be read again.
  mutating func append(_ frame: Frame, of source: InspectedSource) -> Bool {
    switch frame {
    case .whole(let frame):
      let start = FrameAssembly.begin(in: &bytes)
      let range = frame.clearRange.lowerBound..<frame.bodyRange.upperBound
      guard source.append(range, to: &bytes) else { return false }
      endFrame(frame.header, from: start, clearSize: frame.clearRange.count)
    case .part(let batch, let indexes):
      append(indexes, of: batch)
    }
    return true
  }

  private mutating func append(_ indexes: [Int], of batch: DecodedBatch) {
    let encoder = BatchEncoder(targetSize: batch.size)
    for index in indexes {
      let event = batch.event(at: index)
      encoder.append(
        from: event.deviceID, body: batch.body(at: index), properties: event.properties,
        at: batch.time(at: index).microseconds)
      if !event.systemProperties.isEmpty { encoder.setSystemProperties(event.systemProperties) }
    }
    var clear = ByteBuffer()
    var body = ByteBuffer()
    encoder.seal(clear: &clear, columns: &body)
    BatchClearSection.setStoredSize(columns: body.count, in: &clear, at: 0)
    var content = ContentChecksum()
    clear.withBytes { content.addClearSection($0) }
    body.withBytes { content.add($0) }
    encoder.withPayload { payload in
      content.add(payload)
      body.append(payload)
    }
    let start = FrameAssembly.begin(in: &bytes)
    clear.withBytes { bytes.append($0) }
    body.withBytes { bytes.append($0) }
    var header = FrameHeader(
      type: FrameHeader.FrameType.batch, codec: .none, epoch: 0,
      recordCount: UInt32(encoder.count), baseNumber: 0,
      baseTime: Timestamp(microseconds: encoder.firstTime), watermark: 0, chain: 0)
    header.contentChecksum = content.value
    endFrame(header, from: start, clearSize: clear.count)
  }

  /// Puts the frame that begins at a place behind the one before it.
  private mutating func endFrame(_ header: FrameHeader, from start: Int, clearSize: Int) {
    var header = header
    header.baseNumber = end.nextNumber
    header.chain = end.chain
    let checksum = FrameAssembly.end(
      &header, in: &bytes, from: start, clearSize: clearSize, identity: identity,
      position: FilePosition(end.position))
    time = header.baseTime
    end = RecoveryRule.Start(
      position: bytes.count, chain: checksum, nextNumber: header.nextNumber, epoch: 0)
  }

  /// Ends the file with its mark.
  mutating func finish() {
    let mark = FrameHeader(
      type: FrameHeader.FrameType.mark, epoch: 0, recordCount: 0, baseNumber: end.nextNumber,
      baseTime: time, watermark: end.nextNumber, chain: end.chain)
    _ = FrameAssembly.append(
      mark, body: ByteBuffer(capacity: 0), to: &bytes, identity: identity,
      position: FilePosition(end.position))
  }
}
