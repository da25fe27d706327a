internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// A partition as opening found it, before anything is changed.
struct RecoveredPartition: ~Copyable {
  let segment: ActiveSegment
  let sealed: [SegmentHandle]
  var gaps: [ManifestEdit.RecordedGap]
  let scan: SegmentScan
  /// Everything below it has just been synced.
  let durableNumber: UInt64
  /// Why what no watermark proves could not be written anew: a crash may still take that back, so
  /// nobody sees it before it is.
  let unprovenCause: IOFailure?
  /// Enqueue time of the last record there is, nil if there is none.
  let lastTime: Timestamp?
  /// Why a bit that is wrong could not be set right: there was no room to keep the frame first.
  let waitsForRoom: IOFailure?
  var report: RecoveryReport
  /// Where nobody can tell what follows.
  private(set) var unknown: UnreadablePlace?
  /// Whether the log's folder could be listed.
  var isListed = true

  /// Has the log take nothing: what follows may have the next numbers.
  mutating func holdBack(_ place: UnreadablePlace) {
    unknown = unknown ?? place
    report.unreadable = report.unreadable ?? place.cause
  }
}

/// Opens one log for writing (design 2 and 3): syncs, scans, decides, heals.
///
/// What must be cut is cut before the first write, by ``TailRepair``.
enum PartitionRecovery {
  static func recover(
    _ log: ManifestEdit.LogID, manifest: ManifestState, evidence: UInt64, context: LogContext
  ) throws(CommitLogFailure) -> RecoveredPartition {
    let active = try manifest.activeSegment(of: log, in: context.root)
    let handle = SegmentHandle(active, summary: nil, context: context)
    var opened: (any StorageFile)?
    do throws(CommitLogFailure) {
      let file = try openActive(handle, context)
      opened = file
      return try recover(handle, file, manifest: manifest, evidence: evidence, context: context)
    } catch {
      let directory = handle.path.removingLastComponent()
      guard let cause = error.cause(ofNotReading: handle.path, directory) else { throw error }
      if cause.operation == .read, let opened,
        let front = recoverFront(
          handle, opened, manifest: manifest, evidence: evidence, context: context)
      {
        return front
      }
      // The others go on without this one, of which nothing is known.
      return try recover(
        handle, UnreadableFile(handle.path, cause), manifest: manifest, evidence: evidence,
        context: context)
    }
  }

  private static func recover(
    _ handle: SegmentHandle, _ file: any StorageFile, manifest: ManifestState, evidence: UInt64,
    context: LogContext
  ) throws(CommitLogFailure) -> RecoveredPartition {
    let log = handle.added.log
    var report = RecoveryReport(log: log)
    let evidence = max(evidence, manifest.evidence(of: log))
    report.isLost = file is LostFile
    report.unreadable = (file as? UnreadableFile)?.cause
    let isStandIn = report.isLost || report.unreadable != nil
    let stored = isStandIn ? LostFile(handle.path) : file
    // Where a close ended there is nothing now.
    let closedEnd = manifest.closedEnd(of: log).flatMap {
      $0.segmentID == handle.added.segmentID && !isStandIn ? $0.summary : nil
    }
    var scan = try SegmentScan.scan(
      handle, file: stored, closedEnd: closedEnd, evidence: evidence, context: context)
    if let header = scan.header, header.isReadOnly {
      throw .format(
        handle.path, position: 0, .unsupportedFeatures(header.readOnlyCompatibleFlags))
    }
    var waitsForRoom: IOFailure?
    do throws(CommitLogFailure) {
      while report.healed.count < TailHealing<StoredFrames>.repairCountMax,
        let repair = try heal(scan, handle, file: stored, context: context)
      {
        report.healed.append(repair.position)
        scan = try SegmentScan.scan(
          handle, file: stored, closedEnd: closedEnd, evidence: evidence, context: context)
      }
    } catch .storageFull(let failure) {
      // Reading works (I9); the next opening that finds room heals.
      waitsForRoom = failure
    }
    var unprovenCause: IOFailure?
    do throws(IOFailure) {
      try rewriteUnproven(scan.verdict, of: stored)
    } catch {
      // A sync that has failed is not tried again, for whatever reason (I8).
      guard error.isStorageFull, error.operation != .synchronize else {
        throw CommitLogFailure(error)
      }
      unprovenCause = error
    }
    if report.unreadable == nil { report.note(scan.verdict) }
    report.lostHeader = scan.header == nil && !isStandIn
    let shown =
      isStandIn
      ? scan.verdict.nextNumber
      : unprovenCause == nil ? scan.verdict.end.nextNumber : scan.proven.nextNumber
    return recovered(
      handle, file, scan, report, upTo: shown, manifest: manifest, context: context,
      unprovenCause: unprovenCause, waitsForRoom: waitsForRoom)
  }

