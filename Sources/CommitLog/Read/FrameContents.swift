internal import BlockCompression
internal import EventModel
internal import LogFormat

/// Turns the stored sections of a frame into a batch.
enum FrameContents {
  /// Decompresses a batch frame's body: the columns, then the payload.
  private static func blocks(
    _ header: FrameHeader, section: BatchClearSection, body: RawSpan,
    decompressor: BlockDecompressor
  ) throws(CompressionFailure) -> ByteBuffer {
    let size = section.columnsSize + section.payloadSize
    var blocks = ByteBuffer(unalignedCapacity: size)
    blocks.resize(to: size)
    try blocks.withMutableBytes(0..<section.columnsSize) { (room) throws(CompressionFailure) in
      try decompressor.decompress(
        body.extracting(0..<section.columnsStoredSize), codec: header.codec, into: &room)
    }
    try blocks.withMutableBytes(section.columnsSize..<size) {
      (room) throws(CompressionFailure) in
      try decompressor.decompress(
        body.extracting(section.columnsStoredSize..<body.byteCount), codec: header.codec,
        into: &room)
    }
    return blocks
  }

  /// Decodes a batch whose stored sections have the checksums that its header names.
  static func batch(
    _ header: FrameHeader, sections: RawSpan, decompressor: BlockDecompressor
  ) throws(FormatError) -> DecodedBatch {
    let clear = sections.extracting(0..<Int(header.clearSize))
    let body = sections.extracting(Int(header.clearSize)..<sections.byteCount)
    let section = try BatchClearSection(decoding: clear, header: header)
    let blocks: ByteBuffer
    do throws(CompressionFailure) {
      blocks = try Self.blocks(
        header, section: section, body: body, decompressor: decompressor)
    } catch {
      throw .corrupt("\(error)")
    }
    return try DecodedBatch(header: header, section: section, clear: clear, blocks: blocks)
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
