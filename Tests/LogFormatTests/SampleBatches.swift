import EventModel
import LogFormat

/// An event as the tests give it and expect it back.
struct SampleEvent {
  var device: DeviceID
  var body: [UInt8]
  var properties: Properties
  var texts: [SystemProperty: String]
  var time: Int64

  var systemProperties: SystemProperties {
    var properties = SystemProperties()
    for (property, text) in texts { properties[property] = text }
    return properties
  }
}

/// A batch behind the encoder: its three parts, uncompressed.
struct SealedBatch {
  let clear: [UInt8]
  let columns: [UInt8]
  let payload: [UInt8]
  let recordCount: Int
  let firstTime: Int64
  let eventSize: UInt64

  init(_ events: [SampleEvent], using encoder: BatchEncoder = BatchEncoder(targetSize: 4_096)) {
    encoder.removeAll()
    for event in events {
      encoder.append(
        from: event.device, body: event.body.span.bytes, properties: event.properties,
        at: event.time)
      if !event.texts.isEmpty { encoder.setSystemProperties(event.systemProperties) }
    }
    var clear = ByteBuffer()
    var columns = ByteBuffer()
    encoder.seal(clear: &clear, columns: &columns)
    BatchClearSection.setStoredSize(columns: columns.count, in: &clear, at: 0)
    self.clear = clear.array(0..<clear.count)
    self.columns = columns.array(0..<columns.count)
    payload = encoder.withPayload { Payload(copying: $0).bytes.map { $0 } }
    recordCount = encoder.count
    firstTime = encoder.firstTime
    eventSize = encoder.eventSize
  }

  /// The frame, stored as it is.
  func frame(
    baseNumber: UInt64, watermark: UInt64, epoch: UInt16, chain: UInt32, identity: FrameIdentity,
    at position: Int
  ) -> (bytes: [UInt8], checksum: UInt32) {
    var header = FrameHeader(
      type: FrameHeader.FrameType.batch, epoch: epoch, recordCount: UInt32(recordCount),
      baseNumber: baseNumber, baseTime: Timestamp(microseconds: firstTime), watermark: watermark,
      chain: chain)
    var content = ContentChecksum()
    content.addClearSection(clear.span.bytes)
    for part in [columns, payload] { content.add(part.span.bytes) }
    header.contentChecksum = content.value
    var frame = ByteBuffer()
    let start = FrameAssembly.begin(in: &frame)
    for part in [clear, columns, payload] { frame.append(part) }
    let checksum = FrameAssembly.end(
      &header, in: &frame, from: start, clearSize: clear.count, identity: identity,
      position: FilePosition(position))
    return (frame.array(0..<frame.count), checksum)
  }

  /// The header that fits the parts, for decoding without a frame.
  var header: FrameHeader {
    var header = FrameHeader(
      type: FrameHeader.FrameType.batch, epoch: 0, recordCount: UInt32(recordCount),
      baseNumber: 0, baseTime: Timestamp(microseconds: firstTime), watermark: 0, chain: 0)
    header.clearSize = UInt32(clear.count)
    header.storedSize = UInt32(columns.count + payload.count)
    return header
  }
}

/// Decodes uncompressed parts as a reader does behind the checksums.
func decodeBatch(
  header: FrameHeader, clear: [UInt8], blocks: [UInt8]
) throws(FormatError) -> DecodedBatch {
  let section = try BatchClearSection(decoding: clear.span.bytes, header: header)
  guard blocks.count == section.columnsSize + section.payloadSize else {
    throw .corrupt("the blocks have other sizes")
  }
  return try DecodedBatch(
    header: header, section: section, clear: clear.span.bytes, blocks: buffer(blocks))
}

extension DecodedBatch {
  func body(at index: Int) -> [UInt8] {
    withBody(at: index) { Payload(copying: $0).bytes.map { $0 } }
  }

  func deviceBytes(at index: Int) -> [UInt8] {
    withDeviceID(at: index) { Payload(copying: $0).bytes.map { $0 } }
  }

  /// The names and values of a record's properties in turn, where they lie.
  func propertyTexts(at index: Int) -> [String] {
    var texts: [String] = []
    forEachProperty(at: index) { name, value in
      for text in [Payload(copying: name), Payload(copying: value)] {
        texts.append(String(decoding: text.bytes, as: UTF8.self))
      }
    }
    return texts
  }
}
