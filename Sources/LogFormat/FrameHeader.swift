package import EventModel

/// The 64 bytes before every frame's sections (format-spec §3.1).
package struct FrameHeader: Hashable, Sendable {
  /// What a frame holds.
  ///
  /// A reader that meets an unknown number of 128 or more passes over the frame; any other unknown
  /// number is an unsupported feature.
  package enum FrameType {
    package static let batch: UInt8 = 1
    /// Carries a watermark and nothing else.
    package static let mark: UInt8 = 2
    /// Begins an epoch: written at every open and after every cut.
    package static let epoch: UInt8 = 3
    package static let manifestEdits: UInt8 = 5
    package static let checkpointEntries: UInt8 = 6
    package static let ignorable: UInt8 = 128
  }

  package static let size = 64
  /// Frames begin at multiples of this, so a header never straddles a sector.
  package static let alignment = 64
  /// "MRF1" in the order of the bytes.
  static let magic: UInt32 = 0x3146_524d

  /// Whether frames can stand, or end, at a file position that was read (format-spec §1).
  package static func isPlace(_ position: UInt64) -> Bool {
    position >= FileHeader.size && position <= Limits.framePositionMax
      && position % UInt64(alignment) == 0
  }

  package var type: UInt8
  package var codec: CompressionCodec
  /// The epoch frames of the file up to and including this one, modulo 65,536.
  package var epoch: UInt16
  /// Records, operations or edits in the frame.
  package var recordCount: UInt32
  /// The number of the first of them; of the next to come if there are none.
  package var baseNumber: UInt64
  /// Enqueue time of the first record; for other frames when they were encoded.
  package var baseTime: Timestamp
  /// The durable watermark: everything numbered below it was on the disk when the frame was
  /// encoded, because a sync that covered it had returned.
  package var watermark: UInt64
  package var clearSize: UInt32
  package var storedSize: UInt32
  package var clearChecksum: UInt32
  package var bodyChecksum: UInt32
  package var contentChecksum: UInt32
  /// The header checksum of the frame before this one.
  package var chain: UInt32

  package init(
    type: UInt8, codec: CompressionCodec = .none, epoch: UInt16, recordCount: UInt32,
    baseNumber: UInt64, baseTime: Timestamp, watermark: UInt64, chain: UInt32
  ) {
    self.type = type
    self.codec = codec
    self.epoch = epoch
    self.recordCount = recordCount
    self.baseNumber = baseNumber
    self.baseTime = baseTime
    self.watermark = watermark
    self.chain = chain
    clearSize = 0
    storedSize = 0
    clearChecksum = 0
    bodyChecksum = 0
    contentChecksum = 0
  }

  /// The number behind the frame's last record.
  package var nextNumber: UInt64 { baseNumber &+ UInt64(recordCount) }

  /// Bytes of the frame in its file, padding included.
  package var frameSize: Int {
    let size = Self.size + Int(clearSize) + Int(storedSize)
    return (size + Self.alignment - 1) & ~(Self.alignment - 1)
  }

  /// Encodes the header over the first 64 bytes of a frame and returns its checksum, which the
  /// next frame's `chain` repeats.
  package func encode(over buffer: inout ByteBuffer, at start: Int, seed: UInt32) -> UInt32 {
    buffer.store(Self.magic, at: start)
    buffer.store(UInt32(0), at: start + 4)
    buffer.store(type, at: start + 8)
    buffer.store(codec.rawValue, at: start + 9)
    buffer.store(epoch, at: start + 10)
    buffer.store(recordCount, at: start + 12)
    buffer.store(baseNumber, at: start + 16)
    buffer.store(baseTime.microseconds, at: start + 24)
    buffer.store(watermark, at: start + 32)
    buffer.store(clearSize, at: start + 40)
    buffer.store(storedSize, at: start + 44)
    buffer.store(clearChecksum, at: start + 48)
    buffer.store(bodyChecksum, at: start + 52)
    buffer.store(contentChecksum, at: start + 56)
    buffer.store(chain, at: start + 60)
    let checksum = buffer.withBytes(start..<start + Self.size) {
      CRC32C.checksum($0, seed: seed)
    }
    buffer.store(checksum, at: start + 4)
    return checksum
  }

  /// Whether the bytes at a possible frame's start bear the magic number: worth a checksum.
  @inline(__always)
  package static func bearsMagic(_ bytes: RawSpan, at index: Int) -> Bool {
    guard index >= 0, index + size <= bytes.byteCount else { return false }
    // SAFETY: the guard keeps the load inside the span; any bit pattern is a valid integer.
    return unsafe UInt32(
      littleEndian: bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: index, as: UInt32.self))
      == magic
  }

  /// Decodes a header whose checksum holds.
  ///
  /// - Returns: the header and its checksum; nil when the bytes are no frame of this file at this
  ///   position.
  package static func decode(
    _ bytes: RawSpan, at index: Int, seed: UInt32
  ) throws(FormatError) -> (header: FrameHeader, checksum: UInt32)? {
    guard bearsMagic(bytes, at: index) else { return nil }
    var reader = ByteReader(bytes, at: index + 4)
    let checksum = try reader.integer(UInt32.self)
    guard Self.checksum(bytes.extracting(index..<index + size), seed: seed) == checksum else {
      return nil
    }
    let type = try reader.integer(UInt8.self)
    let codecNumber = try reader.integer(UInt8.self)
    guard let codec = CompressionCodec(rawValue: codecNumber) else {
      throw .unsupportedFeatures(UInt32(codecNumber))
    }
    var header = FrameHeader(
      type: type, codec: codec, epoch: try reader.integer(), recordCount: try reader.integer(),
      baseNumber: try reader.integer(),
      baseTime: Timestamp(microseconds: try reader.integer()),
      watermark: try reader.integer(), chain: 0)
    header.clearSize = try reader.integer()
    header.storedSize = try reader.integer()
    header.clearChecksum = try reader.integer()
    header.bodyChecksum = try reader.integer()
    header.contentChecksum = try reader.integer()
    header.chain = try reader.integer()
    guard header.isPlausible else { return nil }
    return (header, checksum)
  }

  /// The checksum of a header's bytes with the checksum field taken as zero.
  package static func checksum(_ bytes: RawSpan, seed: UInt32) -> UInt32 {
    let magic = CRC32C.checksum(bytes.extracting(0..<4), seed: seed)
    // SAFETY: bytes have no padding.
    let blank = unsafe CRC32C.checksum(blankChecksum.span.bytes, seed: magic)
    return CRC32C.checksum(bytes.extracting(8..<size), seed: blank)
  }

  private static let blankChecksum: [UInt8] = [0, 0, 0, 0]

  /// Bounds that hold for every frame ever written, whatever its checksum says.
  private var isPlausible: Bool {
    Int(clearSize) <= Limits.clearSectionSizeMax && Int(storedSize) <= 2 * Limits.blockSizeMax
      && baseNumber <= Limits.numberMax - UInt64(recordCount)
      && watermark <= baseNumber
  }
}
