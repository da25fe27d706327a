package import EventModel

/// Where a batch of a segment stands: a shortcut, never evidence (format-spec §10, I6).
///
/// An entry is written only for a batch that is durable. It is believed only if its own checksum
/// holds and the frame it points to has the checksum it names.
package struct IndexEntry: Hashable, Sendable {
  package static let size = 64

  package var position: UInt64
  package var baseNumber: UInt64
  package var baseTime: Timestamp
  /// Records, batches and bytes of events in the segment before this batch.
  package var recordCount: UInt64
  package var batchCount: UInt64
  package var eventSize: UInt64
  package var epoch: UInt16
  /// The checksum of the batch's frame header.
  package var frameChecksum: UInt32

  package init(
    position: UInt64, baseNumber: UInt64, baseTime: Timestamp, recordCount: UInt64,
    batchCount: UInt64, eventSize: UInt64, epoch: UInt16, frameChecksum: UInt32
  ) {
    self.position = position
    self.baseNumber = baseNumber
    self.baseTime = baseTime
    self.recordCount = recordCount
    self.batchCount = batchCount
    self.eventSize = eventSize
    self.epoch = epoch
    self.frameChecksum = frameChecksum
  }

  package func encode(
    into buffer: inout ByteBuffer, identity: FrameIdentity, at filePosition: FilePosition
  ) {
    let start = buffer.count
    buffer.append(position)
    buffer.append(baseNumber)
    buffer.append(baseTime.microseconds)
    buffer.append(recordCount)
    buffer.append(batchCount)
    buffer.append(eventSize)
    buffer.append(epoch)
    buffer.append(UInt16(0))
    buffer.append(frameChecksum)
    buffer.append(UInt32(0))
    let seed = identity.seed(at: filePosition)
    buffer.append(buffer.withBytes(start..<buffer.count) { CRC32C.checksum($0, seed: seed) })
  }

  /// Decodes an entry; nil when its checksum does not hold, or it says what no segment can hold.
  package init?(
    decoding bytes: RawSpan, identity: FrameIdentity, at filePosition: FilePosition
  ) throws(FormatError) {
    var reader = ByteReader(bytes)
    position = try reader.integer()
    baseNumber = try reader.integer()
    baseTime = Timestamp(microseconds: try reader.integer())
    recordCount = try reader.integer()
    batchCount = try reader.integer()
    eventSize = try reader.integer()
    epoch = try reader.integer()
    try reader.skip(2)
    frameChecksum = try reader.integer()
    try reader.skip(4)
    let stored = try reader.integer(UInt32.self)
    let seed = identity.seed(at: filePosition)
    guard CRC32C.checksum(bytes.extracting(0..<Self.size - 4), seed: seed) == stored,
      FrameHeader.isPlace(position), baseNumber <= Limits.numberMax,
      SegmentSummary.isPossible(recordCount, batchCount, below: baseNumber, at: position)
    else {
      return nil
    }
  }
}
