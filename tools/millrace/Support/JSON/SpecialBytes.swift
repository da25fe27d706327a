/// Finds the bytes that end or interrupt a run of plain characters in a JSON string.
enum SpecialBytes {
  private static let ones: UInt64 = 0x0101_0101_0101_0101
  private static let tops: UInt64 = 0x8080_8080_8080_8080

  /// The top bit of every byte that is a quote, a backslash or a control character.
  ///
  /// Bytes above the lowest one marked may be marked wrongly: a borrow passes through them. The
  /// lowest is right, and callers look at no other. The method is that of "Determine if a word has
  /// a byte less than n" in Bit Twiddling Hacks.
  @inline(__always)
  static func marks(_ word: UInt64) -> UInt64 {
    let quotes = word ^ (ones &* 0x22)
    let backslashes = word ^ (ones &* 0x5c)
    return
      ((quotes &- ones) & ~quotes | (backslashes &- ones) & ~backslashes
      | (word &- ones &* 0x20) & ~word) & tops
  }

  /// Whether one byte is special.
  @inline(__always)
  static func contains(_ byte: UInt8) -> Bool { byte < 0x20 || byte == 0x22 || byte == 0x5c }

  /// The position of the first special byte from `start` on; the end if there is none.
  @inline(__always)
  static func first(in bytes: RawSpan, from start: Int) -> Int {
    var position = start
    while position &+ 8 <= bytes.byteCount {
      // SAFETY: the condition keeps eight bytes inside the span.
      let word = unsafe bytes.unsafeLoadUnaligned(
        fromUncheckedByteOffset: position, as: UInt64.self)
      let marks = marks(UInt64(littleEndian: word))
      if marks != 0 { return position &+ marks.trailingZeroBitCount >> 3 }
      position &+= 8
    }
    while position < bytes.byteCount {
      // SAFETY: the condition keeps the byte inside the span.
      if contains(unsafe bytes.unsafeLoad(fromUncheckedByteOffset: position, as: UInt8.self)) {
        break
      }
      position &+= 1
    }
    return position
  }
}
