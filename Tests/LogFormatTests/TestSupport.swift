import EventModel
import LogFormat

/// SplitMix64: the same numbers for the same seed on every machine.
struct SeededRandom: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }

  mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
  }

  mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }
}

/// A file in memory.
///
/// It may claim a size that its bytes do not have, as sparse metadata does.
struct MemorySource: FrameSource {
  var bytes: [UInt8]
  var claimedSize: Int?
  /// Whether it calls everything a hole, as file systems with a mistake do.
  var isCalledHole = false

  func dataStart(from position: Int) throws(Never) -> Int { isCalledHole ? size : position }

  var size: Int { claimedSize ?? bytes.count }

  func read(at position: Int, into buffer: inout MutableRawSpan) throws(Never) -> Int {
    let count = max(0, min(buffer.byteCount, bytes.count - position))
    buffer.withUnsafeMutableBytes { target in
      for index in 0..<count { target[index] = bytes[position + index] }
    }
    return count
  }
}

/// Fixed identities, so that every run builds the same bytes.
enum Fixed {
  static let storeID = StoreID(high: 0x0706_0504_0302_0100, low: 0x0f0e_0d0c_0b0a_0908)
  static let time = Timestamp(microseconds: 1_700_000_000_000_000)

  static var segmentHeader: FileHeader {
    var header = FileHeader(
      kind: .segment, storeID: storeID, fileID: 7, salt: 0x1122_3344_5566_7788, created: time)
    header.partition = 3
    header.baseNumber = 100
    header.predecessorID = 4
    header.predecessorChain = 0xcafe_1234
    return header
  }

  static func header(_ kind: FileHeader.Kind, fileID: UInt64 = 0) -> FileHeader {
    FileHeader(
      kind: kind, storeID: storeID, fileID: fileID, salt: 0x0123_4567_89ab_cdef, created: time)
  }

  /// An index repeats its segment's header.
  static var indexHeader: FileHeader {
    var header = segmentHeader
    header.kind = .index
    return header
  }
}

func encoded(_ header: FileHeader) -> [UInt8] {
  var buffer = ByteBuffer()
  header.encode(into: &buffer)
  return buffer.array(0..<buffer.count)
}

func buffer(_ bytes: [UInt8]) -> ByteBuffer {
  var buffer = ByteBuffer(capacity: max(bytes.count, 64))
  buffer.append(bytes)
  return buffer
}

/// A frame without a clear section, as it stands at a position.
func encoded(
  _ header: FrameHeader, body: [UInt8], identity: FrameIdentity, at position: Int
) -> (bytes: [UInt8], checksum: UInt32) {
  var frame = ByteBuffer()
  let checksum = FrameAssembly.append(
    header, body: buffer(body), to: &frame, identity: identity, position: FilePosition(position))
  return (frame.array(0..<frame.count), checksum)
}

extension Array where Element == UInt8 {
  func flippingBit(_ bit: Int) -> [UInt8] {
    var copy = self
    copy[bit / 8] ^= 1 << UInt8(bit % 8)
    return copy
  }

  /// Sixteen bytes a line, as `format-spec.md` prints them.
  var hexLines: String {
    stride(from: 0, to: count, by: 16).map { start in
      self[start..<Swift.min(start + 16, count)].map { Hexadecimal.text($0) }
        .joined(separator: " ")
    }.joined(separator: "\n")
  }
}

func crc32c(_ bytes: [UInt8], seed: UInt32 = 0) -> UInt32 {
  let span = bytes.span
  return CRC32C.checksum(span.bytes, seed: seed)
}
