internal import LogFormat
internal import StorageIO

/// What the write stage of a partition owns.
struct PartitionWriting: ~Copyable {
  var segment: ActiveSegment
  var framer: BatchFramer
  var scratch = ByteBuffer(capacity: 1 << 10)
  /// The watermark that the last frame carries.
  var lastWatermark: UInt64
  /// What must be done before the first write; nil once it is.
  var repair: TailRepair?
  /// What has been found out since about records that were durable: see
  /// ``PartitionLog/goOn(behind:)``.
  var testifiedNumber: UInt64 = 0

  /// The number that the next record takes.
  var nextNumber: UInt64 {
    max(repair?.scan.verdict.nextNumber ?? segment.end.nextNumber, testifiedNumber)
  }
}

/// What a partition's stages and readers share; never held across a system call.
struct PublishedState {
  var sealed: [SegmentHandle] { didSet { segments = nil } }
  var active: SegmentHandle { didSet { segments = nil } }
  /// Both together, once a snapshot has needed them.
  var segments: [SegmentHandle]?
  var gaps: [ManifestEdit.RecordedGap]
  /// What has been handed to the operating system.
  var writtenNumber: UInt64
  var writtenEnd: Int
  var writtenEventSize: UInt64
  var durableEnd: Int
  var durableEventSize: UInt64
  var poison: IOFailure?
  var report: RecoveryReport
  var snapshot: LogSnapshot

  mutating func publish(_ highWatermark: UInt64) {
    let all = segments ?? sealed + [active]
    segments = all
    snapshot = LogSnapshot(
      log: snapshot.log, segments: all, highWatermark: highWatermark,
      activeEnd: durableEnd, activeEventSize: durableEventSize, gaps: gaps,
      unknown: snapshot.unknown)
  }
}
