internal import EventModel
package import LogFormat
internal import StorageIO
internal import Synchronization
internal import SystemPackage

/// The logs besides the partitions of events, each made when it is first needed: a store that does
/// without them has no trace of them.
extension CommitLog {
  /// The log of a stream; nil if it has never been needed.
  package func existingLog(_ stream: FileHeader.Stream) -> PartitionLog? {
    streams.withLock { $0[stream] }
  }

  /// The log of a stream, made if there is none.
  ///
  /// Blocks. Durable when it returns.
  ///
  /// - Throws: ``CommitLogFailure``; then there is none, and the next call tries again.
  package func log(_ stream: FileHeader.Stream) throws(CommitLogFailure) -> PartitionLog {
    if let log = existingLog(stream) { return log }
    return try makingStream.withLock { (_) throws(CommitLogFailure) in
      if let log = existingLog(stream) { return log }
      let log = ManifestEdit.LogID(stream: stream, partition: 0)
      if manifest.state.logs[log] == nil { try make(log) }
      let made = try Self.recover(log, manifest, manifest.state, evidence: 0, context)
      streams.withLock { $0[stream] = made }
      return made
    }
  }

  /// The partitions, then the streams that there are.
  var allLogs: [PartitionLog] {
    partitions + streams.withLock { $0.sorted { $0.key.rawValue < $1.key.rawValue }.map(\.value) }
  }

  /// Makes a log's folder and its first segment, and names that in the manifest.
  private func make(_ log: ManifestEdit.LogID) throws(CommitLogFailure) {
    let directory = context.directory(of: log)
    try CommitLogFailure.wrapping { () throws(IOFailure) in
      for folder in [directory.removingLastComponent(), directory] {
        if try context.fileSystem.kind(of: folder) == nil {
          try context.fileSystem.createDirectory(folder)
        }
        try context.fileSystem.synchronizeDirectory(folder.removingLastComponent())
      }
    }
    try OrphanSegments.setAside(log, manifest: manifest.state, context: context)
    var added: ManifestEdit.SegmentAdded?
    do throws(CommitLogFailure) {
      try manifest.addSegment { (segmentID) throws(CommitLogFailure) in
        let first = ManifestEdit.SegmentAdded(
          log: log, segmentID: segmentID, salt: context.environment.random(), baseNumber: 0,
          predecessorID: 0, predecessorChain: 0, created: context.environment.now())
        try CommitLogFailure.wrapping { () throws(IOFailure) in
          _ = try ActiveSegment.create(first, context: context)
        }
        added = first
        return [.segmentAdded(first)]
      }
    } catch .poisoned(let cause) {
      // The edit may survive, and with it the need for the file.
      throw .poisoned(cause)
    } catch {
      if let added { ActiveSegment.discard(added, context: context) }
      throw error
    }
  }
}
