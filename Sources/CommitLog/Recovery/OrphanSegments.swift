internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// Segment files that the manifest does not name: a crash came between making the file and naming
/// it, or between forgetting it and unlinking it.
enum OrphanSegments {
  /// Moves them to the quarantine, so that nothing stands in the way of the ids to come.
  ///
  /// A full disk keeps them where they are; a segment that needs the name then says so.
  static func setAside(
    _ log: ManifestEdit.LogID, manifest: ManifestState, context: LogContext
  ) throws(CommitLogFailure) {
    let known = Set((manifest.logs[log] ?? []).map { context.stem($0.added) })
    let directory = context.directory(of: log)
    do throws(IOFailure) {
      for entry in try context.fileSystem.list(directory) where entry.kind == .file {
        guard let parsed = FileNames.parseSegmentStem(entry.name) else { continue }
        let stem = FileNames.segmentStem(
          baseNumber: parsed.baseNumber, segmentID: parsed.segmentID)
        guard !known.contains(stem) else { continue }
        let path = directory.appending(entry.name)
        if entry.name.hasSuffix(FileNames.indexSuffix) {
          // Derived from a segment that is not part of the store (I6).
          try context.fileSystem.remove(path)
        } else {
          try context.quarantine.take(
            path, name: FileNames.partition(log.partition) + "-" + entry.name)
        }
      }
    } catch {
      guard error.isStorageFull else { throw CommitLogFailure(error) }
    }
  }
}
