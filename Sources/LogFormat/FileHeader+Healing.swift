extension FileHeader {
  /// The header that the bytes of a damaged one were, where one flipped bit explains the damage.
  ///
  /// The checksum has no seed, so the bit can be found. Frames confirm the result: theirs are
  /// seeded with what the header says.
  ///
  /// - Parameter bytes: the bytes; the bit is set right in them.
  /// - Returns: nil where more than a bit is wrong, or the header is one of a later program.
  package static func healed(_ bytes: inout ByteBuffer) -> FileHeader? {
    guard bytes.count == size else { return nil }
    let end = size - 4
    let expected = bytes.load(at: end, as: UInt32.self)
    let found = bytes.withBytes(0..<end) { CRC32C.checksum($0) }
    if (expected ^ found).nonzeroBitCount <= 1 {
      bytes.store(found, at: end)
    } else if let flip = BitHealing.flippedBit(found: found, expected: expected, byteCount: end) {
      bytes.store(bytes.load(at: flip.byte, as: UInt8.self) ^ (1 << flip.bit), at: flip.byte)
    } else {
      return nil
    }
    do throws(FormatError) {
      return try bytes.withBytes { (bytes) throws(FormatError) in try FileHeader(decoding: bytes) }
    } catch {
      return nil
    }
  }
}
