internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// Segment files that the manifest does not name: a crash came between making the file and naming
/// it, or between forgetting it and unlinking it.
enum OrphanSegments {
  /// Refuses a store whose manifest has lost edits.
  ///
  /// The edit that names a segment is durable before the first event goes into it, so a segment
  /// that holds events and was never named is no orphan: the events would vanish with it. Nor is
  /// that the damage of one log, because all logs share the edits, and what follows the lost one
  /// is lost for the others as well. A segment of theirs that was sealed would be written to again,
  /// and queue files of a checkpoint that nobody knows of any more would go as left over.
  ///
  /// - Returns: the logs of which nobody can tell, because a file or their folder cannot be read
  ///   now, and why. Nothing may be written to them: a segment that was never named, and is there
  ///   tomorrow, may have the next numbers.
  static func checkAllNamed(
    _ image: ManifestImage, context: LogContext
  ) throws(CommitLogFailure) -> [ManifestEdit.LogID: IOFailure] {
    var unknown: [ManifestEdit.LogID: IOFailure] = [:]
    for log in image.state.possibleLogs {
      let unnamed: FilePath?
      do throws(IOFailure) {
        unnamed = try firstUnnamed(log, image, context, &unknown[log])
      } catch {
        guard error.isUnreadable else { throw CommitLogFailure(error) }
        unknown[log] = error
        continue
      }
      guard let unnamed else { continue }
      throw .format(
        context.root.appending(FileNames.manifest), position: image.verdict.end.position,
        .corrupt(
          "edits that were once synced are gone: \(unnamed) holds events and is not named; run "
            + "`millrace fsck` on a copy"))
    }
    return unknown
  }

  private static func firstUnnamed(
    _ log: ManifestEdit.LogID, _ image: ManifestImage, _ context: LogContext,
    _ unknown: inout IOFailure?
  ) throws(IOFailure) -> FilePath? {
    let segments = image.state.logs[log] ?? []
    let known = Set(segments.map { context.segmentPath($0.added) })
    let directory = context.directory(of: log)
    guard try context.fileSystem.kind(of: directory) == .directory else { return nil }
    let files = try context.fileSystem.list(directory).filter {
      $0.kind == .file && $0.name.hasSuffix(log.stream.segmentSuffix)
    }
    let merged = merged(segments, files.map(\.name), context)
    for name in files.map(\.name) {
      let path = directory.appending(name)
      guard !known.contains(path) else { continue }
      let base = FileNames.parseSegmentStem(name)?.baseNumber
      if let base, merged.contains(base) { continue }
      do throws(IOFailure) {
        if try holdsEvents(path, image, context) { return path }
      } catch {
        if error.isNoFile { continue }
        guard error.isUnreadable else { throw error }
        // What begins before the active segment does is retired or was replaced.
        guard let base, base >= segments.last?.added.baseNumber ?? 0 else { continue }
        unknown = unknown ?? error
      }
    }
    return nil
  }

  /// Where sealed segments begin that are there.
  ///
  /// A merge that was cut short leaves events that stand in the sealed segment as well: while that
  /// one is there, nothing is lost with the other.
  private static func merged(
    _ segments: [ManifestState.Segment], _ names: [String], _ context: LogContext
  ) -> Set<UInt64> {
    let names = Set(names)
    return Set(
      segments.filter { $0.isSealed && names.contains(context.segmentName($0.added)) }
        .map(\.added.baseNumber))
  }

  /// Whether a file is a segment of this store that holds events and that the manifest never knew.
  private static func holdsEvents(
    _ path: FilePath, _ image: ManifestImage, _ context: LogContext
  ) throws(IOFailure) -> Bool {
    let file = try context.fileSystem.open(path, .readOnly)
    let source = StoredFrames(file, size: try file.size().bytes)
    var bytes = ByteBuffer(capacity: FileHeader.size)
    guard try source.append(0..<FileHeader.size, to: &bytes) else { return false }
    let header: FileHeader
    do throws(FormatError) {
      header = try bytes.withBytes { (bytes) throws(FormatError) in
        try FileHeader(decoding: bytes)
      }
    } catch {
      return false
    }
    guard header.storeID == image.header.storeID, image.state.neverNamed(header) else {
      return false
    }
    var scanner = FrameScanner(source, identity: header.identity)
    return try scanner.scan(from: FileHeader.size).frames.contains { $0.header.recordCount > 0 }
  }

