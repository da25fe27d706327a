package import EventModel
internal import LogFormat

/// What is wrong at a place of a file.
///
/// The raw values are part of the command's output and stay.
package enum DamageKind: String, Hashable, Sendable, CaseIterable {
  case tornTail = "torn-tail"
  case reorderedTail = "reordered-tail"
  case undecidableTail = "undecidable-tail"
  /// A wrong bit in the last group: checksums of two kinds show it, the next writer sets it right.
  case flippedBit = "flipped-bit"
  /// A watermark proves records behind the end of what is there.
  case lostSuffix = "lost-suffix"
  /// Bytes that were a frame, or a frame whose sections or contents do not hold.
  case damagedFrame = "damaged-frame"
  /// A record about device queues whose checksums hold, and that is none or not in its place.
  case badRecord = "bad-record"
  /// Numbers are missing between two sound frames or segments.
  case missingRecords = "missing-records"
  case brokenChain = "broken-chain"
  case badFileHeader = "bad-file-header"
  /// Sound bytes of a later version: not damage, and nothing here may judge them.
  case unsupported
  case missingFile = "missing-file"
  case orphanFile = "orphan-file"
  case badIndex = "bad-index"
  case staleIndex = "stale-index"
  /// The disk failed to read these bytes; zeros were taken in their place.
  case unreadable
  /// A segment's contents are not what the manifest said when it was sealed or closed.
  case badSummary = "bad-summary"
  /// An event in a partition that its device does not belong to.
  case misplacedDevice = "misplaced-device"
  /// Enqueue times that step back.
  case timeStepsBack = "time-steps-back"
  case badCheckpoint = "bad-checkpoint"
  /// A checkpoint names events behind the end of its partition.
  case checkpointAhead = "checkpoint-ahead"
  /// Edits that are damaged or contradict each other.
  case manifestDamaged = "manifest-damaged"
  /// A loss that an earlier recovery or repair found and recorded.
  case manifestGap = "manifest-gap"
  /// A partition without the segment that new events would go into.
  case manifestNoActiveSegment = "manifest-no-active-segment"
}

/// Records that were acknowledged and are gone.
package struct AcknowledgedLoss: Hashable, Sendable {
  /// Of events by its number, of a stream or the journal by the number that readers know it by.
  package var partition: UInt32
  package var firstSequence: UInt64
  package var nextSequence: UInt64
  /// The devices the lost events belong to; nil where nothing is left that says so.
  package var devices: [String]?
  /// The times between which they were enqueued, as far as their neighbours tell.
  package var from: Timestamp?
  package var to: Timestamp?
}

extension ManifestEdit.LogID {
  /// The log as a loss names it, also where the format has no place for such a log.
  var numberOfLoss: UInt32 {
    stream == .events ? partition : UInt32(PartitionID.streamBase) + stream.rawValue
  }
}

/// One thing wrong with a file, at its place.
package struct Damage: Hashable, Sendable {
  /// The file's path inside the store, or the path that was given.
  package var file: String
  package var position: Int
  package var kind: DamageKind
  package var detail: String
  package var acknowledgedLoss: AcknowledgedLoss?
  /// Of damage in a log that no record is lost with, the number of the next record behind it.
  var number: UInt64?

  package init(
    _ kind: DamageKind, file: String, position: Int = 0, detail: String,
    acknowledgedLoss: AcknowledgedLoss? = nil, number: UInt64? = nil
  ) {
    self.file = file
    self.position = position
    self.kind = kind
    self.detail = detail
    self.acknowledgedLoss = acknowledgedLoss
    self.number = number
  }
}

extension Damage {
  /// The numbers that are gone, or none at the place where damage took none.
  var range: Range<UInt64>? {
    acknowledgedLoss.map { $0.firstSequence..<$0.nextSequence } ?? number.map { $0..<$0 }
  }
}
