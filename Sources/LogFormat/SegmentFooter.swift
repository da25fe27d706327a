package import EventModel

/// The fixed part of a sealed segment's footer (format-spec §10.2): how many of what follow, and
/// which segment they are about.
///
/// A shortcut, never evidence (I6): it names the end of the segment it was made from, and a footer
/// that does not fit the manifest, or whose checksums do not hold, is made again.
package struct SegmentFooter: Hashable, Sendable {
  /// Bytes of this part.
  package static let size = 64
  /// Where it stands in its file.
  package static let position = FilePosition(FileHeader.size)

  package let batchCount: Int
  package let deviceCount: Int
  package let postingCount: Int
  /// Bytes of all device ids.
  package let idsSize: Int
  /// Where the segment's frames end, and what the last of them has for a checksum.
  package let endPosition: UInt64
  package let nextNumber: UInt64
  package let chain: UInt32
  /// Bytes of a posting: 2 or 4.
  package let postingWidth: Int
  /// Whether something of the segment could not be read when the footer was made: a reader that
  /// skips by the footer would skip a loss in silence.
  package let hasHoles: Bool
  package var contentsChecksum: UInt32 = 0

  package init(
    batchCount: Int, deviceCount: Int, postingCount: Int, idsSize: Int,
    end: RecoveryRule.Start, hasHoles: Bool
  ) {
    self.batchCount = batchCount
    self.deviceCount = deviceCount
    self.postingCount = postingCount
    self.idsSize = idsSize
    endPosition = UInt64(end.position)
    nextNumber = end.nextNumber
    chain = end.chain
    postingWidth = batchCount <= 1 << 16 ? 2 : 4
    self.hasHoles = hasHoles
  }

  package var batchesPosition: Int { Self.position.bytes + Self.size }
  package var devicesPosition: Int { batchesPosition + batchCount * FooterBatch.size }
  package var postingsPosition: Int { devicesPosition + deviceCount * FooterDevice.size }
  package var idsPosition: Int {
    postingsPosition + (postingCount * postingWidth + 7) / 8 * 8
  }
  /// The size of the whole file.
  package var fileSize: Int { idsPosition + idsSize }

  package func encode(into buffer: inout ByteBuffer, identity: FrameIdentity) {
    let start = buffer.count
    buffer.append(UInt32(batchCount))
    buffer.append(UInt32(deviceCount))
    buffer.append(UInt64(postingCount))
    buffer.append(UInt64(idsSize))
    buffer.append(endPosition)
    buffer.append(nextNumber)
    buffer.append(chain)
    buffer.append(UInt8(postingWidth))
    buffer.append(UInt8(hasHoles ? 1 : 0))
    buffer.appendZeros(10)
    buffer.append(contentsChecksum)
    let seed = identity.seed(at: Self.position)
    buffer.append(buffer.withBytes(start..<buffer.count) { CRC32C.checksum($0, seed: seed) })
  }

  /// Decodes the fixed part.
  ///
  /// - Throws: `.corrupt` when its checksum does not hold, or when what it counts does not fill a
  ///   file of `fileSize` bytes.
  package init(
    decoding bytes: RawSpan, identity: FrameIdentity, fileSize: Int
  ) throws(FormatError) {
    var reader = ByteReader(bytes)
    batchCount = Int(try reader.integer(UInt32.self))
    deviceCount = Int(try reader.integer(UInt32.self))
    let postings = try reader.integer(UInt64.self)
    let ids = try reader.integer(UInt64.self)
    endPosition = try reader.integer()
    nextNumber = try reader.integer()
    chain = try reader.integer()
    postingWidth = Int(try reader.integer(UInt8.self))
    hasHoles = try reader.integer(UInt8.self) & 1 == 1
    try reader.skip(10)
    contentsChecksum = try reader.integer()
    let stored = try reader.integer(UInt32.self)
    let seed = identity.seed(at: Self.position)
    guard CRC32C.checksum(bytes.extracting(0..<Self.size - 4), seed: seed) == stored else {
      throw .corrupt("the footer's checksum does not hold")
    }
    // Neither can exceed the file, so that the sums below cannot overflow.
    guard postings <= UInt64(fileSize), ids <= UInt64(fileSize),
      postingWidth == 2 || postingWidth == 4
    else {
      throw .corrupt("the footer counts \(postings) postings and \(ids) bytes of ids")
    }
    postingCount = Int(postings)
    idsSize = Int(ids)
    guard self.fileSize == fileSize else {
      throw .corrupt("the footer describes \(self.fileSize) bytes, the file has \(fileSize)")
    }
    guard FrameHeader.isPlace(endPosition), nextNumber <= Limits.numberMax else {
      throw .corrupt("the footer is of a segment that ends at \(endPosition) with \(nextNumber)")
    }
  }

  /// The seed of the contents' checksum.
  package static func contentsSeed(_ identity: FrameIdentity) -> UInt32 {
    identity.seed(at: FilePosition(position.bytes + size))
  }
}

