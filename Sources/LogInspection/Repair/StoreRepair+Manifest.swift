internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// The manifest: what it has lost is put together from the segments, and what the segments have
/// lost is recorded in it.
extension StoreRepair {
  /// - Parameters:
  ///   - left: what is wrong.
  ///   - checkpoints: where the checkpoint file ends that was just written; nil for none.
  /// - Throws: ``IOFailure``.
  func mendManifest(
    _ left: FsckResult, checkpoints: ManifestEdit.CheckpointsEnd?
  ) throws(IOFailure) {
    let snapshot = readSnapshot()
    guard let storeID = snapshot.header?.storeID, !snapshot.hasTwins else { return }
    let isDamaged =
      snapshot.isRebuilt
      || left.findings.contains { $0.file == FileNames.manifest && $0.severity > .note }
    let unreadable = left.unreadableFiles
    if isDamaged, unreadable.contains(where: FileNames.isLog) { return }
    var plan = ManifestPlan(snapshot.state)
    if isDamaged { try complete(&plan, snapshot) }
    // What the last close said may be outdated where edits are lost.
    plan.checkpoints = checkpoints ?? (isDamaged ? .unknown : nil)
    try makeActiveSegments(&plan, snapshot, unreadable)
    var recorded: [(finding: FsckFinding, gap: ManifestEdit.RecordedGap)] = []
    for finding in left.findings
    where finding.severity == .error && !unreadable.contains(finding.file) {
      guard let gap = plan.record(finding, now: environment.now()) else { continue }
      recorded.append((finding, gap))
    }
    guard isDamaged || plan.isChanged else { return }
    let edits: [ManifestEdit]
    do throws(FormatError) {
      edits = try plan.edits()
    } catch {
      // What is left of the manifest contradicts itself: nothing is written on a guess.
      return
    }
    if try fileSystem.kind(of: root.appending(FileNames.manifest)) == .file {
      try keepWhole(FileNames.manifest, as: isDamaged ? "damaged" : "replaced")
    }
    let file = EntryFile(
      manifest: edits, storeID: storeID, salt: environment.random(), at: environment.now())
    try replace(FileNames.manifest, with: file.bytes)
    for (file, gap) in plan.losses { note(.gapRecorded, file, gap.text) }
    for (finding, gap) in recorded {
      note(.gapRecorded, finding.file, at: finding.position, gap.text)
    }
    if isDamaged {
      note(.rebuilt, FileNames.manifest, "it names every segment that is there")
    }
  }

  /// Finds what a manifest that has lost edits said of the segments, the partitions and the queue
  /// files.
  private func complete(_ plan: inout ManifestPlan, _ snapshot: StoreSnapshot) throws(IOFailure) {
    let partitions = root.appending(FileNames.partitions)
    if plan.identity == nil {
      let folders = SegmentFiles.entries(of: partitions, fileSystem)
        .filter { $0.kind == .directory }
      let numbers = Set(folders.compactMap { FileNames.parsePartition($0.name) })
      var count = max(1, snapshot.partitionCount)
      // A folder that has lost its segments is that of the next partition, or anybody's.
      while numbers.contains(count) { count += 1 }
      plan.identity = ManifestEdit.StoreIdentity(partitionCount: count)
    }
    for (log, segments) in plan.logs {
      var kept: [ManifestState.Segment] = []
      for index in segments.indices {
        var segment = segments[index]
        let isLast = index == segments.indices.last
        if segment.summary == nil {
          segment.summary = summary(of: segment.added, segments, at: index, snapshot)
        }
        if segment.summary == nil, !isLast {
          // Its file is gone: what it held is a gap up to the next one.
          segment.summary = SegmentSummary(
            endPosition: UInt64(FileHeader.size),
            nextNumber: segments[index + 1].added.baseNumber, chain: 0, epoch: 0)
        }
        // A merge leaves the segment that it has replaced until the manifest says so: both begin
        // at the same record.
        if let previous = kept.last, previous.added.baseNumber == segment.added.baseNumber {
          guard segment.end > previous.end else { continue }
          kept.removeLast()
        }
        if isLast, segments[index].summary == nil { segment.summary = nil }
        kept.append(segment)
      }
      plan.logs[log] = kept
    }
    if let filed = try queueCheckpoint(plan, snapshot) { plan.queueCheckpoint = filed }
  }

