import EventModel
import LogFormat

/// A segment under construction in memory: real frames at real positions.
///
/// Tests append what a writer would have written, damage it, and ask the rule.
struct LogImage {
  /// A frame that was appended, and where it stands.
  struct Placed {
    var range: Range<Int>
    var baseNumber: UInt64
    var nextNumber: UInt64
    var checksum: UInt32
    /// Where its body begins.
    var body: Int { range.lowerBound + FrameHeader.size }
  }

  static let baseNumber: UInt64 = 100

  let header = Fixed.segmentHeader
  var bytes: [UInt8]
  /// What the next frame says of itself unless told otherwise.
  var chain: UInt32
  var nextNumber = Self.baseNumber
  var epoch: UInt16 = 0

  init() {
    bytes = encoded(header)
    chain = header.chain
  }

  /// Appends a frame of `count` records at the end and goes on behind it.
  @discardableResult
  mutating func append(
    _ type: UInt8 = FrameHeader.FrameType.batch, count: UInt32 = 10, watermark: UInt64,
    base: UInt64? = nil, chain: UInt32? = nil
  ) -> Placed {
    let base = base ?? nextNumber
    let frameHeader = FrameHeader(
      type: type, epoch: epoch, recordCount: count, baseNumber: base,
      baseTime: Timestamp(microseconds: Int64(bytes.count)), watermark: watermark,
      chain: chain ?? self.chain)
    let position = bytes.count
    let body = (0..<200).map { UInt8(truncatingIfNeeded: position &+ $0) | 1 }
    let frame = encoded(frameHeader, body: body, identity: header.identity, at: position)
    bytes += frame.bytes
    self.chain = frame.checksum
    nextNumber = base + UInt64(count)
    return Placed(
      range: position..<bytes.count, baseNumber: base, nextNumber: nextNumber,
      checksum: frame.checksum)
  }

  @discardableResult
  mutating func appendEpoch(base: UInt64? = nil, watermark: UInt64) -> Placed {
    epoch &+= 1
    return append(FrameHeader.FrameType.epoch, count: 0, watermark: watermark, base: base)
  }

  @discardableResult
  mutating func appendMark(watermark: UInt64) -> Placed {
    append(FrameHeader.FrameType.mark, count: 0, watermark: watermark)
  }

  mutating func flipBodyBit(of frame: Placed) { bytes[frame.body + 17] ^= 0x20 }

  mutating func flipHeaderBit(of frame: Placed) { bytes[frame.range.lowerBound + 20] ^= 0x01 }

  /// What a write that never reached the disk leaves behind.
  mutating func erase(_ range: Range<Int>) {
    for index in range { bytes[index] = 0 }
  }

  var start: RecoveryRule.Start {
    RecoveryRule.Start(
      position: FileHeader.size, chain: header.chain, nextNumber: Self.baseNumber, epoch: 0)
  }

  func decide(evidence: UInt64 = 0, checksEverything: Bool = false) -> RecoveryRule.Verdict {
    let source = MemorySource(bytes: bytes)
    var scanner = FrameScanner(source, identity: header.identity)
    let scan = scanner.scan(from: FileHeader.size)
    return RecoveryRule.decide(
      from: start, scan: scan, evidence: evidence, checksEverything: checksEverything
    ) { frame in
      var checker = FrameScanner(source, identity: header.identity)
      return checker.isIntact(frame)
    }
  }
}