  /// Moves them to the quarantine, so that nothing stands in the way of the ids to come; those that
  /// the manifest retired are removed.
  ///
  /// A full disk keeps them where they are, and so does a folder that may not be changed; no
  /// segment gets an id of theirs. So does a manifest that a crash could still take back: what it
  /// no longer names may be named again then.
  ///
  /// - Parameters:
  ///   - log: whose.
  ///   - isKnown: whether they are known to hold nothing; otherwise they stay.
  ///   - manifest: what the store consists of.
  ///   - context: where it is.
  /// - Returns: whether their folder could be listed.
  /// - Throws: ``CommitLogFailure``.
  static func setAside(
    _ log: ManifestEdit.LogID, isKnown: Bool, manifest: ManifestLog, context: LogContext
  ) throws(CommitLogFailure) -> Bool {
    let state = manifest.state
    let segments = state.logs[log] ?? []
    let known = Set(segments.map { context.stem($0.added) })
    let prefix = (log.stream == .events ? "" : log.stream.folder + "-") + log.folderName + "-"
    let retired = Set(state.retired.filter { $0.log == log }.map { context.stem($0) })
    let directory = context.directory(of: log)
    var left: [(baseNumber: UInt64, segmentID: UInt64)] = []
    var merged: Set<UInt64> = []
    do throws(IOFailure) {
      guard try context.fileSystem.kind(of: directory) == .directory else {
        return true
      }
      let mayMove = isKnown && manifest.isSettled
      let entries = try context.fileSystem.list(directory)
      let files = entries.filter { $0.kind == .file }
      merged = self.merged(segments, files.map(\.name), context)
      for entry in entries {
        guard let parsed = FileNames.parseSegmentStem(entry.name) else { continue }
        let stem = FileNames.segmentStem(
          baseNumber: parsed.baseNumber, segmentID: parsed.segmentID)
        guard !known.contains(stem) else { continue }
        let path = directory.appending(entry.name)
        do throws(IOFailure) {
          guard mayMove, entry.kind == .file else {
            left.append(parsed)
            continue
          }
          if FileNames.isDerived(entry.name) || retired.contains(stem) {
            // Derived from a segment that is not part of the store (I6), or forgotten on purpose.
            try context.fileSystem.remove(path)
          } else {
            try context.quarantine.take(path, name: prefix + entry.name)
          }
        } catch {
          guard error.isStorageFull || error.isUnreadable else { throw error }
          left.append(parsed)
        }
      }
    } catch {
      // A folder that was listed a moment ago tells of more than itself.
      guard error.isUnreadable, !isKnown else { throw CommitLogFailure(error) }
      return false
    }
    manifest.avoid(
      Set(left.map(\.segmentID)),
      leftOfMerges: Set(left.filter { merged.contains($0.baseNumber) }.map(\.segmentID)))
    return true
  }
}

extension ManifestState {
  /// The logs that a store may have files of: its partitions, those that are made on demand, and
  /// whatever else the manifest names.
  var possibleLogs: [ManifestEdit.LogID] {
    let others = FileHeader.Stream.madeOnDemand.map { ManifestEdit.LogID.only(of: $0) }
    return Set(recordedLogs + others).sorted()
  }

  /// The logs that there are: the store's partitions, and those made on demand.
  var recordedLogs: [ManifestEdit.LogID] {
    let partitions = (0..<(identity?.partitionCount ?? 0)).map {
      ManifestEdit.LogID(stream: .events, partition: $0)
    }
    return partitions + logs.keys.filter { $0.stream != .events }.sorted()
  }

  /// The segment of a log that new records go into; every log has one.
  func activeSegment(
    of log: ManifestEdit.LogID, in root: FilePath
  ) throws(CommitLogFailure) -> ManifestEdit.SegmentAdded {
    guard let last = logs[log]?.last, !last.isSealed else {
      throw .format(
        root.appending(FileNames.manifest), position: 0,
        .corrupt("the manifest names no active segment for \(log.text)"))
    }
    return last.added
  }
}
