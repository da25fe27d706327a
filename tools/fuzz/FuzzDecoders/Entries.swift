import EventModel
import FuzzHarness
import LogFormat

/// Edits of the manifest, checkpoint entries, index entries and records of the queues' journal made
/// of any bytes: nothing traps, and what decodes survives being written and read again.
///
/// The first byte of the input chooses the decoder, the second says how many entries there are.
@main
enum FuzzManifest {
  static func main() throws {
    try Fuzzing.run(seeds: seeds()) { input in
      guard input.count >= 2 else { return }
      let body = Array(input.dropFirst(2))
      do throws(FormatError) {
        switch input[0] % 4 {
        case 0: try examineEdits(body, count: Int(input[1]))
        case 1: try examineCheckpoints(body, count: Int(input[1]))
        case 2: try examineIndex(body)
        default: try examineJournal(body)
        }
      } catch {
        // Damage that was noticed.
      }
    }
  }

  private static func examineEdits(_ body: [UInt8], count: Int) throws(FormatError) {
    let edits = try ManifestEdit.decodeAll(body.span.bytes, count: count)
    var buffer = ByteBuffer()
    for edit in edits { edit.encode(into: &buffer) }
    let again = try buffer.withBytes { bytes throws(FormatError) in
      try ManifestEdit.decodeAll(bytes, count: edits.count)
    }
    precondition(again == edits, "edits change when they are written again")
    var state = ManifestState()
    for edit in edits { try state.apply(edit) }
    if edits.count > 2 { Fuzzing.landmark() }
  }

  private static func examineCheckpoints(_ body: [UInt8], count: Int) throws(FormatError) {
    let entries = try CheckpointEntry.decodeAll(body.span.bytes, count: count)
    var buffer = ByteBuffer()
    for entry in entries { entry.encode(into: &buffer) }
    let again = try buffer.withBytes { bytes throws(FormatError) in
      try CheckpointEntry.decodeAll(bytes, count: entries.count)
    }
    precondition(again == entries, "checkpoint entries change when they are written again")
  }

  private static func examineJournal(_ body: [UInt8]) throws(FormatError) {
    var entries: [JournalEntry] = []
    let size = try JournalEntry.decodeAll(body.span.bytes, into: &entries)
    precondition(size <= body.count, "entries of \(size) bytes in \(body.count)")
    precondition(
      size == body.count || entries[0].standsAlone, "bytes are left behind a run of entries")
    var buffer = ByteBuffer()
    for entry in entries { entry.encode(into: &buffer) }
    var again: [JournalEntry] = []
    _ = try buffer.withBytes { bytes throws(FormatError) in
      try JournalEntry.decodeAll(bytes, into: &again)
    }
    precondition(again == entries, "journal entries change when they are written again")
  }

  private static let identity = FrameIdentity(
    storeID: StoreID(high: 1, low: 2), fileID: 3, salt: 4)

  /// Seals the entry first, since no fuzzer guesses a checksum.
  private static func examineIndex(_ body: [UInt8]) throws(FormatError) {
    _ = try IndexEntry(decoding: body.span.bytes, identity: identity, at: .start)
    guard body.count >= IndexEntry.size else { return }
    var entry = Array(body.prefix(IndexEntry.size))
    let end = IndexEntry.size - 4
    let checksum = CRC32C.checksum(
      entry.span.bytes.extracting(0..<end), seed: identity.seed(at: .start))
    for byte in 0..<4 { entry[end + byte] = UInt8(truncatingIfNeeded: checksum >> (byte * 8)) }
    let decoded = try IndexEntry(decoding: entry.span.bytes, identity: identity, at: .start)
    let numbers = [0, 8].map { start in
      entry[start..<start + 8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    }
    let isPossible = numbers.allSatisfy { $0 <= Limits.numberMax }
    precondition((decoded != nil) == isPossible, "a sealed index entry is judged wrongly")
  }

  private static func seeds() -> [[UInt8]] {
    let time = Timestamp(microseconds: 1_700_000_000_000_000)
    let log = ManifestEdit.LogID(stream: .events, partition: 3)
    let edits: [ManifestEdit] = [
      .identity(ManifestEdit.StoreIdentity(partitionCount: 8)),
      .configuration(
        ManifestEdit.StoredConfiguration(codec: .lz4, segmentSize: 1 << 27, batchSize: 1 << 16)),
      .segmentAdded(
        ManifestEdit.SegmentAdded(
          log: log, segmentID: 7, salt: 9, baseNumber: 0, predecessorID: 0, predecessorChain: 0,
          created: time)),
      .gap(
        ManifestEdit.RecordedGap(
          log: log, segmentID: 7, first: 3, next: 5, reason: .damaged, from: time, to: time)),
      .cut(
        ManifestEdit.TailCut(
          segmentID: 7, position: 4_096, size: 64, verdict: .tornTail, nextNumber: 5, watermark: 5,
          time: time, quarantineName: "cut-7")),
      .segmentRetired(segmentID: 7), .segmentIDFloor(9), .opened(time), .closed(time, []),
    ]
    var manifest = ByteBuffer()
    for edit in edits { edit.encode(into: &manifest) }
    let group = GroupName("billing")
    let entries: [CheckpointEntry] = [
      .groupCreated(group, at: time),
      .checkpoint(
        CheckpointEntry.GroupCheckpoint(
          group: group, partition: 3, next: 42, ownerEpoch: 0, time: time)),
      .groupDeleted(group, at: time),
    ]
    var checkpoints = ByteBuffer()
    for entry in entries { entry.encode(into: &checkpoints) }
    var index = ByteBuffer()
    IndexEntry(
      position: 128, baseNumber: 0, baseTime: time, recordCount: 0, batchCount: 0, eventSize: 0,
      epoch: 1, frameChecksum: 5
    ).encode(into: &index, identity: identity, at: .start)
    var run = ByteBuffer()
    let others: [JournalEntry] = [
      .returned(.init(sequence: 300, deliveryCount: 1, availableFrom: time)),
      .locked(.init(sequence: 300, deliveryCount: 2, duration: 60_000_000)),
      .settled(
        .init(
          sequence: 301, status: .success, givesFeedback: false, deliveryCount: 1,
          description: "Success")),
    ]
    for entry in others { entry.encode(into: &run) }
    var alone = ByteBuffer()
    JournalEntry.settled(
      .init(
        sequence: 301, status: .rejected, givesFeedback: true, deliveryCount: 1,
        description: "too hot",
        deadLetter: .init(enqueued: time, expiry: time, feedback: .full))
    ).encode(into: &alone)
    return [
      [0, UInt8(edits.count)] + manifest.array(0..<manifest.count),
      [1, UInt8(entries.count)] + checkpoints.array(0..<checkpoints.count),
      [2, 0] + index.array(0..<index.count),
      [3, 0] + run.array(0..<run.count),
      [3, 0] + alone.array(0..<alone.count),
    ]
  }
}
