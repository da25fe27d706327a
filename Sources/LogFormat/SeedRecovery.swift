package import EventModel

/// What seeded a frame's checksums, computed from the frame: so that one is found without the file
/// header that it was written under, and wherever it stands now.
///
/// A CRC is linear in its seed and each of its steps can be taken back. For any 64 bytes there is a
/// seed under which they are a header that holds: only checksums of other bytes under the same seed
/// prove it.
extension CRC32C {
  /// Takes zero bytes back out of a difference between two checksums.
  static func unwound(_ difference: UInt32, by byteCount: Int) -> UInt32 {
    var state = difference
    for _ in 0..<byteCount {
      let byte = bytesByRemainder[Int(state >> 24)]
      state = (state ^ remainders[Int(byte)]) << 8 | UInt32(byte)
    }
    return state
  }

  /// The byte whose remainder has a given highest byte; there is one for each.
  private static let bytesByRemainder: [UInt8] = {
    var bytes = [UInt8](repeating: 0, count: 256)
    for (byte, remainder) in remainders.enumerated() {
      bytes[Int(remainder >> 24)] = UInt8(byte)
    }
    return bytes
  }()
}

extension FrameHeader {
  /// The seed under which the checksum of a header's bytes holds.
  package static func seed(of bytes: RawSpan) throws(FormatError) -> UInt32 {
    var reader = ByteReader(bytes, at: 4)
    let stored = try reader.integer(UInt32.self)
    return CRC32C.unwound(stored ^ checksum(bytes, seed: 0), by: size)
  }
}

extension FrameIdentity {
  /// The ``base`` of the file in which checksums at a position have a seed.
  package static func base(of seed: UInt32, at position: FilePosition) -> UInt32 {
    let blank = FrameIdentity(base: 0).seed(at: position)
    return CRC32C.unwound(seed ^ blank, by: MemoryLayout<UInt64>.size)
  }

  /// An identity of which only that is known.
  package init(seed: UInt32, at position: FilePosition) {
    self.init(base: Self.base(of: seed, at: position))
  }
}

extension ByteBuffer {
  /// Where the next bytes stand that may begin a file or a frame, at any alignment; nil if nowhere.
  ///
  /// Both magic numbers hold the letter M, and words without one are passed over.
  package func nextMagic(from start: Int) -> Int? {
    let ones: UInt64 = 0x0101_0101_0101_0101
    var index = start
    while index < count {
      if index + 8 <= count {
        let difference = load(at: index, as: UInt64.self) ^ ones &* 0x4d
        guard (difference &- ones) & ~difference & ones &<< 7 != 0 else {
          index += 8
          continue
        }
      }
      for place in index..<min(index + 8, count) {
        if place > start, FileHeader.bearsMagic(self, at: place - 1) { return place - 1 }
        if FrameHeader.bearsMagic(self, at: place) { return place }
      }
      index += 8
    }
    return nil
  }
}

extension FrameHeader {
  fileprivate static func bearsMagic(_ bytes: borrowing ByteBuffer, at index: Int) -> Bool {
    index + 4 <= bytes.count && bytes.load(at: index, as: UInt32.self) == magic
  }
}

extension FileHeader {
  /// Whether the bytes begin as a file does: worth a checksum.
  package static func bearsMagic(_ bytes: borrowing ByteBuffer, at index: Int) -> Bool {
    index + 8 <= bytes.count && bytes.load(at: index, as: UInt64.self) == 0x0a1a_0a0d_524c_4d8d
  }
}
