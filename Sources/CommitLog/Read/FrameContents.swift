internal import BlockCompression
internal import EventModel
internal import LogFormat

/// Turns the stored sections of a frame into a batch.
package enum FrameContents {
  /// Decompresses a batch frame's body: the columns, then the payload.
  static func blocks(
    _ header: FrameHeader, section: BatchClearSection, body: borrowing ByteBuffer,
    decompressor: BlockDecompressor
  ) throws(CompressionFailure) -> ByteBuffer {
    var blocks = ByteBuffer(capacity: section.columnsSize + section.payloadSize)
    blocks.resize(to: section.columnsSize + section.payloadSize)
    try body.withBytes(0..<section.columnsStoredSize) { (stored) throws(CompressionFailure) in
      try blocks.withMutableBytes(0..<section.columnsSize) {
        (room) throws(CompressionFailure) in
        try decompressor.decompress(stored, codec: header.codec, into: &room)
      }
    }
    try body.withBytes(section.columnsStoredSize..<body.count) {
      (stored) throws(CompressionFailure) in
      try blocks.withMutableBytes(section.columnsSize..<blocks.count) {
        (room) throws(CompressionFailure) in
        try decompressor.decompress(stored, codec: header.codec, into: &room)
      }
    }
    return blocks
  }

  /// Decodes a batch whose stored sections have the checksums that its header names.
  static func batch(
    _ header: FrameHeader, clear: borrowing ByteBuffer, body: borrowing ByteBuffer,
    decompressor: BlockDecompressor
  ) throws(FormatError) -> DecodedBatch {
    let section = try clear.withBytes { (bytes) throws(FormatError) in
      try BatchClearSection(decoding: bytes, header: header)
    }
    let blocks: ByteBuffer
    do throws(CompressionFailure) {
      blocks = try Self.blocks(
        header, section: section, body: body, decompressor: decompressor)
    } catch {
      throw .corrupt("\(error)")
    }
    return try makeBatch(header, section, clear, blocks)
  }

  private static func makeBatch(
    _ header: FrameHeader, _ section: BatchClearSection, _ clear: borrowing ByteBuffer,
    _ blocks: consuming ByteBuffer
  ) throws(FormatError) -> DecodedBatch {
    var blocks: ByteBuffer? = blocks
    return try clear.withBytes { (bytes) throws(FormatError) in
      guard let taken = blocks.take() else { throw .corrupt("no blocks") }
      return try DecodedBatch(header: header, section: section, clear: bytes, blocks: taken)
    }
  }

  /// Whether the uncompressed contents have the content checksum that the header names.
  static func contentHolds(
    _ header: FrameHeader, clear: borrowing ByteBuffer, body: borrowing ByteBuffer
  ) -> Bool {
    var content = ContentChecksum()
    guard header.type == FrameHeader.FrameType.batch else {
      body.withBytes { content.add($0) }
      return content.value == header.contentChecksum
    }
    do {
      let section = try clear.withBytes { (bytes) throws(FormatError) in
        try BatchClearSection(decoding: bytes, header: header)
      }
      let blocks = try Self.blocks(
        header, section: section, body: body, decompressor: BlockDecompressor())
      clear.withBytes { content.addClearSection($0) }
      blocks.withBytes(0..<section.columnsSize) { content.add($0) }
      blocks.withBytes(section.columnsSize..<blocks.count) { content.add($0) }
      return content.value == header.contentChecksum
    } catch {
      return false
    }
  }
}
