internal import Synchronization

extension CommitLog {
  /// Finds what there is to do, once after opening.
  package func findMaintenance() throws(CommitLogFailure) {
    for partition in partitions { try partition.findMissingFooters() }
  }

  /// Merges what should be merged and makes the footers that are missing, one segment after the
  /// other, until nothing is left or `isStopped` says so.
  ///
  /// - Throws: the first failure, once everything else has been tried.
  package func maintain(isStopped: () -> Bool) throws(CommitLogFailure) {
    var failure: CommitLogFailure?
    for partition in partitions {
      do throws(CommitLogFailure) {
        while !isStopped(), try mergeSmallBatches(in: partition) {}
        while !isStopped(), try writeMissingFooter(in: partition) {}
      } catch {
        failure = failure ?? error
      }
    }
    if let failure { throw failure }
  }

  /// Lets what could not be done be tried again.
  package func retryMaintenance() {
    for partition in partitions { partition.retryMaintenance() }
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
