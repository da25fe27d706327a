internal import EventModel

/// Reads a structure from bytes that may be damaged: every access is bounded, nothing traps.
package struct ByteReader: ~Escapable {
  private let bytes: RawSpan
  package private(set) var position: Int

  @_lifetime(copy bytes)
  package init(_ bytes: RawSpan, at position: Int = 0) {
    self.bytes = bytes
    self.position = min(max(position, 0), bytes.byteCount)
  }

  package var remaining: Int { bytes.byteCount - position }

  @_lifetime(self: copy self)
  package mutating func skip(_ count: Int) throws(FormatError) {
    guard count >= 0, count <= remaining else { throw short(count) }
    position += count
  }

  @_lifetime(self: copy self)
  package mutating func integer<Integer: FixedWidthInteger & BitwiseCopyable>(
    _ type: Integer.Type = Integer.self
  ) throws(FormatError) -> Integer {
    let size = MemoryLayout<Integer>.size
    guard size <= remaining else { throw short(size) }
    // SAFETY: the guard keeps the load inside the span; any bit pattern is a valid integer.
    let value = unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: position, as: type)
    position += size
    return Integer(littleEndian: value)
  }

  /// An LEB128 number of at most 64 bits (format-spec §1).
  @inline(__always)
  @_lifetime(self: copy self)
  package mutating func variableLengthInteger() throws(FormatError) -> UInt64 {
    // Most are of one byte.
    if position < bytes.byteCount {
      // SAFETY: the condition keeps the load inside the span.
      let byte = unsafe bytes.unsafeLoad(fromUncheckedByteOffset: position, as: UInt8.self)
      if byte < 0x80 {
        position += 1
        return UInt64(byte)
      }
    }
    return try longInteger()
  }

  @inline(never)
  @_lifetime(self: copy self)
  private mutating func longInteger() throws(FormatError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      let byte = try integer(UInt8.self)
      let bits = UInt64(byte & 0x7f)
      guard shift < 64, shift < 57 || bits >> (64 - shift) == 0 else {
        throw .corrupt("a variable-length integer at \(position) exceeds 64 bits")
      }
      value |= bits << shift
      if byte < 0x80 { return value }
      shift += 7
    }
  }

  /// A record's number, a segment's id, a position or a size (format-spec §1).
  @_lifetime(self: copy self)
  package mutating func number() throws(FormatError) -> UInt64 {
    let value = try integer(UInt64.self)
    guard value <= Limits.numberMax else {
      throw .corrupt("the number \(value) at \(position) exceeds \(Limits.numberMax)")
    }
    return value
  }

  /// The same, as a variable-length integer.
  @_lifetime(self: copy self)
  package mutating func variableLengthNumber() throws(FormatError) -> UInt64 {
    let value = try variableLengthInteger()
    guard value <= Limits.numberMax else {
      throw .corrupt("the number \(value) exceeds \(Limits.numberMax)")
    }
    return value
  }

  /// A file position where frames can stand or end.
  @_lifetime(self: copy self)
  package mutating func framePosition() throws(FormatError) -> UInt64 {
    let value = try integer(UInt64.self)
    guard FrameHeader.isPlace(value) else {
      throw .corrupt("no frame can stand at position \(value)")
    }
    return value
  }

  /// The number of a checkpoint of the queues (format-spec §14.4).
  @_lifetime(self: copy self)
  package mutating func checkpoint() throws(FormatError) -> UInt32 {
    let value = try integer(UInt32.self)
    guard FileNames.isCheckpoint(value) else {
      throw .corrupt("checkpoint \(value) of the queues at \(position)")
    }
    return value
  }

  /// A variable-length integer that must not exceed `maximum`.
  @inline(__always)
  @_lifetime(self: copy self)
  package mutating func count(atMost maximum: Int) throws(FormatError) -> Int {
    let value = try variableLengthInteger()
    // Below zero where damage left nothing to count, such as the last index of an empty table.
    guard maximum >= 0, value <= UInt64(maximum) else { throw excessive(value, maximum) }
    return Int(value)
  }

  @inline(never)
  private func excessive(_ count: UInt64, _ maximum: Int) -> FormatError {
    .corrupt("a count of \(count) at \(position) exceeds \(maximum)")
  }

  /// The range of the next `count` bytes, passed over.
  @_lifetime(self: copy self)
  package mutating func range(_ count: Int) throws(FormatError) -> Range<Int> {
    let start = position
    try skip(count)
    return start..<position
  }

  @_lifetime(self: copy self)
  package mutating func array(_ count: Int) throws(FormatError) -> [UInt8] {
    let range = try range(count)
    // SAFETY: the span keeps its bytes valid for the closure; `Array` copies them.
    return unsafe bytes.extracting(range).withUnsafeBytes { unsafe Array($0) }
  }

  /// UTF-8 with its length before it; damaged text is an error, not a replacement character.
  @_lifetime(self: copy self)
  package mutating func text(sizeMax: Int) throws(FormatError) -> String {
    let size = try count(atMost: sizeMax)
    let range = try range(size)
    // SAFETY: the span keeps its bytes valid for the closure; the text is a copy.
    let text = unsafe bytes.extracting(range).withUnsafeBytes { bytes in
      unsafe String(validating: bytes, as: UTF8.self)
    }
    guard let text else {
      throw .corrupt("text at \(position) is not UTF-8")
    }
    return text
  }

  @inline(never)
  private func short(_ count: Int) -> FormatError {
    .corrupt("\(count) bytes needed at \(position), \(remaining) left")
  }
}

extension ByteBuffer {
  /// Appends an LEB128 number (format-spec §1).
  @inline(__always)
  package mutating func appendVariableLength(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    append(UInt8(truncatingIfNeeded: rest))
  }

  /// Appends UTF-8 with its length before it.
  package mutating func appendText(_ text: String) {
    appendVariableLength(UInt64(text.utf8.count))
    append(text)
  }
}
