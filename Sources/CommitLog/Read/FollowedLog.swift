internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// One log as a follower found it.
struct FollowedLog: Sendable {
  var snapshot: LogSnapshot
  private(set) var report: RecoveryReport
  /// Everything below it was durable once; more than the snapshot shows where some of that is gone.
  let evidence: UInt64
  /// The active file's size when it was scanned.
  private let size: Int
  /// Where its last frame ended.
  private let end: Int
  /// What of the active segment the next look need not read again; nil where bits were healed.
  let proven: ManifestEdit.LogEnd?

  /// Has readers throw at the log's end: nobody can tell whether a segment follows, which the
  /// manifest does not name.
  mutating func holdBack(_ cause: IOFailure) {
    snapshot.unknown =
      snapshot.unknown
      ?? UnreadablePlace(unnamed: cause, in: snapshot.log, behind: snapshot.highWatermark)
    report.unreadable = report.unreadable ?? cause
  }

  /// Whether the active file may hold more than when it was scanned: it has another size, or is not
  /// zero where it ended, for frames also go where zeros were written ahead of them.
  func mayHaveMore() throws(IOFailure) -> Bool {
    guard let file = snapshot.segments.last?.activeFile else { return false }
    do throws(IOFailure) {
      if try file.size().bytes != size { return true }
      var next = ByteBuffer(capacity: FrameHeader.size)
      let isThere = try StoredFrames(file, size: size)
        .append(end..<end + FrameHeader.size, to: &next)
      return isThere ? !next.isZero : end < size
    } catch  where error.isUnreadable {
      // The scan tells what of the log can be shown, and tries again what could not.
      return true
    }
  }

  /// Where batches of an active segment stand, as far as it was known already.
  private func index(of added: ManifestEdit.SegmentAdded) -> SparseIndex? {
    let active = snapshot.segments.last
    return active?.added == added ? active?.index : nil
  }

  /// The handles of the sealed segments, with what readers have learned about them.
  private var sealed: [UInt64: SegmentHandle] {
    Dictionary(snapshot.segments.dropLast().map { ($0.added.segmentID, $0) }) { first, _ in first }
  }

  /// Scans the log's active segment.
  ///
  /// - Parameters:
  ///   - log: which log.
  ///   - manifest: what the store consists of.
  ///   - evidence: what is known about durable numbers from outside the log.
  ///   - isLive: whether somebody writes: then only what a watermark proves is shown.
  ///   - mayBeLost: whether to go on without an active file that is not there: once it is sure that
  ///     no roll has come between.
  ///   - known: what the look before this one found.
  ///   - context: where the store is.
  /// - Returns: the log as it is now.
  /// - Throws: ``CommitLogFailure``; also when the manifest names no active segment.
  static func scan(
    _ log: ManifestEdit.LogID, manifest: ManifestState, evidence: UInt64, isLive: Bool,
    mayBeLost: Bool, known: FollowedLog?, context: LogContext
  ) throws(CommitLogFailure) -> FollowedLog {
    let last = try manifest.activeSegment(of: log, in: context.root)
    let (active, size, scan, healed, unknown) = try scanActive(
      last, mayBeLost: mayBeLost, closedEnd: known?.proven ?? manifest.closedEnd(of: log),
      evidence: max(evidence, manifest.evidence(of: log)), isLive: isLive,
      index: known?.index(of: last) ?? SparseIndex(), context)
    let handles = known?.sealed ?? [:]
    let sealed = (manifest.logs[log] ?? []).dropLast().map { segment in
      handles[segment.added.segmentID]
        ?? SegmentHandle(segment.added, summary: segment.summary, context: context)
    }
    let unreadable = (active.activeFile as? UnreadableFile)?.cause ?? unknown?.cause
    // A checkpoint may prove a part of a batch, and with it the whole: a batch is synced as one.
    var watermark = max(
      min(scan.verdict.end.nextNumber, scan.verdict.watermark), scan.proven.nextNumber)
    if !isLive { watermark = scan.verdict.nextNumber }
    if unreadable != nil {
      // Behind a bad sector nothing is counted: readers throw where it is.
      watermark =
        unknown?.number ?? max(scan.verdict.nextNumber, known?.snapshot.highWatermark ?? 0)
    }
    var report = RecoveryReport(log: log)
    report.isLost = active.activeFile is LostFile
    report.unreadable = unreadable
    if !isLive, unreadable == nil {
      report.note(scan.verdict)
      report.healed = healed
    }
    return FollowedLog(
      snapshot: LogSnapshot(
        log: log, segments: sealed + [active],
        highWatermark: watermark,
        activeEnd: isLive || unknown != nil
          ? Int(scan.proven.endPosition) : scan.verdict.end.position,
        activeEventSize: scan.summary.eventSize,
        gaps: manifest.gaps.filter { $0.log == log }, unknown: unknown),
      report: report, evidence: scan.verdict.watermark, size: size, end: scan.verdict.end.position,
      proven: healed.isEmpty && unreadable == nil
        ? ManifestEdit.LogEnd(
          log: log, segmentID: last.segmentID, summary: scan.proven) : nil)
  }

