/// Finds the one flipped bit that explains a wrong CRC32C.
///
/// A CRC is linear: the difference between the checksum found and the one expected depends only on
/// which bits differ. Below 2^31 bits every single-bit difference has its own syndrome (Koopman,
/// "32-bit cyclic redundancy codes for Internet applications", 2002), so at most one bit fits. The
/// caller confirms it by a checksum of another kind.
package enum BitHealing {
  /// The bit whose flip turns `found` into `expected` for a section of `count` bytes, or nil.
  package static func flippedBit(
    found: UInt32, expected: UInt32, byteCount: Int
  ) -> (byte: Int, bit: UInt8)? {
    let syndrome = found ^ expected
    guard syndrome != 0 else { return nil }
    // The syndromes of the eight bits of the last byte, moved back byte by byte.
    var effects = (0..<8).map { CRC32C.remainders[1 << $0] }
    for byte in stride(from: byteCount - 1, through: 0, by: -1) {
      for bit in 0..<8 {
        if effects[bit] == syndrome { return (byte, UInt8(bit)) }
        effects[bit] = CRC32C.remainders[Int(effects[bit] & 0xff)] ^ effects[bit] >> 8
      }
    }
    return nil
  }
}
