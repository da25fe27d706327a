import BlockCompression
import EventModel
import LogFormat

/// Writes a segment and its index from the pieces of the format, as the tests' stand-in for the
/// engine: a fault there must not hide one in the inspection.
struct SegmentWriter: ~Copyable {
  let added: ManifestEdit.SegmentAdded
  let header: FileHeader
  private(set) var end: RecoveryRule.Start
  private(set) var summary: SegmentSummary
  private(set) var entries: [IndexEntry] = []
  private(set) var bodies: [String] = []
  private var bytes = ByteBuffer()
  private let codec: CompressionCodec
  private(set) var durable: UInt64

  init(_ added: ManifestEdit.SegmentAdded, storeID: StoreID, codec: CompressionCodec = .lz4) {
    self.added = added
    self.codec = codec
    var header = FileHeader(
      kind: .segment, storeID: storeID, fileID: added.segmentID, salt: added.salt,
      created: added.created)
    header.partition = added.log.partition
    header.baseNumber = added.baseNumber
    header.predecessorID = added.predecessorID
    header.predecessorChain = added.predecessorChain
    self.header = header
    end = RecoveryRule.Start(
      position: FileHeader.size, chain: header.chain, nextNumber: added.baseNumber, epoch: 0)
    summary = SegmentSummary(
      endPosition: UInt64(FileHeader.size), nextNumber: added.baseNumber, chain: header.chain,
      epoch: 0)
    durable = added.baseNumber
    header.encode(into: &bytes)
  }

  var file: [UInt8] { bytes.array(0..<bytes.count) }

  /// The index of all batches, or of the first few.
  func index(count: Int = .max) -> [UInt8] {
    var header = header
    header.kind = .index
    var bytes = ByteBuffer()
    header.encode(into: &bytes)
    for entry in entries.prefix(count) {
      entry.encode(
        into: &bytes, identity: header.identity, at: FilePosition(bytes.count))
    }
    return bytes.array(0..<bytes.count)
  }

  /// A sync returned: the next frame's watermark says so.
  mutating func sync() { durable = end.nextNumber }

  mutating func epoch(at time: Int64) {
    var key = ByteBuffer()
    key.append(UInt64(time) &* 0x9e37_79b9_7f4a_7c15)
    key.append(header.salt)
    end.epoch &+= 1
    appendPlain(FrameHeader.FrameType.epoch, key, time)
  }

  mutating func mark(at time: Int64) {
    sync()
    appendPlain(FrameHeader.FrameType.mark, ByteBuffer(), time)
  }

  private mutating func appendPlain(_ type: UInt8, _ body: consuming ByteBuffer, _ time: Int64) {
    let frame = FrameHeader(
      type: type, epoch: end.epoch, recordCount: 0, baseNumber: end.nextNumber,
      baseTime: Timestamp(microseconds: time), watermark: durable, chain: end.chain)
    end.chain = FrameAssembly.append(
      frame, body: body, to: &bytes, identity: header.identity,
      position: FilePosition(bytes.count))
    finish()
  }

  private mutating func finish() {
    end.position = bytes.count
    summary.endPosition = UInt64(end.position)
    summary.nextNumber = end.nextNumber
    summary.chain = end.chain
    summary.epoch = end.epoch
  }

  /// Appends one batch of events of these devices, a millisecond apart.
  mutating func batch(
    _ devices: [String], at time: Int64, step: Int64 = 1_000
  ) throws {
    let encoder = BatchEncoder(targetSize: 4 << 10)
    for (index, device) in devices.enumerated() {
      let number = end.nextNumber + UInt64(index)
      let body = "{\"n\":\(number),\"fill\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}"
      bodies.append(body)
      let properties = try index % 2 == 0 ? Properties([("unit", "C")]) : .empty
      let id = try DeviceID(device)
      _ = Payload(body).withBytes {
        encoder.append(
          from: id, body: $0, properties: properties, at: time + Int64(index) * step)
      }
      var system = SystemProperties.empty
      system[.messageID] = "m\(number)"
      encoder.setSystemProperties(system)
    }
    try append(encoder)
  }

  private mutating func append(_ encoder: BatchEncoder) throws {
    let compressor = try BlockCompressor(codec)
    var columns = ByteBuffer()
    let start = FrameAssembly.begin(in: &bytes)
    let clearStart = bytes.count
    encoder.seal(clear: &bytes, columns: &columns)
    let clearSize = bytes.count - clearStart
    var content = ContentChecksum()
    bytes.withBytes(clearStart..<bytes.count) { content.addClearSection($0) }
    columns.withBytes { content.add($0) }
    encoder.withPayload { content.add($0) }
    let bodyStart = bytes.count
    columns.withBytes { store($0, of: .columns, compressor) }
    BatchClearSection.setStoredSize(
      columns: bytes.count - bodyStart, in: &bytes, at: clearStart)
    encoder.withPayload { store($0, of: .bodies, compressor) }
    var frame = FrameHeader(
      type: FrameHeader.FrameType.batch, codec: codec, epoch: end.epoch,
      recordCount: UInt32(encoder.count), baseNumber: end.nextNumber,
      baseTime: Timestamp(microseconds: encoder.firstTime), watermark: durable, chain: end.chain)
    frame.contentChecksum = content.value
    let checksum = FrameAssembly.end(
      &frame, in: &bytes, from: start, clearSize: clearSize, identity: header.identity,
      position: FilePosition(start))
    note(frame, checksum, position: start, encoder)
  }

  private mutating func store(
    _ block: RawSpan, of kind: BlockKind, _ compressor: BlockCompressor
  ) {
    let size = bytes.appendUpTo(compressor.bound(block.byteCount)) { room in
      compressor.compress(block, of: kind, into: &room)
    }
    if size == nil { bytes.append(block) }
  }

  private mutating func note(
    _ frame: FrameHeader, _ checksum: UInt32, position: Int, _ encoder: BatchEncoder
  ) {
    entries.append(
      IndexEntry(
        position: UInt64(position), baseNumber: frame.baseNumber, baseTime: frame.baseTime,
        recordCount: summary.recordCount, batchCount: summary.batchCount,
        eventSize: summary.eventSize, epoch: frame.epoch, frameChecksum: checksum))
    if summary.recordCount == 0 { summary.firstTime = frame.baseTime }
    summary.recordCount += UInt64(encoder.count)
    summary.batchCount += 1
    summary.eventSize += encoder.eventSize
    summary.lastTime = Timestamp(microseconds: encoder.lastTime)
    end.nextNumber = frame.nextNumber
    end.chain = checksum
    finish()
  }
}