  private typealias ActiveScan = (
    handle: SegmentHandle, size: Int, scan: SegmentScan, healed: [Int], unknown: UnreadablePlace?
  )

  /// Scans an active segment and, where nobody writes, reads flipped bits at its end as recovery
  /// would set them right.
  private static func scanActive(
    _ added: ManifestEdit.SegmentAdded, mayBeLost: Bool, closedEnd: ManifestEdit.LogEnd?,
    evidence: UInt64,
    isLive: Bool, index: SparseIndex, _ context: LogContext
  ) throws(CommitLogFailure) -> ActiveScan {
    var opened: (any StorageFile)?
    do throws(CommitLogFailure) {
      let stored = try open(added, isLive: isLive, mayBeLost: mayBeLost, context)
      opened = stored
      return try scanActive(
        added, stored, closedEnd: closedEnd, evidence: evidence, isLive: isLive, index: index,
        context)
    } catch {
      let path = context.segmentPath(added)
      guard let cause = error.cause(ofNotReading: path) else { throw error }
      if cause.operation == .read, let opened {
        let handle = SegmentHandle(
          added, summary: nil, context: context, activeFile: opened, index: index)
        let end = closedEnd?.segmentID == added.segmentID ? closedEnd?.summary : nil
        if let (scan, place) = SegmentScan.scan(
          frontOf: opened, handle, closedEnd: end, evidence: evidence, context: context)
        {
          for entry in scan.index { index.note(entry) }
          return (handle, scan.verdict.end.position, scan, [], place)
        }
      }
      let (_, size, scan, _, _) = try scanActive(
        added, LostFile(path), closedEnd: nil, evidence: evidence, isLive: isLive, index: index,
        context)
      let handle = SegmentHandle(
        added, summary: nil, context: context, activeFile: UnreadableFile(path, cause),
        index: index)
      return (handle, size, scan, [], nil)
    }
  }

  private static func scanActive(
    _ added: ManifestEdit.SegmentAdded, _ stored: any StorageFile,
    closedEnd: ManifestEdit.LogEnd?, evidence: UInt64, isLive: Bool, index: SparseIndex,
    _ context: LogContext
  ) throws(CommitLogFailure) -> ActiveScan {
    let size = try CommitLogFailure.wrapping { () throws(IOFailure) in try stored.size().bytes }
    let closedEnd = closedEnd.flatMap {
      $0.segmentID == added.segmentID && !(stored is LostFile) ? $0.summary : nil
    }
    var file = stored
    var repairs: [BitRepair] = []
    while true {
      let handle = SegmentHandle(
        added, summary: nil, context: context, activeFile: file, index: index)
      let scan = try SegmentScan.scan(
        handle, file: file, closedEnd: repairs.isEmpty ? closedEnd : nil, evidence: evidence,
        context: context)
      let source = StoredFrames(file, size: size)
      let repair = try CommitLogFailure.wrapping { () throws(IOFailure) in
        isLive ? nil : try scan.repair(in: source, handle)
      }
      guard let repair, repairs.count < TailHealing<StoredFrames>.repairCountMax else {
        for entry in scan.index { index.note(entry) }
        return (handle, size, scan, repairs.map(\.position), nil)
      }
      repairs.append(repair)
      file = HealedFile(stored, repairs)
    }
  }

  private static func open(
    _ added: ManifestEdit.SegmentAdded, isLive: Bool, mayBeLost: Bool, _ context: LogContext
  ) throws(CommitLogFailure) -> any StorageFile {
    do throws(IOFailure) {
      let file = try context.fileSystem.open(context.segmentPath(added), .readOnly)
      // Nobody else will: what is shown must survive a crash (I3).
      if !isLive { try file.synchronize() }
      return file
    } catch {
      guard error.isNoFile else { throw CommitLogFailure(error) }
      let path = context.segmentPath(added)
      guard mayBeLost else { throw .missingFile(path) }
      return LostFile(path)
    }
  }
}
