internal import BlockCompression
package import EventModel
package import LogFormat

/// A batch as it stands in its segment: checked and copied, not yet decompressed.
///
/// Whoever wants its records decodes it, so that reading ahead costs a copy and decoding runs where
/// the records are used; a cursor that decodes at once saves the copy.
package final class StoredBatch: Sendable {
  package let header: FrameHeader
  private let clearSize: Int
  /// The clear section, then the stored body; nothing where the batch is decoded.
  private let bytes: ByteBuffer
  private let decoded: Result<DecodedBatch, FormatError>?

  /// Copies a frame's sections if their checksums hold, or decodes them with a decompressor.
  init?(
    _ header: FrameHeader, sections: RawSpan, seed: UInt32,
    decoding decompressor: BatchDecompressor? = nil
  ) {
    clearSize = Int(header.clearSize)
    let clear = sections.extracting(0..<clearSize)
    let body = sections.extracting(clearSize..<sections.byteCount)
    guard CRC32C.checksum(clear, seed: seed) == header.clearChecksum,
      CRC32C.checksum(body, seed: seed) == header.bodyChecksum
    else { return nil }
    self.header = header
    if let decompressor {
      bytes = ByteBuffer(capacity: 0)
      do throws(FormatError) {
        decoded = .success(
          try FrameContents.batch(
            header, clear: clear, body: body, decompressor: decompressor.codecs))
      } catch {
        decoded = .failure(error)
      }
      return
    }
    decoded = nil
    var bytes = ByteBuffer(capacity: sections.byteCount)
    bytes.append(sections)
    self.bytes = bytes
  }

  /// Decompresses and decodes the batch.
  ///
  /// - Throws: ``FormatError`` when sound checksums cover contents that are none: written wrong.
  package func decode(with decompressor: BatchDecompressor) throws(FormatError) -> DecodedBatch {
    if let decoded { return try decoded.get() }
    let clearSize = clearSize
    let header = header
    return try bytes.withBytes { (bytes) throws(FormatError) in
      try FrameContents.batch(
        header, clear: bytes.extracting(0..<clearSize),
        body: bytes.extracting(clearSize..<bytes.byteCount), decompressor: decompressor.codecs)
    }
  }

  /// What is missing where the batch cannot be decoded.
  package func gap(in partition: PartitionID, from index: Int) -> Gap {
    Gap(
      partition: partition, first: Offset(header.baseNumber + UInt64(index)),
      next: Offset(header.nextNumber), reason: .damaged)
  }
}

/// The codecs' working memory.
///
/// One owner.
package final class BatchDecompressor {
  let codecs = BlockDecompressor()

  package init() {}
}
