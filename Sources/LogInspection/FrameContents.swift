internal import BlockCompression
internal import EventModel
internal import LogFormat

/// Reads what a frame holds and checks every checksum on the way.
///
/// One file at a time; its buffers are reused.
final class FrameContents {
  /// The clear section, then the stored body, of the frame read last.
  private var bytes = ByteBuffer(capacity: 64 << 10)
  private let decompressor = BlockDecompressor()

  /// A batch whose every checksum holds.
  struct Batch {
    let section: BatchClearSection
    let decoded: DecodedBatch
  }

  /// Checks both sections of a frame; nil when they hold, else what does not.
  private func load(
    _ frame: ScannedFrame, _ source: InspectedSource, _ identity: FrameIdentity
  ) -> String? {
    bytes.removeAll()
    let range = frame.clearRange.lowerBound..<frame.bodyRange.upperBound
    guard source.append(range, to: &bytes) else {
      return "the frame needs \(range.count) bytes, and the file ends at \(source.size)"
    }
    let seed = identity.seed(at: FilePosition(frame.position))
    let clear = checksum(0..<frame.clearRange.count, seed)
    guard clear == frame.header.clearChecksum else {
      return mismatch("clear section", frame.header.clearChecksum, clear)
    }
    let body = checksum(frame.clearRange.count..<bytes.count, seed)
    guard body == frame.header.bodyChecksum else {
      return mismatch("body", frame.header.bodyChecksum, body)
    }
    return nil
  }

  private func checksum(_ range: Range<Int>, _ seed: UInt32) -> UInt32 {
    bytes.withBytes(range) { CRC32C.checksum($0, seed: seed) }
  }

  private func mismatch(_ part: String, _ expected: UInt32, _ found: UInt32) -> String {
    "the \(part) has the checksum \(Hexadecimal.text(found)), "
      + "expected \(Hexadecimal.text(expected))"
  }

  /// The batch in a frame.
  func batch(
    _ frame: ScannedFrame, _ source: InspectedSource, _ identity: FrameIdentity
  ) throws(FormatError) -> Batch {
    if let problem = load(frame, source, identity) { throw .corrupt(problem) }
    let clearSize = frame.clearRange.count
    return try bytes.withBytes { (all) throws(FormatError) in
      try self.decode(
        frame.header, clear: all.extracting(0..<clearSize),
        body: all.extracting(clearSize..<all.byteCount))
    }
  }

  private func decode(
    _ header: FrameHeader, clear: RawSpan, body: RawSpan
  ) throws(FormatError) -> Batch {
    let section = try BatchClearSection(decoding: clear, header: header)
    let size = section.columnsSize + section.payloadSize
    var blocks = ByteBuffer(capacity: size)
    blocks.resize(to: size)
    do throws(CompressionFailure) {
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
    } catch {
      throw .corrupt("\(error)")
    }
    var content = ContentChecksum()
    content.addClearSection(clear)
    blocks.withBytes(0..<section.columnsSize) { content.add($0) }
    blocks.withBytes(section.columnsSize..<size) { content.add($0) }
    guard content.value == header.contentChecksum else {
      throw .corrupt(mismatch("content", header.contentChecksum, content.value))
    }
    let decoded = try DecodedBatch(header: header, section: section, clear: clear, blocks: blocks)
    // Readers trust the ids of a frame whose checksums hold.
    try decoded.forEachDevice { (id) throws(FormatError) in
      do throws(InvalidIdentifier) {
        try DeviceID.check(id)
      } catch {
        throw .corrupt("\(error)")
      }
    }
    return Batch(section: section, decoded: decoded)
  }

  /// Gives the checked body of a frame that is no batch.
  func withBody<Result>(
    _ frame: ScannedFrame, _ source: InspectedSource, _ identity: FrameIdentity,
    _ read: (RawSpan) throws(FormatError) -> Result
  ) throws(FormatError) -> Result {
    if let problem = load(frame, source, identity) { throw .corrupt(problem) }
    let range = frame.clearRange.count..<bytes.count
    var content = ContentChecksum()
    bytes.withBytes(range) { content.add($0) }
    guard content.value == frame.header.contentChecksum else {
      throw .corrupt(mismatch("content", frame.header.contentChecksum, content.value))
    }
    return try bytes.withBytes(range, read)
  }

  /// Whether sections have the content checksum that their header names.
  func contentHolds(_ header: FrameHeader, clear: RawSpan, body: RawSpan) -> Bool {
    guard header.type == FrameHeader.FrameType.batch else {
      var content = ContentChecksum()
      content.add(body)
      return content.value == header.contentChecksum
    }
    do throws(FormatError) {
      _ = try decode(header, clear: clear, body: body)
      return true
    } catch {
      return false
    }
  }

  /// What a clear section says, where its own checksum holds: it outlives a damaged body.
  func clearSection(
    _ frame: ScannedFrame, _ source: InspectedSource, _ identity: FrameIdentity
  ) -> (section: BatchClearSection, devices: [DeviceID])? {
    bytes.removeAll()
    guard frame.header.type == FrameHeader.FrameType.batch,
      source.append(frame.clearRange, to: &bytes),
      checksum(0..<bytes.count, identity.seed(at: FilePosition(frame.position)))
        == frame.header.clearChecksum
    else { return nil }
    do throws(FormatError) {
      return try bytes.withBytes { (clear) throws(FormatError) in
        let section = try BatchClearSection(decoding: clear, header: frame.header)
        return (section, try BatchClearSection.devices(clear, count: section.deviceCount))
      }
    } catch {
      return nil
    }
  }

  /// Whether both sections of a frame are what its header says.
  func isIntact(
    _ frame: ScannedFrame, _ source: InspectedSource, _ identity: FrameIdentity
  ) -> Bool {
    load(frame, source, identity) == nil
  }

  /// Whether one section of a frame at least is what its header says.
  func isPartlyIntact(
    _ frame: ScannedFrame, _ source: InspectedSource, _ identity: FrameIdentity
  ) -> Bool {
    bytes.removeAll()
    let clearSize = frame.clearRange.count
    guard source.append(frame.clearRange.lowerBound..<frame.bodyRange.upperBound, to: &bytes)
    else { return false }
    let seed = identity.seed(at: FilePosition(frame.position))
    return checksum(0..<clearSize, seed) == frame.header.clearChecksum
      || checksum(clearSize..<bytes.count, seed) == frame.header.bodyChecksum
  }
}