  /// What a segment holds, from itself.
  private func summary(
    of added: ManifestEdit.SegmentAdded, _ segments: [ManifestState.Segment], at index: Int,
    _ snapshot: StoreSnapshot
  ) -> SegmentSummary? {
    let name = StoreSnapshot.name(of: added)
    guard let source = SegmentFiles.source(at: root.appending(name), fileSystem),
      let header = snapshot.header(of: added)
    else { return nil }
    let check = SegmentCheck(
      source: source, header: header, evidence: snapshot.evidence(segments, at: index),
      lastTime: nil, isSealed: true, partitionCount: nil, contents: FrameContents(),
      records: RecordCheck(), index: nil)
    let outcome = check.run { _ in }
    var summary = SegmentSummary(
      endPosition: UInt64(outcome.end.position), nextNumber: outcome.end.nextNumber,
      chain: outcome.end.chain, epoch: outcome.end.epoch)
    summary.recordCount = check.tally.recordCount
    summary.batchCount = check.tally.batchCount
    summary.eventSize = check.tally.eventSize
    summary.firstTime = check.tally.firstTime ?? summary.firstTime
    summary.lastTime = check.tally.lastTime ?? summary.lastTime
    return summary
  }

  /// The checkpoint whose directory is there, one that says so itself before one of which only the
  /// name is left; or where there is none, the last whose queue files are there.
  ///
  /// Two are there only before the older one is removed, and until then its files are there too.
  ///
  /// - Throws: ``IOFailure`` where that cannot be told, because a file or folder is not read.
  private func queueCheckpoint(
    _ plan: ManifestPlan, _ snapshot: StoreSnapshot
  ) throws(IOFailure) -> ManifestEdit.QueueCheckpoint? {
    let known = snapshot.state.queueCheckpoint
    let entries = try list(FileNames.queues)
    let numbers = entries.compactMap {
      $0.kind == .file ? FileNames.parseQueueDirectory($0.name) : nil
    }
    let proven = numbers.filter { isDirectory(of: $0, snapshot) == true }
    let possible = numbers.filter { isDirectory(of: $0, snapshot) != false }
    var last = proven.min() ?? possible.min()
    if last == nil { last = try lastFinished(in: entries, snapshot) }
    guard let number = last, number > known?.number ?? 0 else { return nil }
    // Replaying more of the journal than is needed changes nothing.
    let journal = plan.logs[.only(of: .journal)]?.first?.added.baseNumber ?? 0
    return ManifestEdit.QueueCheckpoint(number: number, floor: max(journal, known?.floor ?? 0))
  }

  /// Whether the file with the name of a checkpoint's directory is one of this store, as its header
  /// says; nil where that is lost.
  private func isDirectory(of checkpoint: UInt32, _ snapshot: StoreSnapshot) -> Bool? {
    let name = FileNames.queues + "/" + FileNames.queueDirectory(checkpoint: checkpoint)
    guard let source = SegmentFiles.source(at: root.appending(name), fileSystem),
      let header = FileHeaderReading(source).header
    else { return nil }
    return header.kind == .queueDirectory && header.storeID == snapshot.header?.storeID
      && header.fileID == UInt64(checkpoint)
  }

