internal import EventModel
package import LogFormat
package import StorageIO

/// What opening learns about an active segment before it changes anything: the same for a writer,
/// who then cuts, and for a read-only opener, who does not.
package struct SegmentScan: Sendable {
  package let added: ManifestEdit.SegmentAdded
  package let verdict: RecoveryRule.Verdict
  /// What the segment holds up to the verdict's end.
  package var summary: SegmentSummary
  /// The same up to the frame that holds the last number below the watermark: nothing of it is ever
  /// cut, so that a reader who looks again can begin behind it.
  package let proven: SegmentSummary
  /// The file's own header; nil if it is damaged and the manifest's word has to do.
  package let header: FileHeader?
  /// What the index's file held, and where the scan found more batches.
  package let index: [IndexEntry]
  /// How many of the entries the index's file holds; none if it must be written anew.
  package let storedIndexCount: Int

  /// Scans from the last place that is known to be good: where a clean close ended, else the last
  /// entry of the index whose frame is there, else the beginning (I10).
  package static func scan(
    _ segment: SegmentHandle, file: any StorageFile, closedEnd: SegmentSummary?, evidence: UInt64,
    context: LogContext
  ) throws(CommitLogFailure) -> SegmentScan {
    let size = try CommitLogFailure.wrapping { () throws(IOFailure) in try file.size().bytes }
    return try scan(
      segment, StoredFrames(file, size: size), closedEnd: closedEnd, evidence: evidence,
      context: context)
  }

  /// The same for a part of a file, or what stands in for one.
  static func scan(
    _ segment: SegmentHandle, _ source: some FrameSource<IOFailure>, closedEnd: SegmentSummary?,
    evidence: UInt64, context: LogContext
  ) throws(CommitLogFailure) -> SegmentScan {
    let header = try readHeader(source, segment, context)
    let stored = IndexFile.read(segment, fileSystem: context.fileSystem)
    let start = try start(
      segment, source: source, closedEnd: closedEnd, index: stored.entries,
      header: header ?? context.header(of: segment.added))
    var scanner = FrameScanner(source, identity: segment.identity)
    let scan: ScanResult
    let verdict: RecoveryRule.Verdict
    do throws(IOFailure) {
      scan = try scanner.scan(from: start.end.position)
      verdict = try RecoveryRule.decide(
        from: start.end, scan: scan, evidence: max(evidence, closedEnd?.nextNumber ?? 0)
      ) { (frame) throws(IOFailure) in try scanner.isIntact(frame) }
    } catch {
      throw CommitLogFailure(error)
    }
    if let unsupported = scan.unsupported {
      throw .format(segment.path, position: unsupported.position, unsupported.error)
    }
    for frame in verdict.kept {
      guard let unsupported = frame.unsupported(besides: FrameHeader.FrameType.batch) else {
        continue
      }
      throw .format(segment.path, position: frame.position, unsupported)
    }
    let kept = stored.entries.filter { $0.position < UInt64(verdict.end.position) }
    var index = kept
    let (proven, summary) = try summaries(
      start.summary, behind: verdict, source: source, identity: segment.identity, index: &index)
    return SegmentScan(
      added: segment.added, verdict: verdict, summary: summary, proven: proven, header: header,
      index: index,
      storedIndexCount: stored.isExact && kept.count == stored.entries.count ? kept.count : 0)
  }

  /// The flipped bit that explains why the log ends where it does; nil if none does.
  func repair(
    in source: StoredFrames, _ segment: SegmentHandle
  ) throws(IOFailure) -> BitRepair? {
    guard verdict.tail != .clean || verdict.lostSuffix != nil else { return nil }
    let healing = TailHealing(source, identity: segment.identity) { header, clear, body in
      FrameContents.contentHolds(header, clear: clear, body: body)
    }
    return try healing.repair(at: verdict.end)
  }

  /// The header that the file begins with, if it is the one that the manifest says it has.
  private static func readHeader(
    _ source: some FrameSource<IOFailure>, _ segment: SegmentHandle, _ context: LogContext
  ) throws(CommitLogFailure) -> FileHeader? {
    var bytes = ByteBuffer(capacity: FileHeader.size)
    let isWhole = try CommitLogFailure.wrapping { () throws(IOFailure) in
      try source.append(0..<FileHeader.size, to: &bytes)
    }
    guard isWhole else { return nil }
    do throws(FormatError) {
      let header = try bytes.withBytes { (bytes) throws(FormatError) in
        try FileHeader(decoding: bytes)
      }
      return header.agrees(with: context.header(of: segment.added)) ? header : nil
    } catch .corrupt {
      return nil
    } catch {
      throw .format(segment.path, position: 0, error)
    }
  }

  private typealias KnownEnd = (end: RecoveryRule.Start, summary: SegmentSummary)

  private static func start(
    _ segment: SegmentHandle, source: some FrameSource<IOFailure>, closedEnd: SegmentSummary?,
    index: [IndexEntry], header: FileHeader
  ) throws(CommitLogFailure) -> KnownEnd {
    if let closedEnd, source.size >= closedEnd.endPosition {
      let end = RecoveryRule.Start(
        position: Int(closedEnd.endPosition), chain: closedEnd.chain,
        nextNumber: closedEnd.nextNumber, epoch: closedEnd.epoch)
      return (end, closedEnd)
    }
    for entry in index.reversed() {
      guard let chain = try chain(of: entry, source, segment) else { continue }
      let end = RecoveryRule.Start(
        position: Int(entry.position), chain: chain, nextNumber: entry.baseNumber,
        epoch: entry.epoch)
      var summary = SegmentSummary(
        endPosition: entry.position, nextNumber: entry.baseNumber, chain: chain,
        epoch: entry.epoch)
      summary.recordCount = entry.recordCount
      summary.batchCount = entry.batchCount
      summary.eventSize = entry.eventSize
      summary.firstTime = index[0].baseTime
      summary.lastTime = entry.baseTime
      return (end, summary)
    }
    let start = RecoveryRule.Start.behind(header)
    let summary = SegmentSummary(
      endPosition: UInt64(start.position), nextNumber: start.nextNumber, chain: start.chain,
      epoch: start.epoch)
    return (start, summary)
  }

  /// What the frame that an entry points to chains from, nil if it is not there: an entry is never
  /// believed over the log (I6).
  private static func chain(
    of entry: IndexEntry, _ source: some FrameSource<IOFailure>, _ segment: SegmentHandle
  ) throws(CommitLogFailure) -> UInt32? {
    let position = Int(clamping: entry.position)
    guard position <= source.size - FrameHeader.size, position % FrameHeader.alignment == 0 else {
      return nil
    }
    var bytes = ByteBuffer(capacity: FrameHeader.size)
    let isWhole = try CommitLogFailure.wrapping { () throws(IOFailure) in
      try source.append(position..<position + FrameHeader.size, to: &bytes)
    }
    guard isWhole else { return nil }
    let seed = segment.identity.seed(at: FilePosition(position))
    do throws(FormatError) {
      let decoded = try bytes.withBytes { (bytes) throws(FormatError) in
        try FrameHeader.decode(bytes, at: 0, seed: seed)
      }
      guard let decoded, decoded.checksum == entry.frameChecksum,
        decoded.header.baseNumber == entry.baseNumber, entry.baseNumber >= segment.baseNumber
      else { return nil }
      return decoded.header.chain
    } catch {
      return nil
    }
  }

  /// Adds a batch to the index where it has none for a while: the index is rebuilt as it was (I6).
  private static func note(
    _ frame: ScannedFrame, behind summary: SegmentSummary, in index: inout [IndexEntry]
  ) {
    let position = UInt64(frame.position)
    if let last = index.last, position < last.position + SparseIndex.spacing { return }
    index.append(
      IndexEntry(
        position: position, baseNumber: frame.header.baseNumber, baseTime: frame.header.baseTime,
        recordCount: summary.recordCount, batchCount: summary.batchCount,
        eventSize: summary.eventSize, epoch: frame.header.epoch, frameChecksum: frame.checksum))
  }

  /// What the segment holds up to the watermark, and up to the verdict's end.
  private static func summaries(
    _ known: SegmentSummary, behind verdict: RecoveryRule.Verdict,
    source: some FrameSource<IOFailure>,
    identity: FrameIdentity, index: inout [IndexEntry]
  ) throws(CommitLogFailure) -> (proven: SegmentSummary, all: SegmentSummary) {
    let isProven = verdict.kept.prefix { $0.header.baseNumber < verdict.watermark }
    var proven = known
    if let last = isProven.last {
      proven = try summary(known, behind: isProven, source, identity, index: &index)
      proven.endPosition = UInt64(last.end)
      proven.nextNumber = last.header.nextNumber
      proven.chain = last.checksum
      proven.epoch = last.header.epoch
    }
    var all = try summary(
      proven, behind: verdict.kept[isProven.endIndex...], source, identity, index: &index)
    let end = verdict.end
    all.endPosition = UInt64(end.position)
    all.nextNumber = end.nextNumber
    all.chain = end.chain
    all.epoch = end.epoch
    return (proven, all)
  }

  /// Adds what frames hold to what was known before them.
  private static func summary(
    _ known: SegmentSummary, behind frames: ArraySlice<ScannedFrame>,
    _ source: some FrameSource<IOFailure>,
    _ identity: FrameIdentity, index: inout [IndexEntry]
  ) throws(CommitLogFailure) -> SegmentSummary {
    var summary = known
    var clear = ByteBuffer(capacity: 4 << 10)
    for frame in frames where frame.header.type == FrameHeader.FrameType.batch {
      clear.removeAll()
      _ = try CommitLogFailure.wrapping { () throws(IOFailure) in
        try source.append(frame.clearRange, to: &clear)
      }
      note(frame, behind: summary, in: &index)
      if summary.recordCount == 0 { summary.firstTime = frame.header.baseTime }
      summary.recordCount += UInt64(frame.header.recordCount)
      summary.batchCount += 1
      summary.lastTime = frame.header.baseTime
      // A clear section below the watermark may be damaged: its batch then counts without a size,
      // and does not say how late it is.
      let seed = identity.seed(at: FilePosition(frame.position))
      let checksum = clear.withBytes { CRC32C.checksum($0, seed: seed) }
      guard checksum == frame.header.clearChecksum else { continue }
      do throws(FormatError) {
        let section = try clear.withBytes { (bytes) throws(FormatError) in
          try BatchClearSection(decoding: bytes, header: frame.header)
        }
        summary.eventSize &+= section.eventSize
        summary.lastTime = Timestamp(
          microseconds: frame.header.baseTime.microseconds &+ Int64(bitPattern: section.timeSpan))
      } catch {
        // As may what a checksum holds for.
      }
    }
    return summary
  }
}
