import EventModel
import LogFormat
import Testing

@Suite struct FileHeaderTests {
  @Test func `every kind of file header comes back as it was written`() throws {
    for kind in FileHeader.Kind.allCases {
      for stream in FileHeader.Stream.allCases {
        let isFiled = kind == .queue || kind == .queueDirectory
        var header = Fixed.header(
          kind, fileID: isFiled ? UInt64(Limits.queueCheckpointMax) : Limits.numberMax)
        header.stream = stream
        header.partition = stream == .journal ? 0 : 1_023
        header.baseNumber = Limits.numberMax
        header.created = Timestamp(microseconds: .min)
        header.predecessorID = 9
        header.predecessorChain = .max
        header.readOnlyCompatibleFlags = 1
        header.compatibleFlags = 0x8000_0000
        let bytes = encoded(header)
        #expect(bytes.count == FileHeader.size)
        let decoded = try FileHeader(decoding: bytes.span.bytes)
        #expect(decoded == header && decoded.isReadOnly)
        #expect(decoded.chain == header.chain)
      }
    }
  }

  @Test func `a header that no file of a store has is damage`() {
    let cases: [(FileHeader.Kind, (inout FileHeader) -> Void)] = [
      (.segment, { $0.fileID = Limits.numberMax + 1 }), (.segment, { $0.fileID = .max }),
      (.segment, { $0.predecessorID = .max }), (.segment, { $0.baseNumber = 1 << 63 }),
      (.segment, { $0.partition = 1_024 }), (.index, { $0.partition = .max }),
      (.journal, { ($0.stream, $0.partition) = (.journal, 1) }),
      (.queue, { $0.fileID = 0 }), (.queue, { $0.fileID = 1 << 31 }),
      (.queueDirectory, { $0.fileID = 1 << 32 + 1 }), (.queueDirectory, { $0.fileID = .max }),
    ]
    for (index, (kind, change)) in cases.enumerated() {
      var header = Fixed.header(kind, fileID: 1)
      #expect(failure(encoded(header)) == nil)
      change(&header)
      #expect(isCorrupt(encoded(header)), "\(index)")
    }
  }

  @Test func `every flipped bit of a file header is found`() {
    let bytes = encoded(Fixed.segmentHeader)
    for bit in 0..<bytes.count * 8 {
      #expect(isCorrupt(bytes.flippingBit(bit)), "bit \(bit)")
    }
  }

  @Test func `every cut of a file header is an error`() {
    let bytes = encoded(Fixed.segmentHeader)
    for count in 0..<bytes.count { #expect(isCorrupt(Array(bytes[..<count])), "\(count) bytes") }
  }

  @Test func `zeros are no file header`() {
    #expect(isCorrupt([UInt8](repeating: 0, count: FileHeader.size)))
  }

  @Test func `a later version is unsupported and not damage`() {
    #expect(
      failure(resealed { $0[8] = 2 }) == .unsupportedVersion(found: 2, newest: FileHeader.version))
    #expect(isCorrupt(resealed { $0[8] = 0 }))
  }

  @Test func `unknown features, kinds and streams are unsupported and not damage`() {
    #expect(failure(resealed { $0[12] = 4 }) == .unsupportedFeatures(4))
    #expect(failure(resealed { $0[10] = 99 }) == .unsupportedFeatures(99))
    #expect(failure(resealed { $0[56] = 7 }) == .unsupportedFeatures(7))
  }

  @Test func `reserved bytes are ignored once the checksum holds`() {
    #expect(
      failure(
        resealed {
          $0[11] = 1; $0[100] = 1
        }) == nil)
  }

  private func failure(_ bytes: [UInt8]) -> FormatError? {
    do {
      _ = try FileHeader(decoding: bytes.span.bytes)
      return nil
    } catch {
      return error
    }
  }

  private func isCorrupt(_ bytes: [UInt8]) -> Bool {
    if case .corrupt = failure(bytes) { true } else { false }
  }

  /// A header changed by a program that computes the checksum anew.
  private func resealed(_ change: (inout [UInt8]) -> Void) -> [UInt8] {
    var bytes = encoded(Fixed.segmentHeader)
    change(&bytes)
    let sum = crc32c(Array(bytes[..<124]))
    for index in 0..<4 { bytes[124 + index] = UInt8(truncatingIfNeeded: sum >> (8 * index)) }
    return bytes
  }
}

