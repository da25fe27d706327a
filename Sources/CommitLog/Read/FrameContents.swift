internal import BlockCompression
internal import EventModel
internal import LogFormat

/// Turns the stored sections of a frame into a batch.
enum FrameContents {
  /// Decompresses a batch frame's body: the columns, then the payload, or as much of that as some
  /// records at its beginning have.
  private static func blocks(
    _ header: FrameHeader, section: BatchClearSection, body: RawSpan,
    decompressor: BlockDecompressor, recordCount: Int = .max
  ) throws(FormatError) -> ByteBuffer {
    var blocks = ByteBuffer(unalignedCapacity: section.columnsSize + section.payloadSize)
    try appendColumns(header, section, body: body, decompressor, to: &blocks)
    var size = section.payloadSize
    if recordCount < Int(header.recordCount), BlockDecompressor.readsBeginnings(header.codec) {
      size = try blocks.withBytes { (columns) throws(FormatError) in
        try DecodedBatch.payloadSize(of: recordCount, in: columns, header, section)
      }
    }
    try append(
      size, of: section.payloadSize, to: &blocks, from: header.codec, decompressor,
      body.extracting(section.columnsStoredSize..<body.byteCount))
    return blocks
  }

  private static func appendColumns(
    _ header: FrameHeader, _ section: BatchClearSection, body: RawSpan,
    _ decompressor: BlockDecompressor, to blocks: inout ByteBuffer
  ) throws(FormatError) {
    try append(
      section.columnsSize, of: section.columnsSize, to: &blocks, from: header.codec, decompressor,
      body.extracting(0..<section.columnsStoredSize))
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
  /// `recordCount` says of how many records at its beginning the bodies are wanted.
  static func batch(
    _ header: FrameHeader, sections: RawSpan, decompressor: BlockDecompressor, recordCount: Int
  ) throws(FormatError) -> DecodedBatch {
    let clear = sections.extracting(0..<Int(header.clearSize))
    let body = sections.extracting(Int(header.clearSize)..<sections.byteCount)
    let section = try BatchClearSection(decoding: clear, header: header)
    let blocks = try blocks(
      header, section: section, body: body, decompressor: decompressor, recordCount: recordCount)
    return try DecodedBatch(header: header, section: section, clear: clear, blocks: blocks)
  }

  /// The enqueue times of a batch whose stored sections have the checksums that its header names.
  static func times(
    _ header: FrameHeader, sections: RawSpan, decompressor: BlockDecompressor
  ) throws(FormatError) -> [Int64] {
    let clear = sections.extracting(0..<Int(header.clearSize))
    let body = sections.extracting(Int(header.clearSize)..<sections.byteCount)
    let section = try BatchClearSection(decoding: clear, header: header)
    var columns = ByteBuffer(unalignedCapacity: section.columnsSize)
    try appendColumns(header, section, body: body, decompressor, to: &columns)
    return try columns.withBytes { (columns) throws(FormatError) in
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
      let section = try BatchClearSection(decoding: clear, header: header)
      let blocks = try Self.blocks(
        header, section: section, body: body, decompressor: BlockDecompressor())
      content.addClearSection(clear)
      blocks.withBytes(0..<section.columnsSize) { content.add($0) }
      blocks.withBytes(section.columnsSize..<blocks.count) { content.add($0) }
      return content.value == header.contentChecksum
    } catch {
      return false
    }
  }
}
