/// A column of integers, each stored as its distance from the smallest, in the fewest bytes that
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
    switch appendPrologue(low: UInt64(low), high: UInt64(high), count: count, to: &buffer) {
    case 0: break
    case 1: buffer.append(values) { UInt8(truncatingIfNeeded: $0 &- low) }
    case 2: buffer.append(values) { UInt16(truncatingIfNeeded: $0 &- low) }
    default: buffer.append(values) { ($0 as UInt32) &- low }
    }
  }

  /// Appends a column of any integers.
  static func append(_ values: [UInt64], to buffer: inout ByteBuffer) {
    let low = values.min() ?? 0
    let width = appendPrologue(
      low: low, high: values.max() ?? 0, count: values.count, to: &buffer)
    for value in values where width > 0 {
      appendDistance(value - low, width: width, to: &buffer)
    }
  }

  private static func appendPrologue(
    low: UInt64, high: UInt64, count: Int, to buffer: inout ByteBuffer
  ) -> Int {
    let width =
      count == 0 || low == high
      ? 0 : high - low <= 0xff ? 1 : high - low <= 0xffff ? 2 : high - low <= 0xffff_ffff ? 4 : 8
    buffer.append(UInt8(width))
    buffer.appendVariableLength(count == 0 ? 0 : low)
    return width
  }

  @inline(__always)
  private static func appendDistance(
    _ distance: UInt64, width: Int, to buffer: inout ByteBuffer
  ) {
    switch width {
    case 1: buffer.append(UInt8(truncatingIfNeeded: distance))
    case 2: buffer.append(UInt16(truncatingIfNeeded: distance))
    case 4: buffer.append(UInt32(truncatingIfNeeded: distance))
    default: buffer.append(distance)
    }
  }
}

/// Where a column's values stand in a decoded batch.
struct ColumnView: Sendable {
  private let start: Int
  private let width: Int
  private let low: UInt64

  /// Reads a column's prologue and passes over its values.
  @_lifetime(reader: copy reader)
  init(from reader: inout ByteReader, count: Int) throws(FormatError) {
    width = Int(try reader.integer(UInt8.self))
    guard [0, 1, 2, 4, 8].contains(width) else {
      throw .corrupt("a column of width \(width) at \(reader.position)")
    }
    low = try reader.variableLengthInteger()
    start = try reader.range(width * count).lowerBound
  }

  /// Gives each of the first `count` values in turn; sums wrap where damaged distances would
  /// overflow, so that nothing traps.
  ///
  /// The width is looked at once: for each there is a loop of its own.
  @inline(__always)
  func forEach(_ count: Int, in columns: RawSpan, _ body: (UInt64) -> Void) {
    switch width {
    case 0: for _ in 0..<count { body(low) }
    case 1: forEach(count, as: UInt8.self, in: columns, body)
    case 2: forEach(count, as: UInt16.self, in: columns, body)
    case 4: forEach(count, as: UInt32.self, in: columns, body)
    default: forEach(count, as: UInt64.self, in: columns, body)
    }
  }

  @inline(__always)
  private func forEach<Distance: FixedWidthInteger & BitwiseCopyable>(
    _ count: Int, as type: Distance.Type, in columns: RawSpan, _ body: (UInt64) -> Void
  ) {
    let size = MemoryLayout<Distance>.size
    let distances = columns.extracting(start..<start + count * size)
    for index in 0..<count {
      // SAFETY: `extracting` checked that `count` distances stand there.
      let distance = unsafe distances.unsafeLoadUnaligned(
        fromUncheckedByteOffset: index &* size, as: type)
      body(low &+ UInt64(Distance(littleEndian: distance)))
    }
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
