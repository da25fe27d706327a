internal import EventModel
internal import LogFormat
internal import StorageIO

/// What a recovered segment needs before the first write: the tail cut, what was lost recorded.
///
/// May be interrupted anywhere and begun again (I7).
struct TailRepair: Sendable {
  let scan: SegmentScan

  /// Keeps the tail in the quarantine, records cut and loss in the manifest, then cuts.
  ///
  /// The manifest comes before the cut: the evidence for a lost suffix may stand in the very tail
  /// that goes.
  func run(
    _ file: any StorageFile, manifest: ManifestLog, context: LogContext
  ) throws(CommitLogFailure) -> (tail: QuarantinedTail?, gap: ManifestEdit.RecordedGap?) {
    let verdict = scan.verdict
    var edits: [ManifestEdit] = []
    var tail: QuarantinedTail?
    if !verdict.cut.isEmpty {
      let base = "\(context.stem(scan.added)).\(verdict.tail.label).\(verdict.cut.lowerBound)"
      let name = try CommitLogFailure.wrapping { () throws(IOFailure) in
        try context.quarantine.keep(verdict.cut, of: file, name: base)
      }
      let kept = QuarantinedTail(range: verdict.cut, verdict: verdict.tail, name: name)
      tail = kept
      edits.append(.cut(cut(kept, context)))
    }
    let gap = verdict.lostSuffix.map { lost in
      ManifestEdit.RecordedGap(
        log: scan.added.log, segmentID: scan.added.segmentID, first: lost.lowerBound,
        next: lost.upperBound, reason: .lostSuffix, from: scan.summary.lastTime,
        to: context.environment.now())
    }
    if let gap { edits.append(.gap(gap)) }
    if !edits.isEmpty { try manifest.append(edits) }
    if let tail {
      try CommitLogFailure.wrapping { () throws(IOFailure) in
        try file.truncate(to: ByteCount(tail.range.lowerBound))
        try file.synchronize()
      }
    }
    return (tail, gap)
  }

  private func cut(_ tail: QuarantinedTail, _ context: LogContext) -> ManifestEdit.TailCut {
    ManifestEdit.TailCut(
      segmentID: scan.added.segmentID, position: UInt64(tail.range.lowerBound),
      size: UInt64(tail.range.count), verdict: tail.verdict,
      nextNumber: scan.verdict.end.nextNumber, watermark: scan.verdict.watermark,
      time: context.environment.now(), quarantineName: tail.name)
  }
}
