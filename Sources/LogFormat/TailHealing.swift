internal import EventModel

/// A byte of a file that has one bit wrong, and its right value.
package struct BitRepair: Hashable, Sendable {
  package let position: Int
  package let value: UInt8
  /// The frame that holds with it.
  package let frame: Range<Int>
}

/// Looks for the one flipped bit that explains why the last group before a crash does not hold.
///
/// A repair is believed only when checksums of two kinds agree with it: the CRC it was found by and
/// the content checksum, or the checksum of a header and those of its sections (I4).
package struct TailHealing<Source: FrameSource> {
  /// A tail in which more single bits than this are wrong is no accident that healing helps with.
  package static var repairCountMax: Int { 8 }

  private let source: Source
  private let identity: FrameIdentity
  /// Whether a frame's sections have, uncompressed, the content checksum that its header names.
  private let contentHolds: (FrameHeader, _ clear: RawSpan, _ body: RawSpan) -> Bool

  package init(
    _ source: Source, identity: FrameIdentity,
    contentHolds: @escaping (FrameHeader, _ clear: RawSpan, _ body: RawSpan) -> Bool
  ) {
    self.source = source
    self.identity = identity
    self.contentHolds = contentHolds
  }

  /// The repair that makes a whole, chained frame stand at the end of what recovery keeps.
  package func repair(at end: RecoveryRule.Start) throws(Source.Failure) -> BitRepair? {
    var header = ByteBuffer(capacity: FrameHeader.size)
    let range = end.position..<end.position + FrameHeader.size
    guard range.upperBound <= source.size, try source.append(range, to: &header) else {
      return nil
    }
    let seed = identity.seed(at: FilePosition(end.position))
    if let frame = decode(header, seed: seed, end: end) {
      return try repairSection(of: frame, seed: seed)
    }
    guard let place = Self.flippedHeaderBit(header, seed: seed) else { return nil }
    let value = header.load(at: place.byte, as: UInt8.self) ^ (1 << place.bit)
    header.store(value, at: place.byte)
    guard let frame = decode(header, seed: seed, end: end), frame.end <= source.size else {
      return nil
    }
    var scanner = FrameScanner(source, identity: identity)
    guard try scanner.isIntact(frame), frame.header.storedSize > 0 else { return nil }
    return BitRepair(
      position: end.position + place.byte, value: value, frame: frame.position..<frame.end)
  }

  private func decode(
    _ bytes: borrowing ByteBuffer, seed: UInt32, end: RecoveryRule.Start
  ) -> ScannedFrame? {
    do throws(FormatError) {
      let decoded = try bytes.withBytes { (bytes) throws(FormatError) in
        try FrameHeader.decode(bytes, at: 0, seed: seed)
      }
      guard let decoded, decoded.header.chain == end.chain,
        decoded.header.baseNumber == end.nextNumber
      else { return nil }
      return ScannedFrame(
        position: end.position, header: decoded.header, checksum: decoded.checksum)
    } catch {
      return nil
    }
  }

  /// The header's wrong bit, in its checksum or in what that covers.
  private static func flippedHeaderBit(
    _ bytes: borrowing ByteBuffer, seed: UInt32
  ) -> (byte: Int, bit: UInt8)? {
    let stored = bytes.load(at: 4, as: UInt32.self)
    let computed = bytes.withBytes { FrameHeader.checksum($0, seed: seed) }
    let difference = stored ^ computed
    if difference.nonzeroBitCount == 1 {
      let bit = difference.trailingZeroBitCount
      return (4 + bit / 8, UInt8(bit % 8))
    }
    let place = BitHealing.flippedBit(
      found: computed, expected: stored, byteCount: FrameHeader.size)
    guard let place, !(4..<8).contains(place.byte) else { return nil }
    return place
  }

  private func repairSection(of frame: ScannedFrame, seed: UInt32) throws(Source.Failure)
    -> BitRepair?
  {
    var clear = ByteBuffer(capacity: frame.clearRange.count)
    var body = ByteBuffer(capacity: frame.bodyRange.count)
    guard frame.end <= source.size, try source.append(frame.clearRange, to: &clear),
      try source.append(frame.bodyRange, to: &body)
    else { return nil }
    let foundClear = clear.withBytes { CRC32C.checksum($0, seed: seed) }
    let foundBody = body.withBytes { CRC32C.checksum($0, seed: seed) }
    let clearHolds = foundClear == frame.header.clearChecksum
    guard clearHolds != (foundBody == frame.header.bodyChecksum) else { return nil }
    let place = BitHealing.flippedBit(
      found: clearHolds ? foundBody : foundClear,
      expected: clearHolds ? frame.header.bodyChecksum : frame.header.clearChecksum,
      byteCount: clearHolds ? body.count : clear.count)
    guard let place else { return nil }
    let value: UInt8
    if clearHolds {
      value = body.load(at: place.byte, as: UInt8.self) ^ (1 << place.bit)
      body.store(value, at: place.byte)
    } else {
      value = clear.load(at: place.byte, as: UInt8.self) ^ (1 << place.bit)
      clear.store(value, at: place.byte)
    }
    let holds = clear.withBytes { clear in
      body.withBytes { contentHolds(frame.header, clear, $0) }
    }
    guard holds else { return nil }
    let start = clearHolds ? frame.bodyRange.lowerBound : frame.clearRange.lowerBound
    return BitRepair(
      position: start + place.byte, value: value, frame: frame.position..<frame.end)
  }
}

/// A file as it was before bits in it flipped: for who may not, or need not, write them back.
package struct HealedFrames<Source: FrameSource>: FrameSource {
  package let source: Source
  package var repairs: [BitRepair]

  package init(_ source: Source, _ repairs: [BitRepair] = []) {
    self.source = source
    self.repairs = repairs
  }

  package var size: Int { source.size }

  package func read(
    at position: Int, into buffer: inout MutableRawSpan
  ) throws(Source.Failure) -> Int {
    let count = try source.read(at: position, into: &buffer)
    repairs.apply(to: &buffer, at: position)
    return count
  }

  package func dataStart(from position: Int) throws(Source.Failure) -> Int {
    let data = try source.dataStart(from: position)
    return repairs.lazy.map(\.position).filter { $0 >= position }.reduce(data, min)
  }
}

extension [BitRepair] {
  /// Sets right what was read from a position of the file.
  package func apply(to buffer: inout MutableRawSpan, at position: Int) {
    for repair in self where repair.position >= position {
      let index = repair.position - position
      guard index < buffer.byteCount else { continue }
      buffer.storeBytes(of: repair.value, toByteOffset: index, as: UInt8.self)
    }
  }
}
