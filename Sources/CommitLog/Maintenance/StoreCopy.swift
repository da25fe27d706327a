internal import EventModel
package import LogFormat
package import StorageIO
package import SystemPackage

/// A consistent copy of a store, also of one that is being written: what is sealed by a second name
/// for its file, what is active up to where it is known to be durable, and a manifest of exactly
/// these files, as if the store had been closed at that moment.
///
/// The manifest comes last: a crash before that leaves a folder that is no store, and the next
/// attempt begins it again.
package struct StoreCopy {
  /// A store at one moment, as its writer or a follower knows it.
  package struct Source {
    package let context: LogContext
    /// Names the snapshots' segments and no others.
    package let manifest: ManifestState
    package let snapshots: [LogSnapshot]
    /// For each log, the number below which everything is known to have been durable.
    fileprivate let evidence: [ManifestEdit.LogID: UInt64]

    /// - Parameters:
    ///   - context: of the store that is copied.
    ///   - manifest: what it consisted of when the snapshots were taken, or a moment before or
    ///     after: what came or went in between is taken as the snapshots have it.
    ///   - snapshots: one for each log.
    ///   - evidence: what testifies to durable numbers of a log beside the manifest and what the
    ///     snapshot shows.
    package init(
      context: LogContext, manifest: ManifestState, snapshots: [LogSnapshot],
      evidence: [ManifestEdit.LogID: UInt64] = [:]
    ) {
      self.context = context
      var manifest = manifest
      // A log that has been named a moment ago and holds nothing yet.
      for log in manifest.logs.keys where !snapshots.contains(where: { $0.log == log }) {
        manifest.replaceSegments(of: log, with: [], gaps: [])
      }
      for snapshot in snapshots {
        manifest.replaceSegments(
          of: snapshot.log,
          with: snapshot.segments.map { .init(added: $0.added, summary: $0.summary) },
          gaps: snapshot.gaps)
      }
      self.manifest = manifest
      self.snapshots = snapshots
      var known = evidence
      for snapshot in snapshots {
        let log = snapshot.log
        known[log] = max(known[log] ?? 0, manifest.evidence(of: log), snapshot.highWatermark)
      }
      self.evidence = known
    }

    package init(_ log: CommitLog) {
      while true {
        let manifest = log.manifest.state
        let first = log.existingLog(.journal)?.snapshot.startNumber
        // The journal after the outcomes that are copied from it: they would tell of records that
        // it does not hold.
        let snapshots = Array(log.logs.reversed().map(\.snapshot).reversed())
        // It may have let go meanwhile of an outcome that was not copied before, and with a
        // checkpoint of what belongs to the one before.
        let journal = snapshots.first { $0.log == .only(of: .journal) }
        guard log.manifest.queueCheckpoint == manifest.queueCheckpoint,
          first == nil || journal?.startNumber == first
        else { continue }
        self.init(context: log.context, manifest: manifest, snapshots: snapshots)
        return
      }
    }
  }

  /// How often a copy is begun again because the store moved on, before that is an error.
  private static let attemptsMax = 100
  private static var copySize: Int { 256 << 10 }

  private var source: Source
  private let context: LogContext
  /// What the original has lost at the ends of its logs and its manifest does not record.
  private var losses: [ManifestEdit.RecordedGap] = []
  private var fileSystem: any FileSystem { context.fileSystem }

  /// Makes a copy.
  ///
  /// - Parameters:
  ///   - target: a folder that is empty or not there yet.
  ///   - environment: files, time and chance.
  ///   - readSource: tells what to copy; asked again when the store has moved on. What it says of
  ///     consumers' checkpoints must be older than what it says of the log (I3).
  ///   - checkpoints: the consumers' checkpoints that were read with the source.
  /// - Returns: what was acknowledged and is gone from the end of a log of the original, where its
  ///   manifest did not say so: the copy's does, and numbers go on behind it (I15). Without numbers
  ///   where a file is gone and nothing tells what was in it.
  /// - Throws: ``CommitLogFailure``; then the folder holds no store.
  @discardableResult
  package static func make(
    at target: FilePath, environment: EngineEnvironment,
    readSource: () throws(CommitLogFailure) -> Source,
    checkpoints: () -> [CheckpointEntry]
  ) throws(CommitLogFailure) -> [ManifestEdit.RecordedGap] {
    let lock = try CommitLog.takeVacant(target, environment.fileSystem)
    defer { withExtendedLifetime(lock) {} }
    try mark(target, environment.fileSystem)
    var attempt = 0
    var failed: ManifestState?
    while true {
      attempt += 1
      let source = try readSource()
      var copy = StoreCopy(
        source: source,
        context: LogContext(
          root: target, storeID: source.context.storeID, environment: environment,
          settings: source.context.settings))
      do throws(CommitLogFailure) {
        try copy.clear()
        try copy.copyQueueFiles()
        // What the queue files say no more by now, the journal says from here on.
        let later = try readSource()
        guard later.manifest.queueCheckpoint == source.manifest.queueCheckpoint else {
          copy.discard()
          continue
        }
        copy.source = later
        let ends = try copy.copyLogs()
        let checkpointsEnd = try copy.wrapping { () throws(IOFailure) in
          try CommitLog.writeCheckpoints(checkpoints(), in: copy.context)
        }
        try copy.writeManifest(ends, checkpointsEnd)
        return copy.losses
      } catch {
        copy.discard()
        // The same manifest as before: what is missing was not retired, it is lost.
        guard error.isAboutMissingFile, attempt < attemptsMax, source.manifest != failed else {
          throw error
        }
        failed = source.manifest
      }
    }
  }

  /// Says that the folder holds a copy that is not whole, before anything is put into it.
  private static func mark(
    _ target: FilePath, _ fileSystem: any FileSystem
  ) throws(CommitLogFailure) {
    let marker = target.appending(FileNames.unfinished)
    try CommitLogFailure.wrapping { () throws(IOFailure) in
      guard try fileSystem.kind(of: marker) == nil else { return }
      _ = try fileSystem.open(marker, .create)
      try fileSystem.synchronizeDirectory(target)
    }
  }

  /// Removes what an attempt before this one made.
  private func clear() throws(CommitLogFailure) {
    try wrapping { () throws(IOFailure) in
      try CommitLog.clearLogs(in: context)
      try fileSystem.createDirectory(context.root.appending(FileNames.partitions))
    }
  }

  /// Gives the queue files that the manifest covers, and their directory, a second name.
  ///
  /// A file that goes meanwhile holds nothing that waits.
  private func copyQueueFiles() throws(CommitLogFailure) {
    guard let checkpoint = source.manifest.queueCheckpoint?.number else { return }
    let (from, to) = (QueueFiles(source.context), QueueFiles(context))
    let folder = context.root.appending(FileNames.queues)
    try wrapping { () throws(IOFailure) in try fileSystem.createDirectory(folder) }
    let volume = try to.openVolume()
    for (device, number) in try from.list() where number <= checkpoint {
      try wrapping { () throws(IOFailure) in
        let target = to.path(of: device, checkpoint: number)
        let directory = target.removingLastComponent()
        if try fileSystem.kind(of: directory) == nil { try fileSystem.createDirectory(directory) }
        do throws(IOFailure) {
          try link(from.path(of: device, checkpoint: number), to: target)
        } catch  where error.isMissing {
          return
        }
      }
    }
    try wrapping { () throws(IOFailure) in
      do throws(IOFailure) {
        try link(
          from.directoryPath(checkpoint: checkpoint), to: to.directoryPath(checkpoint: checkpoint))
      } catch  where error.isMissing {
        // Derived data, or the store has moved on.
      }
      try volume.synchronize()
    }
  }

  /// Makes the segments' files and returns where the active ones end.
  private mutating func copyLogs() throws(CommitLogFailure) -> [ManifestEdit.LogEnd] {
    var ends: [ManifestEdit.LogEnd] = []
    for snapshot in source.snapshots {
      let directory = context.directory(of: snapshot.log)
      let folder = directory.removingLastComponent()
      try wrapping { () throws(IOFailure) in
        if try fileSystem.kind(of: folder) == nil { try fileSystem.createDirectory(folder) }
        try fileSystem.createDirectory(directory)
      }
      for segment in snapshot.segments {
        guard let summary = segment.summary else { continue }
        do throws(IOFailure) {
          try link(segment)
        } catch {
          // The gap in the manifest stands for it, here as there.
          let numbers = segment.baseNumber..<summary.nextNumber
          guard error.isMissing, RecordedGaps(snapshot.gaps).cover(numbers, of: snapshot.log) else {
            throw CommitLogFailure(error)
          }
        }
      }
      if let active = snapshot.segments.last, active.summary == nil {
        ends.append(try copyActive(active, of: snapshot))
      }
      try wrapping { () throws(IOFailure) in try fileSystem.synchronizeDirectory(directory) }
    }
    let folders = Set([FileNames.partitions] + source.snapshots.map(\.log.stream.folder))
    try wrapping { () throws(IOFailure) in
      for folder in folders.sorted() {
        try fileSystem.synchronizeDirectory(context.root.appending(folder))
      }
      try fileSystem.synchronizeDirectory(context.root)
    }
    return ends
  }

  /// Gives a sealed segment's files, which nothing changes any more, a second name.
  private func link(_ segment: SegmentHandle) throws(IOFailure) {
    try link(segment.path, to: context.segmentPath(segment.added))
    // What is derived from it may come or go at any moment.
    for (path, target) in [
      (segment.footerPath, context.footerPath(segment.added)),
      (segment.indexPath, context.indexPath(segment.added)),
    ] where try fileSystem.kind(of: path) == .file {
      do throws(IOFailure) {
        try link(path, to: target)
      } catch  where error.isMissing {
        continue
      }
    }
  }

  private func link(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    do throws(IOFailure) {
      try fileSystem.link(path, to: target)
    } catch  where error.isLinkRefused {
      let file = try fileSystem.open(path, .readOnly)
      try copy(file, size: try file.size().bytes, to: target)
    }
  }

  /// Copies what is durable of an active segment, and reads the copy as recovery would.
  ///
  /// Where a file is gone there is an empty one in the copy.
  private mutating func copyActive(
    _ segment: SegmentHandle, of snapshot: LogSnapshot
  ) throws(CommitLogFailure) -> ManifestEdit.LogEnd {
    guard let file = segment.activeFile else { throw .missingFile(segment.path) }
    // A copy that is made without it would say that it is lost.
    if let place = snapshot.unreadable { throw .unreadable(place) }
    let path = context.segmentPath(segment.added)
    try wrapping { () throws(IOFailure) in
      if file is LostFile {
        _ = try ActiveSegment.create(segment.added, context: context)
      } else {
        try copy(file, size: snapshot.activeEnd, to: path)
      }
    }
    let copied = try wrapping { () throws(IOFailure) in try fileSystem.open(path, .readOnly) }
    let scan = try SegmentScan.scan(
      SegmentHandle(segment.added, summary: nil, context: context), file: copied, closedEnd: nil,
      evidence: source.evidence[snapshot.log] ?? 0, context: context)
    note(scan, isMissing: file is LostFile, of: snapshot)
    return ManifestEdit.LogEnd(
      log: segment.added.log, segmentID: segment.added.segmentID, summary: scan.summary)
  }

  /// Notes what a log's end has lost, unless the manifest says so already.
  private mutating func note(_ scan: SegmentScan, isMissing: Bool, of snapshot: LogSnapshot) {
    let end = scan.verdict.end.nextNumber
    let lost = scan.verdict.lostSuffix ?? end..<end
    guard isMissing || (!lost.isEmpty && !RecordedGaps(snapshot.gaps).cover(lost, of: snapshot.log))
    else {
      return
    }
    let last = ([scan.summary] + snapshot.segments.reversed().compactMap(\.summary))
      .first { $0.recordCount > 0 }
    let from = last?.lastTime ?? Timestamp(microseconds: 0)
    losses.append(
      ManifestEdit.RecordedGap(
        log: snapshot.log, segmentID: scan.added.segmentID, first: lost.lowerBound,
        next: lost.upperBound, reason: isMissing ? .missingSegment : .lostSuffix, from: from,
        to: max(from, context.environment.now())))
  }

  private func copy(
    _ file: any StorageFile, size: Int, to path: FilePath
  ) throws(IOFailure) {
    let target = try fileSystem.open(path, .create)
    try Quarantine.copy(0..<size, of: file, to: target)
    try target.synchronize()
  }

  /// Names exactly the files that were made: from the moment this is durable the copy is a store.
  private func writeManifest(
    _ ends: [ManifestEdit.LogEnd], _ checkpoints: ManifestEdit.CheckpointsEnd
  ) throws(CommitLogFailure) {
    let edits = source.manifest.snapshot.filter { edit in
      switch edit {
      // They tell of the original's tails and of its writers.
      case .cut, .closed, .opened: false
      default: true
      }
    }
    _ = try ManifestLog.create(
      at: context.root.appending(FileNames.manifest), storeID: context.storeID,
      edits: edits + losses.filter { $0.first < $0.next }.map { .gap($0) }
        + [.closed(context.environment.now(), ends, checkpoints)], environment: context.environment)
    try wrapping { () throws(IOFailure) in
      try fileSystem.remove(context.root.appending(FileNames.unfinished))
      try fileSystem.synchronizeDirectory(context.root)
    }
  }

  /// Removes what an attempt made; the next one removes the rest.
  private func discard() {
    do throws(IOFailure) {
      let checkpoints = context.root.appending(FileNames.checkpoints)
      if try fileSystem.kind(of: checkpoints) != nil { try fileSystem.remove(checkpoints) }
      try CommitLog.clearLogs(in: context)
    } catch {
      return
    }
  }

  private func wrapping<Value>(
    _ body: () throws(IOFailure) -> Value
  ) throws(CommitLogFailure) -> Value {
    try CommitLogFailure.wrapping(body)
  }
}

extension CommitLogFailure {
  /// Whether a file is gone that was there a moment ago.
  fileprivate var isAboutMissingFile: Bool {
    switch self {
    case .missingFile: true
    case .io(let failure): failure.isMissing
    default: false
    }
  }
}