  /// Makes the segments that new records would go into, where they are gone, and records what is
  /// lost before them: they begin behind every number that anything testifies to.
  private func makeActiveSegments(
    _ plan: inout ManifestPlan, _ snapshot: StoreSnapshot, _ unreadable: Set<String>
  ) throws(IOFailure) {
    let partitions = (0..<(plan.identity?.partitionCount ?? 0)).map {
      ManifestEdit.LogID(stream: .events, partition: $0)
    }
    let streams = FileHeader.Stream.allCases.dropFirst().map { ManifestEdit.LogID.only(of: $0) }
    for log in Set(plan.logs.keys).union(partitions + streams).sorted() {
      let last = plan.logs[log]?.last
      let testified = testifiedEnd(of: log, in: plan.logs, plan.queueCheckpoint, snapshot)
      if let last, !last.isSealed {
        if !unreadable.contains(StoreSnapshot.name(of: last.added)) {
          recordLoss(upTo: testified, &plan, snapshot, in: log)
        }
        try makeFile(of: last.added, snapshot)
        continue
      }
      // The others are made when they are first needed.
      guard last != nil || log.stream == .events || testified > 0 else { continue }
      plan.segmentIDMax += 1
      // What the queue files have taken over is not lost with the journal.
      let floor = log.stream == .journal ? plan.queueCheckpoint?.floor ?? 0 : 0
      let end = max(last?.end ?? 0, floor)
      let added = ManifestEdit.SegmentAdded(
        log: log, segmentID: plan.segmentIDMax, salt: environment.random(),
        baseNumber: max(end, testified), predecessorID: last?.added.segmentID ?? 0,
        predecessorChain: last?.summary?.chain ?? 0, created: environment.now())
      try makeFile(of: added, snapshot)
      plan.logs[log, default: []].append(ManifestState.Segment(added: added))
      plan.recordLoss(
        of: end..<added.baseNumber, in: added, .missingSegment, now: environment.now())
    }
  }

  /// Records what an active segment has lost at its end and its file does not testify to.
  private func recordLoss(
    upTo testified: UInt64, _ plan: inout ManifestPlan, _ snapshot: StoreSnapshot,
    in log: ManifestEdit.LogID
  ) {
    // What the manifest testifies to whoever opens the segment finds missing.
    guard let segments = plan.logs[log], let last = segments.last,
      testified > snapshot.evidence(segments, at: segments.count - 1)
    else { return }
    let summary = summary(of: last.added, segments, at: segments.count - 1, snapshot)
    let end = summary?.nextNumber ?? last.added.baseNumber
    plan.recordLoss(
      of: min(end, testified)..<testified, in: last.added, .lostSuffix, now: environment.now())
  }

  /// Makes an active segment's file where there is none: its header is known, and what it held is
  /// lost and found missing by whoever opens it.
  private func makeFile(
    of added: ManifestEdit.SegmentAdded, _ snapshot: StoreSnapshot
  ) throws(IOFailure) {
    let name = StoreSnapshot.name(of: added)
    let path = root.appending(name)
    guard try fileSystem.kind(of: path) == nil, let header = snapshot.header(of: added) else {
      return
    }
    try makeFolder(path.removingLastComponent())
    var bytes = ByteBuffer(capacity: FileHeader.size)
    header.encode(into: &bytes)
    try replace(name, with: bytes)
    note(.rebuilt, name, "an empty segment for new records")
  }

  private func makeFolder(_ path: FilePath) throws(IOFailure) {
    guard path != root, try fileSystem.kind(of: path) != .directory else { return }
    let parent = path.removingLastComponent()
    try makeFolder(parent)
    try fileSystem.createDirectory(path)
    try fileSystem.synchronizeDirectory(parent)
  }
}

extension ManifestState.Segment {
  /// The number behind its last record, as far as is known.
  fileprivate var end: UInt64 { summary?.nextNumber ?? added.baseNumber }
}

/// What the manifest of a repaired store says.
private struct ManifestPlan {
  var identity: ManifestEdit.StoreIdentity?
  var logs: [ManifestEdit.LogID: [ManifestState.Segment]]
  var queueCheckpoint: ManifestEdit.QueueCheckpoint?
  var segmentIDMax: UInt64
  /// What takes the place of the end that the last close names; nil where that holds.
  var checkpoints: ManifestEdit.CheckpointsEnd?
  private(set) var gaps: [ManifestEdit.RecordedGap] = []
  /// Those that no finding is about, and the files that they belong to.
  private(set) var losses: [(file: String, gap: ManifestEdit.RecordedGap)] = []
  private let state: ManifestState
  private var known: RecordedGaps
  /// The segments by the names of their files, once damage was looked up.
  private var segments: [String: ManifestEdit.SegmentAdded] = [:]

  init(_ state: ManifestState) {
    self.state = state
    known = RecordedGaps(state.gaps)
    identity = state.identity
    logs = state.logs
    queueCheckpoint = state.queueCheckpoint
    segmentIDMax = state.segmentIDMax
  }

