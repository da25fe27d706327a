import EventModel
import FuzzHarness
import LogFormat

/// Edits of the manifest and checkpoint entries made of any bytes: nothing traps, and what decodes
/// survives being written and read again.
///
/// The first byte of the input says how many entries there are.
enum Entries {
  static let manifest = FuzzTarget("manifest", seeds: editSeeds) { input in
    do throws(FormatError) {
      try examineEdits(Array(input.dropFirst()), count: Int(input.first ?? 0))
    } catch {
      // Damage that was noticed.
    }
  }

  static let checkpoints = FuzzTarget("checkpoints", seeds: checkpointSeeds) { input in
    do throws(FormatError) {
      try examineCheckpoints(Array(input.dropFirst()), count: Int(input.first ?? 0))
    } catch {
      // Damage that was noticed.
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
    if entries.count > 2 { Fuzzing.landmark() }
  }

  private static func editSeeds() -> [[UInt8]] {
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
      .segmentRetired(segmentID: 7), .segmentIDFloor(9), .opened(time),
      .closed(time, [], .init(salt: 3, position: 192, chain: 5)), .closed(time, [], .unknown),
    ]
    var manifest = ByteBuffer()
    for edit in edits { edit.encode(into: &manifest) }
    return [[UInt8(edits.count)] + manifest.array(0..<manifest.count)]
  }

  private static func checkpointSeeds() -> [[UInt8]] {
    let time = Timestamp(microseconds: 1_700_000_000_000_000)
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
    return [[UInt8(entries.count)] + checkpoints.array(0..<checkpoints.count)]
  }
}
