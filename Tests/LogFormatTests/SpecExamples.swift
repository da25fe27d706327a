import EventModel
import LogFormat

/// The structures whose bytes `format-spec.md` prints (§13), built by the code under test.
enum SpecExamples {
  static var all: [(name: String, bytes: [UInt8])] {
    let epoch = epochFrame
    let batch = batchFrame(chain: epoch.checksum)
    let batchEnd = 256 + batch.bytes.count
    return [
      ("file-header", encoded(Fixed.segmentHeader)),
      ("epoch-frame", epoch.bytes),
      ("batch-frame", batch.bytes),
      ("mark-frame", markFrame(at: batchEnd, chain: batch.checksum).bytes),
      ("manifest-header", encoded(Fixed.header(.manifest))),
      ("manifest-edits-frame", manifestFrame.bytes),
      ("checkpoints-header", encoded(Fixed.header(.checkpoints))),
      ("checkpoint-frame", checkpointFrame.bytes),
      ("index-header", encoded(Fixed.indexHeader)),
      ("index-entry", indexEntry(frameChecksum: batch.checksum)),
      ("partition-hash", partitionHash),
      ("journal-run", journalRun),
    ]
  }

  typealias Frame = (bytes: [UInt8], checksum: UInt32)

  static var epochFrame: Frame {
    let header = FrameHeader(
      type: FrameHeader.FrameType.epoch, epoch: 1, recordCount: 0, baseNumber: 100,
      baseTime: Timestamp(microseconds: Fixed.time.microseconds + 100), watermark: 100,
      chain: Fixed.segmentHeader.chain)
    return encoded(
      header, body: (0xa0...0xaf).map { $0 }, identity: Fixed.segmentHeader.identity, at: 128)
  }

  static func batchFrame(chain: UInt32) -> Frame {
    let time = Fixed.time.microseconds
    let events = [
      SampleEvent(
        device: "thermo-2", body: Array("21.5".utf8), properties: ["unit": "C"],
        texts: [.contentType: "text/plain"], time: time + 200),
      SampleEvent(
        device: "thermo-3", body: Array("{}".utf8), properties: .empty,
        texts: [.messageID: "m-7", .contentType: "text/plain"], time: time + 450),
    ]
    let batch = SealedBatch(events)
    return batch.frame(
      baseNumber: 100, watermark: 100, epoch: 1, chain: chain,
      identity: Fixed.segmentHeader.identity, at: 256)
  }

  static func markFrame(at position: Int, chain: UInt32) -> Frame {
    let header = FrameHeader(
      type: FrameHeader.FrameType.mark, epoch: 1, recordCount: 0, baseNumber: 102,
      baseTime: Timestamp(microseconds: Fixed.time.microseconds + 20_450), watermark: 102,
      chain: chain)
    return encoded(header, body: [], identity: Fixed.segmentHeader.identity, at: position)
  }

  static var manifestFrame: Frame {
    let file = Fixed.header(.manifest)
    let added = ManifestEdit.SegmentAdded(
      log: ManifestEdit.LogID(stream: .events, partition: 3), segmentID: 7,
      salt: 0x1122_3344_5566_7788, baseNumber: 100, predecessorID: 4,
      predecessorChain: 0xcafe_1234, created: Fixed.time)
    let edits: [ManifestEdit] = [
      .identity(ManifestEdit.StoreIdentity(partitionCount: 4)),
      .configuration(
        ManifestEdit.StoredConfiguration(codec: .lz4, segmentSize: 128 << 20, batchSize: 64 << 10)),
      .segmentAdded(added),
    ]
    var body = ByteBuffer()
    for edit in edits { edit.encode(into: &body) }
    let header = FrameHeader(
      type: FrameHeader.FrameType.manifestEdits, epoch: 0, recordCount: 3, baseNumber: 0,
      baseTime: Fixed.time, watermark: 0, chain: file.chain)
    return encoded(
      header, body: body.array(0..<body.count), identity: file.identity, at: 128)
  }

  static var checkpointFrame: Frame {
    let file = Fixed.header(.checkpoints)
    let checkpoint = CheckpointEntry.GroupCheckpoint(
      group: "workers", partition: 3, next: 102, ownerEpoch: 1, time: Fixed.time)
    var body = ByteBuffer()
    CheckpointEntry.groupCreated("workers", at: Fixed.time).encode(into: &body)
    CheckpointEntry.checkpoint(checkpoint).encode(into: &body)
    let header = FrameHeader(
      type: FrameHeader.FrameType.checkpointEntries, epoch: 0, recordCount: 2, baseNumber: 0,
      baseTime: Fixed.time, watermark: 0, chain: file.chain)
    return encoded(
      header, body: body.array(0..<body.count), identity: file.identity, at: 128)
  }

  static func indexEntry(frameChecksum: UInt32) -> [UInt8] {
    let entry = IndexEntry(
      position: 256, baseNumber: 100,
      baseTime: Timestamp(microseconds: Fixed.time.microseconds + 200), recordCount: 0,
      batchCount: 0, eventSize: 0, epoch: 1, frameChecksum: frameChecksum)
    var buffer = ByteBuffer()
    entry.encode(
      into: &buffer, identity: Fixed.indexHeader.identity, at: FilePosition(128))
    return buffer.array(0..<buffer.count)
  }

  /// Of message 300 the lock has run out, and it is delivered again with the next.
  static var journalRun: [UInt8] {
    let entries: [JournalEntry] = [
      .returned(.init(sequence: 300, deliveryCount: 1)),
      .locked(.init(sequence: 300, deliveryCount: 2, duration: 60_000_000)),
      .locked(.init(sequence: 301, deliveryCount: 1, duration: 60_000_000)),
    ]
    var buffer = ByteBuffer()
    for entry in entries { entry.encode(into: &buffer) }
    return buffer.array(0..<buffer.count)
  }

  /// The id, its hash as a `u64`, the partition of four as a `u32`.
  static var partitionHash: [UInt8] {
    let device: DeviceID = "thermo-2"
    var buffer = ByteBuffer()
    buffer.append(device.utf8)
    buffer.append(device.hash)
    buffer.append(UInt32(PartitionID(of: device, partitionCount: 4).number))
    return buffer.array(0..<buffer.count)
  }
}
