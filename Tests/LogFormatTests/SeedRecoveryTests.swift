import EventModel
import LogFormat
import Testing

/// A frame's header gives what its checksums are seeded with.
@Suite("Recovery of seeds")
struct SeedRecoveryTests {
  @Test("The seed of a header, and of its position, is found from the bytes alone")
  func seeds() throws {
    for number in 0..<200 {
      let salt = UInt64(number + 1) &* 0x9e37_79b9_7f4a_7c15
      let identity = FrameIdentity(
        storeID: StoreID(high: salt, low: ~salt), fileID: salt >> 40, salt: salt)
      let position = FilePosition(128 + 64 * number * number)
      var header = FrameHeader(
        type: FrameHeader.FrameType.batch, epoch: 3, recordCount: 7, baseNumber: salt >> 20,
        baseTime: Timestamp(microseconds: Int64(bitPattern: salt)), watermark: 5, chain: 9)
      header.bodyChecksum = UInt32(truncatingIfNeeded: salt)
      var bytes = ByteBuffer()
      bytes.appendZeros(64)
      _ = header.encode(over: &bytes, at: 0, seed: identity.seed(at: position))
      let seed = try bytes.withBytes { (bytes) throws(FormatError) in
        try FrameHeader.seed(of: bytes)
      }
      #expect(seed == identity.seed(at: position))
      #expect(FrameIdentity.base(of: seed, at: position) == identity.base)
      let other = FilePosition(number)
      #expect(FrameIdentity(seed: seed, at: other).seed(at: other) == seed)
    }
  }

  @Test("Magic numbers are found wherever they begin, and halves of them are not")
  func magicNumbers() {
    let frame = Array("MRF1".utf8)
    let file: [UInt8] = [0x8d, 0x4d, 0x4c, 0x52, 0x0d, 0x0a, 0x1a, 0x0a]
    for magic in [frame, file] {
      for before in 0..<40 {
        for after in 0..<10 {
          var bytes = ByteBuffer()
          bytes.append([UInt8](repeating: before % 2 == 0 ? 0x4d : 0, count: before))
          bytes.append(magic)
          bytes.append([UInt8](repeating: 0x4d, count: after))
          #expect(bytes.nextMagic(from: 0) == before, "\(before) and \(after)")
          #expect(bytes.nextMagic(from: before) == before, "\(before) and \(after)")
          #expect(bytes.nextMagic(from: before + 1) == nil, "\(before) and \(after)")
          bytes.truncate(to: before + magic.count - 1)
          #expect(bytes.nextMagic(from: 0) == nil, "\(before) and \(after)")
        }
      }
    }
  }
}
