internal import LogFormat
internal import Synchronization

extension CommitLog {
  /// The logs whose segments are merged and get footers: the journal's are read once, from their
  /// beginning, and soon retired.
  private var footedLogs: [PartitionLog] { logs.filter { $0.id.stream != .journal } }

  /// Finds what there is to do, once after opening.
  ///
  /// - Throws: the first failure, once everything else has been looked at.
  package func findMaintenance() throws(CommitLogFailure) {
    var failure: CommitLogFailure?
    for log in footedLogs {
      do throws(CommitLogFailure) {
        try log.findMissingFooters()
      } catch {
        failure = failure ?? error
      }
    }
    if let failure { throw failure }
  }

  /// Merges what should be merged and makes the footers that are missing, one segment after the
  /// other, until nothing is left or `isStopped` says so.
  ///
  /// - Throws: the first failure, once everything else has been tried.
  package func maintain(isStopped: () -> Bool) throws(CommitLogFailure) {
    var failure: CommitLogFailure?
    for log in footedLogs {
      do throws(CommitLogFailure) {
        while !isStopped(), try mergeSmallBatches(in: log) {}
        while !isStopped(), try writeMissingFooter(in: log) {}
      } catch {
        failure = failure ?? error
      }
    }
    if let failure { throw failure }
  }

  /// Lets what could not be done be tried again.
  package func retryMaintenance() {
    for log in footedLogs { log.retryMaintenance() }
  }

  package func mergeSmallBatches(in partition: PartitionLog) throws(CommitLogFailure) -> Bool {
    try maintaining.withLock { (_) throws(CommitLogFailure) in
      try partition.mergeSmallBatches(mappings)
    }
  }

  package func writeMissingFooter(in partition: PartitionLog) throws(CommitLogFailure) -> Bool {
    try maintaining.withLock { (_) throws(CommitLogFailure) in
      try partition.writeMissingFooter(mappings)
    }
  }
}