  /// Whether it says more than the manifest that was found.
  var isChanged: Bool {
    !gaps.isEmpty || segmentIDMax > state.segmentIDMax
      || (checkpoints != nil && state.checkpointWitness.end.isKnown)
  }

  /// Records what a finding says about a segment; nil where that is no matter of the manifest, or
  /// recorded already.
  mutating func record(_ finding: FsckFinding, now: Timestamp) -> ManifestEdit.RecordedGap? {
    let damage = finding.damage
    guard let segment = find(damage.file), let range = damage.range,
      !known.cover(range, of: segment.log)
    else { return nil }
    let reason: ManifestEdit.GapReason
    switch damage.kind {
    case .damagedFrame, .missingRecords, .brokenChain, .badFileHeader: reason = .damaged
    case .lostSuffix: reason = .lostSuffix
    case .missingFile, .unreadable: reason = .missingSegment
    default: return nil
    }
    let from = damage.acknowledgedLoss?.from ?? Timestamp(microseconds: 0)
    let gap = ManifestEdit.RecordedGap(
      log: segment.log, segmentID: segment.segmentID, first: range.lowerBound,
      next: range.upperBound,
      reason: reason, from: from, to: max(from, damage.acknowledgedLoss?.to ?? now))
    gaps.append(gap)
    known.insert(gap)
    return gap
  }

  /// Records that a segment, or what was before it, has lost records, of which no finding tells.
  mutating func recordLoss(
    of numbers: Range<UInt64>, in added: ManifestEdit.SegmentAdded,
    _ reason: ManifestEdit.GapReason, now: Timestamp
  ) {
    guard !numbers.isEmpty, !known.cover(numbers, of: added.log) else { return }
    let gap = ManifestEdit.RecordedGap(
      log: added.log, segmentID: added.segmentID, first: numbers.lowerBound,
      next: numbers.upperBound, reason: reason, from: Timestamp(microseconds: 0), to: now)
    gaps.append(gap)
    known.insert(gap)
    losses.append((StoreSnapshot.name(of: added), gap))
  }

  private mutating func find(_ name: String) -> ManifestEdit.SegmentAdded? {
    if segments.isEmpty {
      for segment in logs.values.joined() {
        segments[StoreSnapshot.name(of: segment.added)] = segment.added
      }
    }
    return segments[name]
  }

  /// The edits that add up to it.
  ///
  /// - Throws: `.corrupt` where they contradict each other, or say what no reader takes.
  func edits() throws(FormatError) -> [ManifestEdit] {
    var edits: [ManifestEdit] = [.configuration(state.configuration ?? .usual)]
    if let identity { edits.append(.identity(identity)) }
    if let queueCheckpoint { edits.append(.queuesFiled(queueCheckpoint)) }
    let segments = logs.values.joined().sorted { $0.added.segmentID < $1.added.segmentID }
    for segment in segments {
      edits.append(.segmentAdded(segment.added))
      guard let summary = segment.summary else { continue }
      edits.append(
        .segmentSealed(
          ManifestEdit.SegmentSealed(segmentID: segment.added.segmentID, summary: summary)))
    }
    edits.append(.segmentIDFloor(segmentIDMax))
    edits += (state.gaps + gaps).map { .gap($0) }
    edits += state.snapshot.compactMap { edit in
      switch edit {
      case .readingFirst, .cut, .opened: edit
      case .closed(let time, let ends, let end): .closed(time, ends, checkpoints ?? end)
      default: nil
      }
    }
    var sum = ManifestState()
    for edit in edits { try sum.apply(edit) }
    try edits.checkCoding()
    return edits
  }
}

extension ManifestEdit.StoredConfiguration {
  /// What a store is made with unless somebody wants it otherwise.
  fileprivate static let usual = Self(codec: .lz4, segmentSize: 128 << 20, batchSize: 64 << 10)
}

extension ManifestEdit.RecordedGap {
  fileprivate var text: String {
    first == next
      ? "a damaged frame without records, before \(next), is recorded"
      : "\(first) up to \(next) are recorded as lost"
  }
}
