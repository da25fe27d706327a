import BlockCompression
import EventModel
import FuzzHarness
import LogFormat

/// The sections of a batch made of any bytes, past the checksums: nothing traps, and a batch that
/// decodes gives every record in full.
///
/// The input is a record count and the size of the clear section (two bytes each), a codec number,
/// then the clear section, then the stored columns and payload.
enum Batches {
  /// Larger batches only make the fuzzer slow; their bounds are checked by the same code.
  private static let contentSizeMax = 1 << 18

  static var target: FuzzTarget {
    let decompressor = BlockDecompressor()
    return FuzzTarget("batches", seeds: seeds) { input in
      do throws(FormatError) {
        try examine(input, decompressor)
      } catch {
        // Damage that was noticed.
      }
    }
  }

  private static func examine(
    _ input: [UInt8], _ decompressor: BlockDecompressor
  ) throws(FormatError) {
    let bytes = input.span.bytes
    var reader = ByteReader(bytes)
    let recordCount = try reader.integer(UInt16.self)
    let clearSize = Int(try reader.integer(UInt16.self))
    guard let codec = CompressionCodec(rawValue: try reader.integer(UInt8.self)) else { return }
    let clear = bytes.extracting(try reader.range(min(clearSize, reader.remaining)))
    let stored = bytes.extracting(try reader.range(reader.remaining))
    var header = FrameHeader(
      type: FrameHeader.FrameType.batch, codec: codec, epoch: 1, recordCount: UInt32(recordCount),
      baseNumber: 100, baseTime: Timestamp(microseconds: 1_700_000_000_000_000), watermark: 0,
      chain: 0)
    header.clearSize = UInt32(clear.byteCount)
    header.storedSize = UInt32(stored.byteCount)
    let section = try BatchClearSection(decoding: clear, header: header)
    let contentSize = section.columnsSize + section.payloadSize
    guard contentSize <= contentSizeMax else { return }
    var blocks = ByteBuffer(capacity: contentSize)
    let split = section.columnsStoredSize
    let isWhole =
      fill(&blocks, section.columnsSize, stored.extracting(0..<split), codec, decompressor)
      && fill(
        &blocks, section.payloadSize, stored.extracting(split..<stored.byteCount), codec,
        decompressor)
    guard isWhole else { return }
    let batch = try DecodedBatch(header: header, section: section, clear: clear, blocks: blocks)
    touch(batch, payloadSize: section.payloadSize)
    if batch.count > 1 { Fuzzing.landmark() }
  }

  /// Appends the contents of one stored block.
  private static func fill(
    _ blocks: inout ByteBuffer, _ size: Int, _ stored: RawSpan, _ codec: CompressionCodec,
    _ decompressor: BlockDecompressor
  ) -> Bool {
    let start = blocks.count
    blocks.resize(to: start + size)
    do {
      try blocks.withMutableBytes(start..<start + size) { target in
        try decompressor.decompress(stored, codec: codec, into: &target)
      }
      return true
    } catch {
      return false
    }
  }

  /// Reads every record in every way.
  private static func touch(_ batch: DecodedBatch, payloadSize: Int) {
    var bodySize = 0
    for index in 0..<batch.count {
      bodySize += batch.withBody(at: index) { $0.byteCount }
      let deviceSize = batch.withDeviceID(at: index) { $0.byteCount }
      precondition(deviceSize > 0, "record \(index) has no device")
      _ = batch.properties(at: index).size
      _ = batch.systemProperties(at: index)
      _ = batch.time(at: index)
    }
    precondition(bodySize == payloadSize, "bodies of \(bodySize) bytes in \(payloadSize)")
  }

  /// A sealed batch with devices, properties, texts and a step in time.
  private static func seeds() throws -> [[UInt8]] {
    let encoder = BatchEncoder(targetSize: 4 << 10)
    let properties: Properties = ["site": "plant-7", "unit": "celsius"]
    for index in 0..<6 {
      let device = try DeviceID("sensor-\(index % 3)")
      let body = Array("{\"t\":\(20 + index)}".utf8)
      encoder.append(
        from: device, body: body.span.bytes, properties: index == 2 ? .empty : properties,
        at: 1_700_000_000_000_000 + Int64(index) * (index == 5 ? 10_000_000_000 : 1_000))
      var system = SystemProperties.empty
      if index > 3 { system[.contentType] = "application/json" }
      encoder.setSystemProperties(system)
    }
    var clear = ByteBuffer()
    var columns = ByteBuffer()
    encoder.seal(clear: &clear, columns: &columns)
    BatchClearSection.setStoredSize(columns: columns.count, in: &clear, at: 0)
    encoder.withPayload { columns.append($0) }
    let sizes: [UInt8] = [6, 0, UInt8(clear.count & 0xff), UInt8(clear.count >> 8)]
    let sections = clear.array(0..<clear.count) + columns.array(0..<columns.count)
    return [CompressionCodec.none, .lz4, .zstd].map { sizes + [$0.rawValue] + sections }
  }
}
