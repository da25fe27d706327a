internal import EventModel
internal import LogFormat
internal import StorageIO
internal import Synchronization
internal import SystemPackage

/// Work on sealed segments that nobody waits for: run by one thread, beside all others.
extension PartitionLog {
  /// Finds the sealed segments that have no footer, once after opening: one look at the folder.
  package func findMissingFooters() throws(CommitLogFailure) {
    let sealed = snapshot.segments.filter { $0.summary != nil }
    guard !sealed.isEmpty else { return }
    let names = try CommitLogFailure.wrapping { () throws(IOFailure) in
      Set(try context.fileSystem.list(context.directory(of: id)).map(\.name))
    }
    for segment in sealed
    where !names.contains(segment.footerPath.lastComponent?.string ?? "") {
      segment.footer.noteAbsent()
    }
  }

  /// Makes the footer of one sealed segment that was found to lack a good one.
  ///
  /// - Returns: whether there was one to make.
  package func writeMissingFooter(_ mappings: MappingCache) throws(CommitLogFailure) -> Bool {
    let segment = snapshot.segments.first { segment in
      segment.summary != nil && segment.footer.isAbsent && !segment.footer.wasTried
    }
    guard let segment else { return false }
    segment.footer.noteTried()
    _ = try FooterWriter.write(segment, mappings: mappings, context: context)
    return true
  }

  /// Merges the small batches of one sealed segment where that is worth while.
  ///
  /// - Returns: whether there was a segment to merge.
  package func mergeSmallBatches(_ mappings: MappingCache) throws(CommitLogFailure) -> Bool {
    let segment = snapshot.segments.first { segment in
      guard let summary = segment.summary, !segment.merging.wasTried else { return false }
      return SegmentMerge.isWorthwhile(summary, batchSize: context.settings.batchSize)
    }
    guard let segment else { return false }
    segment.merging.noteTried()
    var added = segment.added
    added.segmentID = manifest.takeSegmentID()
    added.salt = context.environment.random()
    guard let summary = try merge(segment, into: added, mappings) else { return true }
    let merged = SegmentHandle(added, summary: summary, context: context)
    merged.footer.noteAbsent()
    shared.withLock { shared in
      guard let index = shared.sealed.firstIndex(where: { $0 === segment }) else { return }
      shared.sealed[index] = merged
      shared.publish(highWatermark)
    }
    mappings.forget(segment)
    removeFiles(of: segment)
    return true
  }

  /// Writes the merged segment and names it in the manifest; what becomes of an attempt that fails
  /// is no part of the store and goes.
  private func merge(
    _ segment: SegmentHandle, into added: ManifestEdit.SegmentAdded, _ mappings: MappingCache
  ) throws(CommitLogFailure) -> SegmentSummary? {
    let unnamed = SegmentHandle(added, summary: nil, context: context)
    do throws(CommitLogFailure) {
      let written = try SegmentMerge.write(
        added, from: segment, mappings: mappings, context: context)
      guard let summary = written else {
        removeFiles(of: unnamed)
        return nil
      }
      try manifest.append([
        .segmentReplaced(
          ManifestEdit.SegmentReplaced(
            segmentID: segment.added.segmentID, added: added, summary: summary))
      ])
      return summary
    } catch .poisoned(let cause) {
      // Whether the manifest names it is not known before the next open.
      throw .poisoned(cause)
    } catch {
      removeFiles(of: unnamed)
      throw error
    }
  }

  /// Lets what could not be done be tried again.
  package func retryMaintenance() {
    for segment in snapshot.segments {
      segment.footer.forgetTry()
      segment.merging.forgetTry()
    }
  }

  /// Removes what is no part of the store any more; the next open tries again what fails.
  func removeFiles(of segment: SegmentHandle) {
    for path in [segment.path, segment.footerPath, segment.indexPath] {
      do throws(IOFailure) {
        try context.fileSystem.remove(path)
      } catch {
        continue
      }
    }
  }

  /// Rolls if the active segment holds anything: what it holds is sealed.
  package func sealActive() throws(CommitLogFailure) {
    _ = try synchronize()
    try writing.withLock { (writing) throws(CommitLogFailure) in
      try checkSound()
      guard writing.repair == nil, writing.segment.summary.recordCount > 0 else { return }
      try roll(&writing, baseNumber: writing.segment.end.nextNumber)
    }
  }
}
