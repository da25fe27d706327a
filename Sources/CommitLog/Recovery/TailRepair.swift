internal import EventModel
internal import LogFormat
internal import StorageIO

/// What a recovered segment needs before the first write: the tail cut, what was lost recorded.
///
/// May be interrupted anywhere and begun again (I7): by a crash, and by a full disk, behind which
/// it goes on where it stopped.
struct TailRepair: Sendable {
  let scan: SegmentScan
  /// Enqueue time of the last record that is left, nil if there is none.
  let lastTime: Timestamp?
  /// Why the segment could not be healed: then nothing may be cut that a new opening might heal.
  let waitsForRoom: IOFailure?
  /// Whether what no watermark proves is still to be written anew, before anything else.
  private(set) var isUnproven: Bool
  /// What has been kept of the tail.
  private(set) var tail: QuarantinedTail?
  /// The loss as the manifest has it; nil when it had it before.
  private(set) var gap: ManifestEdit.RecordedGap?
  private var isRecorded = false
  private(set) var isDone = false

  init(scan: SegmentScan, lastTime: Timestamp?, waitsForRoom: IOFailure?, isUnproven: Bool) {
    self.scan = scan
    self.lastTime = lastTime
    self.waitsForRoom = waitsForRoom
    self.isUnproven = isUnproven
  }

  /// Writes anew what no watermark proves: then no crash takes it back.
  mutating func prove(_ file: any StorageFile) throws(IOFailure) {
    try PartitionRecovery.rewriteUnproven(scan.verdict, of: file)
    isUnproven = false
  }

  /// Keeps the tail in the quarantine, records cut and loss in the manifest, then cuts.
  ///
  /// The manifest comes before the cut: the evidence for a lost suffix may stand in the very tail
  /// that goes.
  mutating func run(
    _ file: any StorageFile, manifest: ManifestLog, context: LogContext
  ) throws(CommitLogFailure) {
    if let waitsForRoom { throw .storageFull(waitsForRoom) }
    if tail == nil, !scan.verdict.cut.isEmpty { tail = try keep(file, context) }
    if !isRecorded { try record(manifest, context) }
    if let tail {
      try CommitLogFailure.wrapping { () throws(IOFailure) in
        try file.truncate(to: ByteCount(tail.range.lowerBound))
        try file.synchronize()
      }
    }
    isDone = true
  }

  private func keep(
    _ file: any StorageFile, _ context: LogContext
  ) throws(CommitLogFailure) -> QuarantinedTail {
    let verdict = scan.verdict
    let base = "\(context.stem(scan.added)).\(verdict.tail.label).\(verdict.cut.lowerBound)"
    let name = try CommitLogFailure.wrapping { () throws(IOFailure) in
      try context.quarantine.keep(verdict.cut, of: file, name: base)
    }
    return QuarantinedTail(range: verdict.cut, verdict: verdict.tail, name: name)
  }

  private mutating func record(
    _ manifest: ManifestLog, _ context: LogContext
  ) throws(CommitLogFailure) {
    let log = scan.added.log
    var edits: [ManifestEdit] = []
    if let tail { edits.append(.cut(cut(tail, context))) }
    var lost: ManifestEdit.RecordedGap?
    // An opening before this one may have recorded it and not come further.
    if let range = scan.verdict.lostSuffix,
      !manifest.state.gaps.contains(where: {
        $0.log == log && $0.first <= range.lowerBound && range.upperBound <= $0.next
      })
    {
      let from = lastTime ?? Timestamp(microseconds: 0)
      let gap = ManifestEdit.RecordedGap(
        log: log, segmentID: scan.added.segmentID, first: range.lowerBound,
        next: range.upperBound, reason: .lostSuffix, from: from,
        to: max(from, context.environment.now()))
      edits.append(.gap(gap))
      lost = gap
    }
    if !edits.isEmpty { try manifest.append(edits) }
    gap = lost
    isRecorded = true
  }

  private func cut(_ tail: QuarantinedTail, _ context: LogContext) -> ManifestEdit.TailCut {
    ManifestEdit.TailCut(
      segmentID: scan.added.segmentID, position: UInt64(tail.range.lowerBound),
      size: UInt64(tail.range.count), verdict: tail.verdict,
      nextNumber: scan.verdict.end.nextNumber, watermark: scan.verdict.watermark,
      time: context.environment.now(), quarantineName: tail.name)
  }
}