/// One batch of a sealed segment.
package struct FooterBatch: Hashable, Sendable {
  package static let size = 56

  package var position: UInt64
  package var baseNumber: UInt64
  package var firstTime: Timestamp
  package var lastTime: Timestamp
  /// Bytes of events in the segment before this batch.
  package var eventSize: UInt64
  /// Bytes of the frame.
  package var frameSize: UInt32
  package var recordCount: UInt32
  /// The checksum of the frame's header.
  package var frameChecksum: UInt32

  package var nextNumber: UInt64 { baseNumber &+ UInt64(recordCount) }

  package init(
    position: UInt64, baseNumber: UInt64, firstTime: Timestamp, lastTime: Timestamp,
    eventSize: UInt64, frameSize: UInt32, recordCount: UInt32, frameChecksum: UInt32
  ) {
    self.position = position
    self.baseNumber = baseNumber
    self.firstTime = firstTime
    self.lastTime = lastTime
    self.eventSize = eventSize
    self.frameSize = frameSize
    self.recordCount = recordCount
    self.frameChecksum = frameChecksum
  }

  func encode(into buffer: inout ByteBuffer) {
    buffer.append(position)
    buffer.append(baseNumber)
    buffer.append(firstTime.microseconds)
    buffer.append(lastTime.microseconds)
    buffer.append(eventSize)
    buffer.append(frameSize)
    buffer.append(recordCount)
    buffer.append(frameChecksum)
    buffer.append(UInt32(0))
  }

  /// - Throws: `.corrupt` for what is no batch of any segment.
  package init(decoding bytes: RawSpan) throws(FormatError) {
    var reader = ByteReader(bytes)
    position = try reader.framePosition()
    baseNumber = try reader.number()
    firstTime = Timestamp(microseconds: try reader.integer())
    lastTime = Timestamp(microseconds: try reader.integer())
    eventSize = try reader.integer()
    frameSize = try reader.integer()
    recordCount = try reader.integer()
    frameChecksum = try reader.integer()
    guard nextNumber <= Limits.numberMax else {
      throw .corrupt("a batch of \(recordCount) records from \(baseNumber) on")
    }
  }
}

/// One device of a sealed segment, in the order of the ids' bytes.
package struct FooterDevice: Hashable, Sendable {
  package static let size = 32

  /// Where its id begins among the ids, and its bytes.
  package var idPosition: UInt32
  package var idSize: UInt16
  /// Its first posting, and how many it has: the places of its batches in the table, ascending.
  package var firstPosting: UInt32
  package var postingCount: UInt32
  /// Its last event; all ones where its batch could not be read.
  package var lastNumber: UInt64
  package var lastTime: Timestamp

  package init(
    idPosition: UInt32, idSize: UInt16, firstPosting: UInt32, postingCount: UInt32,
    lastNumber: UInt64, lastTime: Timestamp
  ) {
    self.idPosition = idPosition
    self.idSize = idSize
    self.firstPosting = firstPosting
    self.postingCount = postingCount
    self.lastNumber = lastNumber
    self.lastTime = lastTime
  }

  func encode(into buffer: inout ByteBuffer) {
    buffer.append(idPosition)
    buffer.append(idSize)
    buffer.append(UInt16(0))
    buffer.append(firstPosting)
    buffer.append(postingCount)
    buffer.append(lastNumber)
    buffer.append(lastTime.microseconds)
  }

  package init(decoding bytes: RawSpan) throws(FormatError) {
    var reader = ByteReader(bytes)
    idPosition = try reader.integer()
    idSize = try reader.integer()
    try reader.skip(2)
    firstPosting = try reader.integer()
    postingCount = try reader.integer()
    lastNumber = try reader.integer()
    lastTime = Timestamp(microseconds: try reader.integer())
    guard lastNumber <= Limits.numberMax || lastNumber == .max else {
      throw .corrupt("the last event of a device is \(lastNumber)")
    }
  }
}
