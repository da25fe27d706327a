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
    _ clear: RawSpan, count: Int, into ids: inout ByteBuffer, ends: inout [UInt32]
  ) throws(FormatError) {
    var reader = ByteReader(clear, at: prologueSize)
    var previousStart = ids.count
    var previousSize = 0
    // Where it begins, in a register: read back from memory it would have to wait for both of the
    // parts that were just written there.
    var head: UInt128 = 0
    for _ in 0..<count {
      let packed = try reader.integer(UInt8.self)
      var shared = Int(packed >> 4)
      var rest = Int(packed & 0xf)
      if rest == 0 {
        shared = Int(try reader.integer(UInt8.self))
        rest = Int(try reader.integer(UInt8.self))
      }
      guard rest > 0, shared <= previousSize, shared + rest <= Limits.identifierSizeMax else {
        throw .corrupt("device set entry at \(reader.position) shares \(shared) of its id")
      }
      let start = ids.count
      let range = try reader.range(rest)
      if shared + rest <= 16, let bytes = clear.sixteenBytes(from: range.lowerBound - shared) {
        head ^= (head ^ bytes) & (.max << (8 * shared))
        ids.append(head, size: shared + rest)
      } else {
        ids.appendCopy(of: previousStart..<previousStart + shared)
        ids.append(clear.extracting(range))
        head = ids.sixteenBytes(from: start)
      }
      previousStart = start
      previousSize = shared + rest
      ends.append(UInt32(ids.count))
    }
    guard reader.remaining == 0 else {
      throw .corrupt("\(reader.remaining) bytes follow the device set")
    }
  }

  /// The batch's devices as ids.
  package static func devices(_ clear: RawSpan, count: Int) throws(FormatError) -> [DeviceID] {
    var ids = ByteBuffer(capacity: 4 << 10)
    var ends: [UInt32] = []
    try decodeDevices(clear, count: count, into: &ids, ends: &ends)
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
  /// Sixteen bytes from `start` on; nil where there are not as many.
  @inline(__always)
  fileprivate func sixteenBytes(from start: Int) -> UInt128? {
    guard start >= 0, start <= byteCount - 16 else { return nil }
    // SAFETY: the guard keeps the load inside the span; any bits are valid bytes.
    let bytes = unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: start, as: UInt128.self)
    return UInt128(littleEndian: bytes)
  }
}
