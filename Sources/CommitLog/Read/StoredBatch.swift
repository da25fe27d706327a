internal import BlockCompression
package import EventModel
package import LogFormat
internal import Synchronization

/// A batch as it stands in its segment: checked, not yet decompressed.
///
/// Whoever wants its records decodes it, where the records are used: reading ahead costs no copy,
/// for batches that were read at once share their bytes.
package final class StoredBatch: Sendable {
  package let header: FrameHeader
  /// What was read at once, and where the frame's sections stand in it: the clear one, then the
  /// stored body.
  private let bytes: SharedBytes
  private let range: Range<Int>
  /// The decompressed columns, where somebody asked for the times: who decodes the batch then, as a
  /// reader from that time on does, need not decompress them again.
  private let columns = Mutex<BatchBlocks?>(nil)

  /// Takes a frame's sections if their checksums hold.
  init?(_ header: FrameHeader, at range: Range<Int>, of bytes: SharedBytes, seed: UInt32) {
    let isSound = bytes.buffer.withBytes(range) { sections in
      let clear = sections.extracting(0..<Int(header.clearSize))
      let body = sections.extracting(Int(header.clearSize)..<sections.byteCount)
      return CRC32C.checksum(clear, seed: seed) == header.clearChecksum
        && CRC32C.checksum(body, seed: seed) == header.bodyChecksum
    }
    guard isSound else { return nil }
    self.header = header
    self.bytes = bytes
    self.range = range
  }

  /// Decompresses and decodes the batch.
  ///
  /// - Parameters:
  ///   - decompressor: memory to work with.
  ///   - recordCount: the records at its beginning whose bodies are wanted; nobody may ask for
  ///     another one's.
  /// - Returns: the batch.
  /// - Throws: ``FormatError`` when sound checksums cover contents that are none: written wrong.
  package func decode(
    with decompressor: BatchDecompressor, recordCount: Int = .max
  ) throws(FormatError) -> DecodedBatch {
    let header = header
    var known = columns.withLock { $0.take() }
    return try withSections { (clear, body) throws(FormatError) in
      try FrameContents.batch(
        header, clear: clear, body: body, columns: known.take(),
        decompressor: decompressor, recordCount: recordCount)
    }
  }

  /// The enqueue times of the batch's records, in microseconds.
  ///
  /// - Throws: ``FormatError`` as ``decode(with:recordCount:)`` does.
  func times(with decompressor: BatchDecompressor) throws(FormatError) -> [Int64] {
    let header = header
    let fresh = try withSections { (clear, body) throws(FormatError) in
      try FrameContents.columns(
        header, clear: clear, body: body, decompressor: decompressor.codecs)
    }
    let times = try FrameContents.times(header, columns: fresh)
    var kept: BatchBlocks? = fresh
    columns.withLock { $0 = kept.take() }
    return times
  }

  private func withSections<Result: ~Copyable>(
    _ body: (_ clear: RawSpan, _ body: RawSpan) throws(FormatError) -> Result
  ) throws(FormatError) -> Result {
    let clearSize = Int(header.clearSize)
    return try bytes.buffer.withBytes(range) { (sections) throws(FormatError) in
      try body(
        sections.extracting(0..<clearSize), sections.extracting(clearSize..<sections.byteCount))
    }
  }

  /// What is missing where the batch cannot be decoded.
  package func gap(in partition: PartitionID, from index: Int) -> Gap {
    Gap(
      partition: partition, first: Offset(header.baseNumber + UInt64(index)),
      next: Offset(header.nextNumber), reason: .damaged)
  }
}

/// The codecs' working memory, and where batches are decompressed to.
///
/// One owner.
package final class BatchDecompressor {
  let codecs = BlockDecompressor()
  let memory: MemoryPool?

  /// - Parameter memory: where batches are decompressed to if they fit; nil for the system's.
  package init(into memory: MemoryPool? = nil) { self.memory = memory }
}

/// Bytes of a file that were read at once and whose batches are used on any thread.
///
/// Changed by one owner, and only while nobody shares them.
final class SharedBytes: @unchecked Sendable {
  var buffer: ByteBuffer

  init(_ buffer: consuming ByteBuffer) { self.buffer = buffer }
}