@Suite struct FrameHeaderTests {
  private static let seed = Fixed.segmentHeader.identity.seed(at: FilePosition(4_096))

  private func header(_ change: (inout FrameHeader) -> Void = { _ in }) -> FrameHeader {
    var header = FrameHeader(
      type: FrameHeader.FrameType.batch, codec: .zstd, epoch: 65_535, recordCount: 65_535,
      baseNumber: 1 << 40, baseTime: Timestamp(microseconds: -1), watermark: 1 << 39,
      chain: 0xfeed_f00d)
    header.clearSize = 4_321
    header.storedSize = 1 << 20
    header.clearChecksum = 1
    header.bodyChecksum = 2
    header.contentChecksum = 3
    change(&header)
    return header
  }

  private func bytes(_ header: FrameHeader) -> [UInt8] {
    var buffer = ByteBuffer()
    buffer.appendZeros(FrameHeader.size)
    _ = header.encode(over: &buffer, at: 0, seed: Self.seed)
    return buffer.array(0..<FrameHeader.size)
  }

  private func decode(_ bytes: [UInt8], seed: UInt32 = seed) throws -> FrameHeader? {
    try FrameHeader.decode(bytes.span.bytes, at: 0, seed: seed)?.header
  }

  @Test func `a frame header comes back as it was written`() throws {
    let header = header()
    #expect(try decode(bytes(header)) == header)
    #expect(header.frameSize % FrameHeader.alignment == 0)
    #expect(header.nextNumber == 1 << 40 + 65_535)
  }

  @Test func `every flipped bit of a frame header is found`() throws {
    let bytes = bytes(header())
    for bit in 0..<bytes.count * 8 {
      #expect(try decode(bytes.flippingBit(bit)) == nil, "bit \(bit)")
    }
  }

  @Test func `every cut of a frame header is no frame`() throws {
    let bytes = bytes(header())
    for count in 0..<bytes.count { #expect(try decode(Array(bytes[..<count])) == nil) }
  }

  @Test func `I5: a frame of another store, file, salt or position does not validate`() throws {
    let bytes = bytes(header())
    let home = Fixed.segmentHeader
    var seeds: [UInt32] = [0, home.identity.seed(at: FilePosition(4_160))]
    for change in 0..<4 {
      let store = StoreID(
        high: home.storeID.high ^ (change == 0 ? 1 : 0),
        low: home.storeID.low ^ (change == 1 ? 1 : 0))
      let other = FrameIdentity(
        storeID: store, fileID: home.fileID + (change == 2 ? 1 : 0),
        salt: home.salt ^ (change == 3 ? 1 << 63 : 0))
      seeds.append(other.seed(at: FilePosition(4_096)))
    }
    for seed in seeds { #expect(try decode(bytes, seed: seed) == nil) }
    #expect(try decode([UInt8](repeating: 0, count: FrameHeader.size)) == nil)
  }

  @Test func `an implausible header is no frame although its checksum holds`() throws {
    #expect(try decode(bytes(header { $0.clearSize = 16 << 20 })) != nil)
    #expect(try decode(bytes(header { $0.clearSize = 16 << 20 + 1 })) == nil)
    #expect(try decode(bytes(header { $0.storedSize = 16 << 20 })) != nil)
    #expect(try decode(bytes(header { $0.storedSize = 16 << 20 + 1 })) == nil)
    #expect(try decode(bytes(header { $0.watermark = $0.baseNumber + 1 })) == nil)
    #expect(try decode(bytes(header { $0.baseNumber = Limits.numberMax })) == nil)
  }

  @Test func `an unknown codec is unsupported and not damage`() throws {
    var changed = bytes(header())
    changed[9] = 77
    var blank = changed
    for index in 4..<8 { blank[index] = 0 }
    let sum = crc32c(blank, seed: Self.seed)
    for index in 0..<4 { changed[4 + index] = UInt8(truncatingIfNeeded: sum >> (8 * index)) }
    #expect(throws: FormatError.unsupportedFeatures(77)) { try decode(changed) }
  }
}
