internal import BlockCompression
internal import EventModel
internal import LogFormat

/// Lays a batch out as a frame (format-spec §6): clear section, columns and payload, each of the
/// two compressed by itself.
///
/// One owner; its buffers are reused.
struct BatchFramer: ~Copyable {
  private let compressor: BlockCompressor
  private var columns = ByteBuffer(capacity: 64 << 10)
  /// The frame that was made last.
  private(set) var frame = ByteBuffer(capacity: 128 << 10)
  private var clearSize = 0
  /// Where the stored payload ends; padding follows once the frame is finished.
  private var bodyEnd = 0
  private var contentChecksum: UInt32 = 0
  private(set) var codec: CompressionCodec

  init(_ codec: CompressionCodec) throws(CompressionFailure) {
    compressor = try BlockCompressor(codec)
    self.codec = codec
  }

  /// Lays out everything but the header, and returns the frame's size.
  ///
  /// Its place in the file and in the chain may still change: a roll may come between.
  mutating func layOut(_ batch: BatchEncoder) -> Int {
    frame.removeAll()
    columns.removeAll()
    let start = FrameAssembly.begin(in: &frame)
    let clearStart = frame.count
    batch.seal(clear: &frame, columns: &columns)
    clearSize = frame.count - clearStart
    var content = ContentChecksum()
    frame.withBytes(clearStart..<frame.count) { content.addClearSection($0) }
    let columnsStart = frame.count
    columns.withBytes { content.add($0) }
    columns.withBytes { Self.store($0, of: .columns, with: compressor, in: &frame) }
    BatchClearSection.setStoredSize(
      columns: frame.count - columnsStart, in: &frame, at: clearStart)
    batch.withPayload { payload in
      content.add(payload)
      Self.store(payload, of: .bodies, with: compressor, in: &frame)
    }
    contentChecksum = content.value
    bodyEnd = frame.count
    let size = frame.count - start
    return (size + FrameHeader.alignment - 1) & ~(FrameHeader.alignment - 1)
  }

  private static func store(
    _ block: RawSpan, of kind: BlockKind, with compressor: BlockCompressor,
    in frame: inout ByteBuffer
  ) {
    let size = frame.appendUpTo(compressor.bound(block.byteCount)) { room in
      compressor.compress(block, of: kind, into: &room)
    }
    if size == nil { frame.append(block) }
  }

  /// Fills in the header and returns it with its checksum.
  ///
  /// Again for another place, when the frame could not be written.
  mutating func finish(
    _ batch: BatchEncoder, behind end: RecoveryRule.Start, watermark: UInt64,
    identity: FrameIdentity
  ) -> (header: FrameHeader, checksum: UInt32) {
    var header = FrameHeader(
      type: FrameHeader.FrameType.batch, codec: codec, epoch: end.epoch,
      recordCount: UInt32(batch.count), baseNumber: end.nextNumber,
      baseTime: Timestamp(microseconds: batch.firstTime), watermark: watermark, chain: end.chain)
    header.contentChecksum = contentChecksum
    frame.truncate(to: bodyEnd)
    let checksum = FrameAssembly.end(
      &header, in: &frame, from: 0, clearSize: clearSize, identity: identity,
      position: FilePosition(end.position))
    return (header, checksum)
  }
}