  /// What is to be had of a file that has a bad sector: all that is proven in front of it, for
  /// readers alone; nil for nothing.
  private static func recoverFront(
    _ handle: SegmentHandle, _ file: any StorageFile, manifest: ManifestState, evidence: UInt64,
    context: LogContext
  ) -> RecoveredPartition? {
    let log = handle.added.log
    let closed = manifest.closedEnd(of: log)
    let front = SegmentScan.scan(
      frontOf: file, handle,
      closedEnd: closed?.segmentID == handle.added.segmentID ? closed?.summary : nil,
      evidence: max(evidence, manifest.evidence(of: log)), context: context)
    guard let (scan, place) = front else { return nil }
    var recovered = recovered(
      handle, file, scan, RecoveryReport(log: log), upTo: place.number, manifest: manifest,
      context: context, unprovenCause: place.cause)
    recovered.holdBack(place)
    return recovered
  }

  private static func recovered(
    _ handle: SegmentHandle, _ file: any StorageFile, _ scan: SegmentScan,
    _ report: RecoveryReport, upTo shown: UInt64, manifest: ManifestState, context: LogContext,
    unprovenCause: IOFailure?, waitsForRoom: IOFailure? = nil
  ) -> RecoveredPartition {
    let log = handle.added.log
    let segments = manifest.logs[log] ?? []
    let index = SparseIndex(entries: scan.index, storedCount: scan.storedIndexCount)
    let segment = ActiveSegment(
      handle.added, file: file, identity: handle.identity, end: scan.verdict.end,
      summary: scan.summary, index: index, space: context.space)
    let lastSummary =
      ([scan.summary] + segments.dropLast().reversed().compactMap(\.summary))
      .first { $0.recordCount > 0 }
    return RecoveredPartition(
      segment: segment,
      sealed: segments.dropLast().map {
        SegmentHandle($0.added, summary: $0.summary, context: context)
      },
      gaps: manifest.gaps.filter { $0.log == log }, scan: scan,
      durableNumber: shown, unprovenCause: unprovenCause, lastTime: lastSummary?.lastTime,
      waitsForRoom: waitsForRoom, report: report, unknown: nil)
  }

  /// Opens the file and syncs it with its directory, so that nothing is decided, shown or named by
  /// a watermark that a crash could still take back.
  private static func openActive(
    _ segment: SegmentHandle, _ context: LogContext
  ) throws(CommitLogFailure) -> any StorageFile {
    do throws(IOFailure) {
      let file = try context.fileSystem.open(segment.path, .readWrite)
      try file.synchronize()
      try context.fileSystem.synchronizeDirectory(segment.path.removingLastComponent())
      return file
    } catch {
      guard error.isNoFile else { throw CommitLogFailure(error) }
      // The others go on without this one.
      return LostFile(segment.path)
    }
  }

  /// Writes the frames that no watermark proves over themselves, and syncs again.
  ///
  /// The process before this one may have stopped at a failed sync. The system then keeps bytes in
  /// memory, as clean, that never reached the disk, and a later sync of them succeeds without
  /// writing anything (Rebello and others, "Can applications recover from fsync failures?", 2020).
  static func rewriteUnproven(
    _ verdict: RecoveryRule.Verdict, of file: any StorageFile
  ) throws(IOFailure) {
    let unproven = verdict.unproven
    guard !unproven.isEmpty, let last = verdict.kept.last else { return }
    let size = try file.size().bytes
    // What was there a moment ago: of what is gone nothing is called durable.
    let shrunk = IOFailure(.read, file.path, .ioError)
    guard size >= last.bodyRange.upperBound else { throw shrunk }
    let end = min(verdict.end.position, size)
    let source = StoredFrames(file, size: end)
    var buffer = ByteBuffer(capacity: 256 << 10)
    var position = unproven.lowerBound
    while position < end {
      buffer.removeAll()
      let part = position..<min(end, position + 256 << 10)
      guard try source.append(part, to: &buffer) else { throw shrunk }
      try buffer.withBytes { (bytes) throws(IOFailure) in
        try file.write(bytes, at: FilePosition(part.lowerBound))
      }
      position = part.upperBound
    }
    try file.synchronize()
  }

  /// Sets one flipped bit right where that makes the next frame whole.
  private static func heal(
    _ scan: SegmentScan, _ segment: SegmentHandle, file: any StorageFile, context: LogContext
  ) throws(CommitLogFailure) -> BitRepair? {
    try CommitLogFailure.wrapping { () throws(IOFailure) in
      let source = StoredFrames(file, size: try file.size().bytes)
      guard let repair = try scan.repair(in: source, segment) else { return nil }
      try write(repair, to: file, named: context.stem(segment.added), context.quarantine)
      return repair
    }
  }

  /// Copies the frame to the quarantine (I7), then writes the bit.
  static func write(
    _ repair: BitRepair, to file: any StorageFile, named name: String, _ quarantine: Quarantine
  ) throws(IOFailure) {
    try quarantine.keep(
      repair.frame, of: file, name: "\(name).healed.\(repair.frame.lowerBound)")
    var byte = ByteBuffer(capacity: 1)
    byte.append(repair.value)
    try byte.withBytes { (bytes) throws(IOFailure) in
      try file.write(bytes, at: FilePosition(repair.position))
    }
    try file.synchronize()
  }
}
