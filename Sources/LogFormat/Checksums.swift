internal import CSystemShims
package import EventModel

/// CRC32C, Castagnoli's polynomial (format-spec §3.2).
///
/// Finds damage; its linearity lets a single flipped bit be found and healed.
package enum CRC32C {
  /// The checksum of `bytes` behind what `seed` is the checksum of; 0 begins anew.
  @inline(__always)
  package static func checksum(_ bytes: borrowing RawSpan, seed: UInt32 = 0) -> UInt32 {
    // SAFETY: the span keeps its bytes valid for the closure and tells their exact number.
    unsafe bytes.withUnsafeBytes { buffer in
      unsafe millrace_crc32c(seed, buffer.baseAddress, buffer.count)
    }
  }

  /// The remainders of all bytes for the reflected polynomial.
  static let remainders: [UInt32] = (0..<256).map { byte in
    var remainder = UInt32(byte)
    for _ in 0..<8 {
      remainder = remainder >> 1 ^ (remainder & 1 == 1 ? 0x82f6_3b78 : 0)
    }
    return remainder
  }
}

/// The content checksum: XXH3 of 64 bits over the uncompressed parts, each seeded with the one
/// before it; the low half is kept (format-spec §3.3).
///
/// The parts of a batch are the clear section up to byte 4 and from byte 8 on, the columns and the
/// payload; other frames have one, the body.
package struct ContentChecksum {
  private var state: UInt64 = 0

  package init() {}

  package mutating func add(_ bytes: borrowing RawSpan) {
    // SAFETY: the span keeps its bytes valid for the closure and tells their exact number.
    state = unsafe bytes.withUnsafeBytes { buffer in
      unsafe millrace_xxh3_64_seeded(buffer.baseAddress, buffer.count, state)
    }
  }

  /// Adds a batch's clear section without the stored size of the columns, which is no content: it
  /// depends on the codec.
  package mutating func addClearSection(_ clear: RawSpan) {
    add(clear.extracting(0..<4))
    add(clear.extracting(8..<clear.byteCount))
  }

  package var value: UInt32 { UInt32(truncatingIfNeeded: state) }

  /// All 64 bits, for tables in memory.
  var whole: UInt64 { state }
}

/// A store's identity: 16 random bytes, made once.
package struct StoreID: Hashable, Sendable {
  package let high: UInt64
  package let low: UInt64

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }
}

extension StoreID: CustomStringConvertible {
  /// 32 hexadecimal digits.
  package var description: String { Hexadecimal.text(high) + Hexadecimal.text(low) }
}

/// What seeds the checksums of a file's frames: bytes of another store, file, use of the file or
/// position never validate (I5).
package struct FrameIdentity: Hashable, Sendable {
  package let storeID: StoreID
  package let fileID: UInt64
  package let salt: UInt64
  /// The checksum of all three, which is all that a frame's checksums depend on.
  package let base: UInt32

  package init(storeID: StoreID, fileID: UInt64, salt: UInt64) {
    self.storeID = storeID
    self.fileID = fileID
    self.salt = salt
    var buffer = ByteBuffer(capacity: 64)
    buffer.append(storeID.high)
    buffer.append(storeID.low)
    buffer.append(fileID)
    buffer.append(salt)
    base = buffer.withBytes { CRC32C.checksum($0) }
  }

  /// An identity of which only what seeds its checksums is known.
  init(base: UInt32) {
    storeID = StoreID(high: 0, low: 0)
    fileID = 0
    salt = 0
    self.base = base
  }

  /// The seed of every checksum of the frame at a position (format-spec §3.2).
  @inline(__always)
  package func seed(at position: FilePosition) -> UInt32 {
    var bytes = UInt64(position.bytes).littleEndian
    // SAFETY: exactly the eight bytes of the local integer.
    return unsafe withUnsafeBytes(of: &bytes) { buffer in
      unsafe millrace_crc32c(base, buffer.baseAddress, buffer.count)
    }
  }
}

/// Fixed-width hexadecimal, made by arithmetic so that no locale has a say in file names.
package enum Hexadecimal {
  package static func text<Integer: FixedWidthInteger & UnsignedInteger>(
    _ value: Integer
  ) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: Integer.bitWidth / 4 - digits.utf8.count) + digits
  }
}
