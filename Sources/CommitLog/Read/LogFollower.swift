internal import EventModel
package import LogFormat
package import StorageIO
internal import Synchronization
package import SystemPackage

/// A store as another process, or none, writes it: read without the lock and without writing a
/// byte (I14).
///
/// Beside a live writer it shows what the writer's watermarks prove. Without one it syncs through
/// its own descriptors first and then shows every whole frame, as recovery would.
package final class LogFollower: Sendable {
  package let context: LogContext
  package let mappings: MappingCache
  package let partitionCount: Int
  /// What was known about durable numbers from outside the log when it was opened.
  private let evidence: [UInt32: UInt64]
  private let state: Mutex<State>

  private struct State {
    var manifest: ManifestState
    var manifestSize: Int
    var snapshots: [LogSnapshot]
    var reports: [RecoveryReport]
    /// The active files' sizes when they were scanned: a file that has not grown has nothing new.
    var sizes: [Int]
    /// Whether an active file went on behind its last frame, as after a crash that kept its length
    /// and not its bytes: then the next frame does not make it grow.
    var hasRoom = false
    /// What of each active segment the next look need not read again; nil where bits were healed.
    var proven: [ManifestEdit.LogEnd?] = []

    /// Where batches of an active segment stand, as far as it was known already.
    func index(of added: ManifestEdit.SegmentAdded, in partition: UInt32) -> SparseIndex? {
      guard partition < snapshots.count else { return nil }
      let active = snapshots[Int(partition)].segments.last
      return active?.added == added ? active?.index : nil
    }

    /// The handles of a partition's sealed segments, with what readers have learned about them.
    func sealed(in partition: UInt32) -> [UInt64: SegmentHandle] {
      guard partition < snapshots.count else { return [:] }
      let sealed = snapshots[Int(partition)].segments.dropLast()
      return Dictionary(sealed.map { ($0.added.segmentID, $0) }) { first, _ in first }
    }
  }

  private init(context: LogContext, evidence: [UInt32: UInt64], state: State) {
    self.context = context
    self.evidence = evidence
    mappings = MappingCache(context.fileSystem)
    partitionCount = state.snapshots.count
    self.state = Mutex(state)
  }

  /// Opens a store for reading.
  ///
  /// - Parameters:
  ///   - root: the store's folder.
  ///   - environment: files, time and chance.
  ///   - evidence: what is known about durable numbers from outside the log, such as consumers'
  ///     checkpoints: asked for before the segments are read.
  /// - Returns: the store as it is now.
  /// - Throws: ``CommitLogFailure``.
  package static func open(
    at root: FilePath, environment: EngineEnvironment,
    evidence: (StoreID) throws(CommitLogFailure) -> [UInt32: UInt64]
  ) throws(CommitLogFailure) -> LogFollower {
    let image = try ManifestImage.read(root: root, fileSystem: environment.fileSystem)
    guard let stored = image.state.configuration else {
      throw .notAStore(root, "its manifest names no configuration")
    }
    let context = LogContext(
      root: root, storeID: image.header.storeID, environment: environment,
      settings: LogSettings(
        codec: stored.codec, segmentSize: Int(clamping: stored.segmentSize),
        batchSize: Int(clamping: stored.batchSize)))
    let evidence = try evidence(image.header.storeID)
    let state = try scan(context, evidence, known: nil)
    return LogFollower(context: context, evidence: evidence, state: state)
  }

  /// Whether a process that writes is at work on the store.
  package func writer() throws(CommitLogFailure) -> LockHolder? {
    try Self.writer(context)
  }

  /// Manifest and snapshots of one moment.
  package var copySource: StoreCopy.Source {
    state.withLock {
      StoreCopy.Source(context: context, manifest: $0.manifest, snapshots: $0.snapshots)
    }
  }

  package var manifest: ManifestState { state.withLock { $0.manifest } }

  package func snapshot(of partition: Int) -> LogSnapshot {
    state.withLock { $0.snapshots[partition] }
  }

  package func report(of partition: Int) -> RecoveryReport {
    state.withLock { $0.reports[partition] }
  }

  /// Looks for what was written since, and returns whether anything may be new.
  package func refresh() throws(CommitLogFailure) -> Bool {
    let known = state.withLock { $0 }
    let sizes = try Self.sizes(known.snapshots.map(\.segments), context)
    let manifestSize = try Self.manifestSize(context)
    guard sizes != known.sizes || manifestSize != known.manifestSize || known.hasRoom else {
      return false
    }
    let fresh = try Self.scan(context, evidence, known: known)
    state.withLock { state in
      // Two refreshes may overlap: what has been shown stays shown.
      let shown = state.snapshots
      state = fresh
      for (index, old) in shown.enumerated()
      where old.highWatermark > fresh.snapshots[index].highWatermark {
        state.snapshots[index] = old
      }
    }
    return true
  }

  private static func writer(_ context: LogContext) throws(CommitLogFailure) -> LockHolder? {
    try CommitLogFailure.wrapping { () throws(IOFailure) in
      try context.fileSystem.lockHolder(of: context.root.appending(FileNames.lock))
    }
  }

  private static func manifestSize(_ context: LogContext) throws(CommitLogFailure) -> Int {
    try CommitLogFailure.wrapping { () throws(IOFailure) in
      let path = context.root.appending(FileNames.manifest)
      return try context.fileSystem.open(path, .readOnly).size().bytes
    }
  }

  private static func sizes(
    _ segments: [[SegmentHandle]], _ context: LogContext
  ) throws(CommitLogFailure) -> [Int] {
    try CommitLogFailure.wrapping { () throws(IOFailure) in
      var sizes: [Int] = []
      for list in segments { sizes.append(try list.last?.activeFile?.size().bytes ?? 0) }
      return sizes
    }
  }

  /// Reads the manifest and scans every active segment.
  ///
  /// A roll in between is met by beginning again.
  private static func scan(
    _ context: LogContext, _ evidence: [UInt32: UInt64], known: State?
  ) throws(CommitLogFailure) -> State {
    var attempt = 0
    while true {
      let manifestSize = try manifestSize(context)
      do throws(CommitLogFailure) {
        if let known, attempt == 0, known.manifestSize == manifestSize {
          return try scan(known.manifest, manifestSize, context, evidence, known: known)
        }
        let image = try ManifestImage.read(root: context.root, fileSystem: context.fileSystem)
        if known == nil { try OrphanSegments.checkAllNamed(image, context: context) }
        return try scan(image.state, manifestSize, context, evidence, known: known)
      } catch {
        // What the manifest named a moment ago, or did not yet name, is no damage if it says
        // something else now.
        attempt += 1
        guard attempt < 10, isAboutNames(error) else { throw error }
      }
    }
  }

  private static func isAboutNames(_ failure: CommitLogFailure) -> Bool {
    switch failure {
    case .missingFile, .format: true
    default: false
    }
  }

  private static func scan(
    _ manifest: ManifestState, _ manifestSize: Int, _ context: LogContext,
    _ evidence: [UInt32: UInt64], known: State?
  ) throws(CommitLogFailure) -> State {
    var state = State(
      manifest: manifest, manifestSize: manifestSize, snapshots: [], reports: [], sizes: [])
    let isLive = try writer(context) != nil
    for partition in 0..<(manifest.identity?.partitionCount ?? 0) {
      let log = ManifestEdit.LogID(stream: .events, partition: partition)
      let segments = manifest.logs[log] ?? []
      guard let last = segments.last, !last.isSealed else {
        throw .format(
          context.root.appending(FileNames.manifest), position: 0,
          .corrupt("the manifest names no active segment for partition \(partition)"))
      }
      let proven = known.flatMap { $0.proven[Int(partition)] }
      let (active, size, scan, healed) = try scanActive(
        last.added, closedEnd: proven ?? manifest.closedEnd(of: log),
        evidence: max(evidence[partition] ?? 0, manifest.evidence(of: log)), isLive: isLive,
        index: known?.index(of: last.added, in: partition) ?? SparseIndex(), context)
      let handles = known?.sealed(in: partition) ?? [:]
      let sealed = segments.dropLast().map { segment in
        handles[segment.added.segmentID]
          ?? SegmentHandle(segment.added, summary: segment.summary, context: context)
      }
      let end = scan.verdict.end.nextNumber
      // A checkpoint may prove a part of a batch, and with it the whole: a batch is synced as one.
      let watermark = max(min(end, scan.verdict.watermark), scan.proven.nextNumber)
      state.snapshots.append(
        LogSnapshot(
          log: log, segments: sealed + [active],
          highWatermark: isLive ? watermark : scan.verdict.nextNumber,
          activeEnd: isLive ? Int(scan.proven.endPosition) : scan.verdict.end.position,
          activeEventSize: scan.summary.eventSize,
          gaps: manifest.gaps.filter { $0.log == log }))
      state.sizes.append(size)
      if scan.verdict.end.position < size { state.hasRoom = true }
      state.proven.append(
        healed.isEmpty
          ? ManifestEdit.LogEnd(
            log: log, segmentID: last.added.segmentID, summary: scan.proven) : nil)
      var report = RecoveryReport(log: log)
      if !isLive {
        report.lostSuffix = scan.verdict.lostSuffix
        report.possiblyAcknowledged = scan.verdict.possiblyAcknowledged
        report.findings = scan.verdict.findings
        report.healed = healed
      }
      state.reports.append(report)
    }
    return state
  }

  private typealias ActiveScan = (
    handle: SegmentHandle, size: Int, scan: SegmentScan, healed: [Int]
  )

  /// Scans an active segment and, where nobody writes, reads flipped bits at its end as recovery
  /// would set them right.
  private static func scanActive(
    _ added: ManifestEdit.SegmentAdded, closedEnd: ManifestEdit.LogEnd?, evidence: UInt64,
    isLive: Bool, index: SparseIndex, _ context: LogContext
  ) throws(CommitLogFailure) -> ActiveScan {
    let stored = try open(added, isLive: isLive, context)
    let size = try CommitLogFailure.wrapping { () throws(IOFailure) in try stored.size().bytes }
    let closedEnd = closedEnd.flatMap { $0.segmentID == added.segmentID ? $0.summary : nil }
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
        return (handle, size, scan, repairs.map(\.position))
      }
      repairs.append(repair)
      file = HealedFile(stored, repairs)
    }
  }

  private static func open(
    _ added: ManifestEdit.SegmentAdded, isLive: Bool, _ context: LogContext
  ) throws(CommitLogFailure) -> any StorageFile {
    do throws(IOFailure) {
      let file = try context.fileSystem.open(context.segmentPath(added), .readOnly)
      // Nobody else will: what is shown must survive a crash (I3).
      if !isLive { try file.synchronize() }
      return file
    } catch {
      throw error.isMissing ? .missingFile(context.segmentPath(added)) : CommitLogFailure(error)
    }
  }
}
