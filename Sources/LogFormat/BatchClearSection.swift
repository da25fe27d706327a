package import EventModel

/// What stands uncompressed before a batch's body: sizes, the time span and the devices, so that a
/// reader passes over batches of other devices without decompressing (format-spec §6.1).
package struct BatchClearSection: Hashable, Sendable {
  static let prologueSize = 32

  package let columnsSize: Int
  package let columnsStoredSize: Int
  package let payloadSize: Int
  package let deviceCount: Int
  /// Microseconds from the first record's enqueue time to the last one's.
  package let timeSpan: UInt64
  /// The sizes of the records' events, as ``Event/size`` counts them, and of their device ids.
  package let eventSize: UInt64

  static func appendBlank(
    deviceCount: Int, timeSpan: UInt64, eventSize: UInt64, to clear: inout ByteBuffer
  ) {
    clear.append(UInt32(0))
    clear.append(UInt32(0))
    clear.append(UInt32(0))
    clear.append(UInt32(deviceCount))
    clear.append(timeSpan)
    clear.append(eventSize)
  }

  static func setRawSizes(columns: Int, payload: Int, in clear: inout ByteBuffer, at start: Int) {
    clear.store(UInt32(columns), at: start)
    clear.store(UInt32(payload), at: start + 8)
  }

  /// Fills in the size of the stored columns; the stored payload takes the rest of the body.
  package static func setStoredSize(
    columns: Int, in clear: inout ByteBuffer, at start: Int
  ) {
    clear.store(UInt32(columns), at: start + 4)
  }

  /// Decodes the sizes and checks them against each other and the header.
  package init(decoding clear: RawSpan, header: FrameHeader) throws(FormatError) {
    var reader = ByteReader(clear)
    columnsSize = Int(try reader.integer(UInt32.self))
    columnsStoredSize = Int(try reader.integer(UInt32.self))
    payloadSize = Int(try reader.integer(UInt32.self))
    deviceCount = Int(try reader.integer(UInt32.self))
    timeSpan = try reader.integer()
    eventSize = try reader.integer()
    guard columnsSize <= Limits.blockSizeMax, payloadSize <= Limits.blockSizeMax else {
      throw .corrupt("batch blocks of \(columnsSize) and \(payloadSize) bytes exceed the limit")
    }
    guard columnsStoredSize <= columnsSize, columnsStoredSize <= Int(header.storedSize),
      payloadStoredSize(in: header) <= payloadSize
    else {
      throw .corrupt("stored batch blocks are larger than their contents")
    }
    guard header.recordCount > 0, Int(header.recordCount) <= Limits.batchRecordCountMax,
      deviceCount > 0, deviceCount <= Int(header.recordCount)
    else {
      throw .corrupt("a batch of \(header.recordCount) records of \(deviceCount) devices")
    }
  }

  /// Bytes that the payload takes in the frame.
  package func payloadStoredSize(in header: FrameHeader) -> Int {
    Int(header.storedSize) - columnsStoredSize
  }

  /// The batch's devices, in the order of their bytes: all ids one behind the other, and where
  /// each ends.
  package static func decodeDevices(
    _ clear: RawSpan, count: Int, into ids: inout ByteBuffer, ends: inout OutputSpan<UInt32>
  ) throws(FormatError) {
    var reader = ByteReader(clear, at: prologueSize)
    var previous = ids.count..<ids.count
    var number = 0
    while number < count {
      number += try decodeShortDevices(&reader, clear, count - number, into: &ids, &ends, &previous)
      guard number < count else { break }
      number += 1
      let packed = try reader.integer(UInt8.self)
      var shared = Int(packed >> 4)
      var rest = Int(packed & 0xf)
      if rest == 0 {
        shared = Int(try reader.integer(UInt8.self))
        rest = Int(try reader.integer(UInt8.self))
      }
      guard rest > 0, shared <= previous.count, shared + rest <= Limits.identifierSizeMax else {
        throw .corrupt("device set entry at \(reader.position) shares \(shared) of its id")
      }
      let range = try reader.range(rest)
      let start = ids.count
      ids.appendCopy(of: previous.prefix(shared))
      ids.append(clear.extracting(range))
      ends.append(UInt32(ids.count))
      previous = start..<ids.count
    }
    guard reader.remaining == 0 else {
      throw .corrupt("\(reader.remaining) bytes follow the device set")
    }
  }

  /// Decodes ids of at most sixteen bytes up to the first that is longer, is damaged or stands near
  /// the end: nearly all there are, each in a few steps without a branch.
  ///
  /// - Returns: how many.
  @_lifetime(reader: copy reader)
  private static func decodeShortDevices(
    _ reader: inout ByteReader, _ clear: RawSpan, _ count: Int, into ids: inout ByteBuffer,
    _ ends: inout OutputSpan<UInt32>, _ previous: inout Range<Int>
  ) throws(FormatError) -> Int {
    let halves: InlineArray<2, UInt128> = [0, .max]
    // Sixteen bytes that begin `n` before the middle begin with `n` zeros.
    // SAFETY: integers have no padding.
    let masks = unsafe halves.span.bytes
    // The bytes of the id before, in a register: read back from memory they would have to wait for
    // being written there.
    var head = ids.sixteenBytes(from: previous.lowerBound)
    var position = reader.position
    var size = previous.count
    var number = 0
    while number < count, position &+ 17 <= clear.byteCount {
      // SAFETY: the condition keeps the load inside the span.
      let packed = unsafe clear.unsafeLoad(fromUncheckedByteOffset: position, as: UInt8.self)
      let (shared, rest) = (Int(packed >> 4), Int(packed & 0xf))
      guard rest > 0, shared <= size, shared &+ rest <= 16 else { break }
      let bytes = clear.sixteenBytes(from: position &+ 1 &- shared)
      head ^= (head ^ bytes) & masks.sixteenBytes(from: 16 &- shared)
      size = shared &+ rest
      ids.append(head, size: size)
      ends.append(UInt32(truncatingIfNeeded: ids.count))
      position = position &+ 1 &+ rest
      number &+= 1
    }
    try reader.skip(position - reader.position)
    previous = ids.count - size..<ids.count
    return number
  }

  /// The batch's devices as ids.
  package static func devices(_ clear: RawSpan, count: Int) throws(FormatError) -> [DeviceID] {
    var ids = ByteBuffer(capacity: 4 << 10)
    let ends = try [UInt32](capacity: count) { (ends) throws(FormatError) in
      try decodeDevices(clear, count: count, into: &ids, ends: &ends)
    }
    var devices: [DeviceID] = []
    var start = 0
    for end in ends {
      devices.append(try deviceID(ids.array(start..<Int(end))))
      start = Int(end)
    }
    return devices
  }

  static func deviceID(_ bytes: [UInt8]) throws(FormatError) -> DeviceID {
    do {
      return try DeviceID(utf8: bytes.span)
    } catch {
      throw .corrupt("\(error)")
    }
  }
}

extension RawSpan {
  /// Sixteen bytes from `start` on.
  @inline(__always)
  fileprivate func sixteenBytes(from start: Int) -> UInt128 {
    precondition(start >= 0 && start <= byteCount - 16, "16 bytes from \(start) of \(byteCount)")
    // SAFETY: the precondition keeps the load inside the span; any bits are valid bytes.
    let bytes = unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: start, as: UInt128.self)
    return UInt128(littleEndian: bytes)
  }
}
