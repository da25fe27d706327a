/// A column of integers, each stored as its distance from the smallest, in the fewest bits that
/// hold the largest distance (format-spec §6.2).
///
/// Fixed width, so record i is found without record i − 1.
package enum IntegerColumn {
  /// Appends a column of values that were gathered as 32-bit integers.
  static func append(_ values: borrowing ByteBuffer, to buffer: inout ByteBuffer) {
    let count = values.count / 4
    var low = UInt32.max
    var high: UInt32 = 0
    for index in 0..<count {
      let value = values.load(at: index &* 4, as: UInt32.self)
      low = min(low, value)
      high = max(high, value)
    }
    let width = appendPrologue(low: UInt64(low), high: UInt64(high), count: count, to: &buffer)
    buffer.appendBits(count: count, width: width) { index in
      UInt64(values.load(at: index &* 4, as: UInt32.self) &- low)
    }
  }

  /// Appends a column of the places from 0 to `last`, all of which occur, by the numbers that were
  /// gathered as 32-bit integers.
  static func append(
    _ numbers: borrowing ByteBuffer, to buffer: inout ByteBuffer, last: Int,
    places: (UInt32) -> UInt32
  ) {
    let count = numbers.count / 4
    let width = appendPrologue(low: 0, high: UInt64(last), count: count, to: &buffer)
    buffer.appendBits(count: count, width: width) { index in
      UInt64(places(numbers.load(at: index &* 4, as: UInt32.self)))
    }
  }

  /// Appends a column of any integers.
  static func append(_ values: [UInt64], to buffer: inout ByteBuffer) {
    let low = values.min() ?? 0
    let width = appendPrologue(
      low: low, high: values.max() ?? 0, count: values.count, to: &buffer)
    buffer.appendBits(count: values.count, width: width) { values[$0] &- low }
  }

  private static func appendPrologue(
    low: UInt64, high: UInt64, count: Int, to buffer: inout ByteBuffer
  ) -> Int {
    let width = count == 0 ? 0 : UInt64.bitWidth - (high - low).leadingZeroBitCount
    buffer.append(UInt8(width))
    buffer.appendVariableLength(count == 0 ? 0 : low)
    return width
  }
}

/// Where a column's values stand in a decoded batch.
struct ColumnView: Sendable {
  private let start: Int
  private let width: Int
  private let low: UInt64

  /// Whether all values are the same.
  var isConstant: Bool { width == 0 }

  /// Reads a column's prologue and passes over its values.
  @_lifetime(reader: copy reader)
  init(from reader: inout ByteReader, count: Int) throws(FormatError) {
    width = Int(try reader.integer(UInt8.self))
    guard width <= UInt64.bitWidth else {
      throw .corrupt("a column of width \(width) at \(reader.position)")
    }
    low = try reader.variableLengthInteger()
    start = try reader.range((width * count + 7) / 8).lowerBound
  }

  /// Gives each of the first `count` values in turn; sums wrap where damaged distances would
  /// overflow, so that nothing traps.
  @inline(__always)
  func forEach(_ count: Int, in columns: RawSpan, _ body: (UInt64) -> Void) {
    guard width > 0 else {
      for _ in 0..<count { body(low) }
      return
    }
    let distances = columns.extracting(start..<start + (width * count + 7) / 8)
    // Those whose bits all lie in the eight bytes from their first one's on, which are there.
    let last = (distances.byteCount &- 8) &* 8 &+ 7
    let whole = width > 57 || last < 0 ? 0 : min(count, last / width &+ 1)
    let mask = UInt64.max >> UInt64(64 - width)
    for index in 0..<whole {
      let bit = index &* width
      // SAFETY: `whole` counts the values of which this is so.
      let bits = unsafe distances.unsafeLoadUnaligned(
        fromUncheckedByteOffset: bit &>> 3, as: UInt64.self)
      body(low &+ (UInt64(littleEndian: bits) &>> UInt64(bit & 7)) & mask)
    }
    for index in whole..<count { body(low &+ distances.bits(from: index * width, width: width)) }
  }

  /// The first `count` values in the least integers that hold them all.
  ///
  /// - Throws: `.corrupt` where one is not below `limit`, which those integers must hold.
  @inline(__always)
  func values<Value: FixedWidthInteger>(
    _ count: Int, in columns: RawSpan, below limit: UInt64, as type: Value.Type = Value.self
  ) throws(FormatError) -> [Value] {
    var highest: UInt64 = 0
    let values = [Value](capacity: count) { values in
      forEach(count, in: columns) { value in
        highest = max(highest, value)
        values.append(Value(truncatingIfNeeded: value))
      }
    }
    guard highest < limit else { throw .corrupt("a record refers to \(highest) of \(limit)") }
    return values
  }
}

extension RawSpan {
  /// An integer of some bits, the lowest one first.
  fileprivate func bits(from start: Int, width: Int) -> UInt64 {
    var value: UInt64 = 0
    var known = 0
    while known < width {
      let (byte, passed) = (start + known).quotientAndRemainder(dividingBy: 8)
      // SAFETY: the load checks its place; every byte is an integer.
      let bits = UInt64(unsafe unsafeLoad(fromByteOffset: byte, as: UInt8.self)) >> UInt64(passed)
      value |= bits << UInt64(known)
      known += 8 - passed
    }
    return value & (.max >> UInt64(64 - width))
  }
}
