internal import EventModel
package import LogFormat
internal import StorageIO
internal import Synchronization
internal import SystemPackage

/// The logs of a store beside its event partitions, as far as they have been made.
struct StreamLogs {
  var logs: [ManifestEdit.LogID: PartitionLog] = [:]
  /// Whether the store was closed: none is made after that.
  var isClosed = false
  /// Why nobody can tell whether a log has segments that the manifest does not name.
  var unknown: [ManifestEdit.LogID: IOFailure] = [:]
}

extension CommitLog {
  /// Every log there is, in the order of their ids: the partitions, then the others.
  package var logs: [PartitionLog] {
    partitions
      + streams.withLock { streams in
        streams.logs.sorted { $0.key < $1.key }.map(\.value)
      }
  }

  /// What opening found, log by log; also of those of which nobody can tell whether they are there.
  package var reports: [RecoveryReport] {
    let (known, unknown) = streams.withLock { ($0.logs, $0.unknown) }
    let unmade = unknown.filter { $0.key.stream != .events && known[$0.key] == nil }
    return logs.map(\.report)
      + unmade.sorted { $0.key < $1.key }.map { log, cause in
        var report = RecoveryReport(log: log)
        report.unreadable = cause
        return report
      }
  }

  /// Whether a stream takes nothing before the store is opened again: its active file is not there,
  /// or nobody can tell whether there is one.
  package func isLost(_ stream: FileHeader.Stream) -> Bool {
    if let log = existingLog(stream) { return log.isLost }
    return streams.withLock { $0.unknown[.only(of: stream)] != nil }
  }

  /// The log of a stream that is made on demand, nil if nobody has asked for it yet.
  package func existingLog(_ stream: FileHeader.Stream) -> PartitionLog? {
    streams.withLock { $0.logs[.only(of: stream)] }
  }

  /// The log of a stream other than events, made if there is none yet.
  ///
  /// Folders and file are durable before the manifest names them, and named before the first record
  /// goes in: a crash anywhere leaves the log or none. After a failure it may be asked for again.
  package func log(_ stream: FileHeader.Stream) throws(CommitLogFailure) -> PartitionLog {
    precondition(stream != .events, "the event logs are there from the store's creation on")
    if let log = existingLog(stream) { return log }
    return try making.withLock { (_) throws(CommitLogFailure) in
      let (known, isClosed) = streams.withLock { ($0.logs[.only(of: stream)], $0.isClosed) }
      if let known { return known }
      if isClosed { throw .closed }
      let id = ManifestEdit.LogID.only(of: stream)
      if let cause = streams.withLock({ $0.unknown[id] }) {
        throw .unreadable(UnreadablePlace(unnamed: cause, in: id, behind: 0))
      }
      // An attempt before this one may have named it and not come further.
      if manifest.state.logs[id] == nil { try make(id) }
      let log = try Self.openLog(
        id, as: manifest.state, evidence: 0, context: context, manifest: manifest)
      streams.withLock { $0.logs[id] = log }
      return log
    }
  }

  private func make(_ log: ManifestEdit.LogID) throws(CommitLogFailure) {
    if let poison = manifest.poison { throw .poisoned(poison) }
    try CommitLogFailure.wrapping { () throws(IOFailure) in try makeDirectory(of: log) }
    var made: ManifestEdit.SegmentAdded?
    do throws(CommitLogFailure) {
      try manifest.addSegment { (segmentID) throws(CommitLogFailure) in
        let added = ManifestEdit.SegmentAdded(
          log: log, segmentID: segmentID, salt: context.environment.random(), baseNumber: 0,
          predecessorID: 0, predecessorChain: 0, created: context.environment.now())
        do throws(IOFailure) {
          _ = try ActiveSegment.create(added, context: context)
        } catch {
          throw CommitLogFailure(error)
        }
        made = added
        return [.segmentAdded(added)]
      }
    } catch .poisoned(let cause) {
      // Whether the manifest names it is not known before the next open.
      throw .poisoned(cause)
    } catch {
      if let made { ActiveSegment.discard(made, context: context) }
      throw error
    }
  }

  /// Makes a log's folder and the one above it where they are missing, each durable in its parent.
  private func makeDirectory(of log: ManifestEdit.LogID) throws(IOFailure) {
    let fileSystem = context.fileSystem
    var directory = context.root
    for name in [log.stream.folder, log.folderName] {
      let path = directory.appending(name)
      if try fileSystem.kind(of: path) == nil { try fileSystem.createDirectory(path) }
      // An attempt before this one may have made it and failed to sync its name.
      try fileSystem.synchronizeDirectory(directory)
      directory = path
    }
  }

  /// Keeps anybody from making a log once the store is being closed.
  func stopMakingLogs() {
    making.withLock { _ in streams.withLock { $0.isClosed = true } }
  }
}
