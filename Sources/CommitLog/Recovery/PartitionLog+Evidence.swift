internal import EventModel
internal import LogFormat
internal import StorageIO
internal import Synchronization

/// What is found out about a log's numbers only once it is open: what other logs tell of its
/// records, when somebody reads them.
extension PartitionLog {
  /// Takes a number to have been durable: everything below it that is not there is lost, and the
  /// next record gets it or a later one (I15).
  ///
  /// On a full disk that is recorded before the first write (I9).
  ///
  /// - Parameter number: what something outside of the log testifies to, before anybody writes to
  ///   it.
  /// - Returns: the records that are lost by it; nil for none.
  /// - Throws: ``CommitLogFailure``, but no `.storageFull`.
  package func goOn(behind number: UInt64) throws(CommitLogFailure) -> Range<UInt64>? {
    try writing.withLock { (writing) throws(CommitLogFailure) in
      try checkSound()
      let next = writing.nextNumber
      // None that a log could go on behind.
      guard number > next, number <= Limits.numberMax - Limits.numberReserve else { return nil }
      writing.testifiedNumber = number
      shared.withLock { shared in
        let first = shared.report.lostSuffix?.lowerBound ?? next
        shared.report.lostSuffix = first..<number
      }
      do throws(CommitLogFailure) {
        try prepare(&writing)
      } catch .storageFull {
        return next..<number
      }
      return next..<number
    }
  }

  /// Records what is lost below the number that something testifies to, and begins an epoch there.
  ///
  /// May be interrupted anywhere and begun again, like ``TailRepair``.
  func recordTestified(_ writing: inout PartitionWriting) throws(CommitLogFailure) {
    let (first, next) = (writing.segment.end.nextNumber, writing.testifiedNumber)
    guard first < next else { return }
    let added = writing.segment.added
    let summary = writing.segment.summary
    var recorded = manifest.state.gaps.first {
      $0.log == id && $0.first <= first && next <= $0.next
    }
    if recorded == nil {
      let before = summary.recordCount > 0 ? summary.lastTime : added.lastTimeBefore
      let from = before ?? Timestamp(microseconds: 0)
      let gap = ManifestEdit.RecordedGap(
        log: id, segmentID: added.segmentID, first: first, next: next, reason: .lostSuffix,
        from: from, to: max(from, context.environment.now()))
      try manifest.append([.gap(gap)])
      recorded = gap
    }
    try writeEpoch(number: next, &writing)
    shared.withLock { shared in
      durableNumber.store(next, ordering: .releasing)
      if let recorded, !shared.gaps.contains(recorded) { shared.gaps.append(recorded) }
      shared.writtenNumber = next
      shared.publish(next)
    }
  }
}
