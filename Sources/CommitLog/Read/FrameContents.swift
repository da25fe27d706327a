internal import BlockCompression
internal import EventModel
internal import LogFormat

/// A batch frame's uncompressed blocks: the columns, then as much of the payload as was asked for.
struct BatchBlocks: ~Copyable, Sendable {
  let section: BatchClearSection
  fileprivate(set) var bytes: ByteBuffer
}

/// Turns the stored sections of a frame into a batch.
enum FrameContents {
  /// Decompresses the columns of a batch whose stored sections have the checksums that its header
  /// names; there is room for the payload behind them.
  static func columns(
    _ header: FrameHeader, clear: RawSpan, body: RawSpan, decompressor: BlockDecompressor,
    memory: MemoryPool? = nil
  ) throws(FormatError) -> BatchBlocks {
    let section = try BatchClearSection(decoding: clear, header: header)
    var bytes = ByteBuffer(
      unalignedCapacity: section.columnsSize + section.payloadSize, from: memory)
    try append(
      section.columnsSize, of: section.columnsSize, to: &bytes, from: header.codec, decompressor,
      body.extracting(0..<section.columnsStoredSize))
    return BatchBlocks(section: section, bytes: bytes)
  }

  /// Decompresses the payload behind the columns, or as much of it as some records at its beginning
  /// have.
  private static func appendPayload(
    to blocks: inout BatchBlocks, _ header: FrameHeader, body: RawSpan,
    decompressor: BlockDecompressor, recordCount: Int = .max
  ) throws(FormatError) {
    let section = blocks.section
    var size = section.payloadSize
    if recordCount < Int(header.recordCount), BlockDecompressor.readsBeginnings(header.codec) {
      size = try blocks.bytes.withBytes { (columns) throws(FormatError) in
        try DecodedBatch.payloadSize(of: recordCount, in: columns, header, section)
      }
    }
    try append(
      size, of: section.payloadSize, to: &blocks.bytes, from: header.codec, decompressor,
      body.extracting(section.columnsStoredSize..<body.byteCount))
  }

  private static func append(
    _ size: Int, of contentSize: Int, to blocks: inout ByteBuffer, from codec: CompressionCodec,
    _ decompressor: BlockDecompressor, _ stored: RawSpan
  ) throws(FormatError) {
    do throws(CompressionFailure) {
      _ = try blocks.appendUpTo(size) { (room) throws(CompressionFailure) in
        try decompressor.decompress(stored, codec: codec, into: &room, of: contentSize)
        return size
      }
    } catch {
      throw .corrupt("\(error)")
    }
  }

  /// Decodes a batch whose stored sections have the checksums that its header names.
  ///
  /// `known` are the decompressed columns, where there are any; `recordCount` says of how many
  /// records at its beginning the bodies are wanted.
  static func batch(
    _ header: FrameHeader, clear: RawSpan, body: RawSpan, columns known: consuming BatchBlocks?,
    decompressor: BatchDecompressor, recordCount: Int
  ) throws(FormatError) -> DecodedBatch {
    let codecs = decompressor.codecs
    var blocks =
      if let known { known } else {
        try columns(
          header, clear: clear, body: body, decompressor: codecs, memory: decompressor.memory)
      }
    try appendPayload(
      to: &blocks, header, body: body, decompressor: codecs, recordCount: recordCount)
    return try DecodedBatch(
      header: header, section: blocks.section, clear: clear, blocks: blocks.bytes)
  }

  /// The enqueue times of a batch of which the columns are decompressed.
  static func times(
    _ header: FrameHeader, columns: borrowing BatchBlocks
  ) throws(FormatError) -> [Int64] {
    let section = columns.section
    return try columns.bytes.withBytes(0..<section.columnsSize) { (columns) throws(FormatError) in
      try DecodedBatch.times(in: columns, header, section)
    }
  }

  /// Whether the uncompressed contents have the content checksum that the header names.
  static func contentHolds(
    _ header: FrameHeader, clear: RawSpan, body: RawSpan
  ) -> Bool {
    var content = ContentChecksum()
    guard header.type == FrameHeader.FrameType.batch else {
      content.add(body)
      return content.value == header.contentChecksum
    }
    do {
      let decompressor = BlockDecompressor()
      var blocks = try columns(header, clear: clear, body: body, decompressor: decompressor)
      try appendPayload(to: &blocks, header, body: body, decompressor: decompressor)
      let columnsSize = blocks.section.columnsSize
      content.addClearSection(clear)
      blocks.bytes.withBytes(0..<columnsSize) { content.add($0) }
      blocks.bytes.withBytes(columnsSize..<blocks.bytes.count) { content.add($0) }
      return content.value == header.contentChecksum
    } catch {
      return false
    }
  }
}
