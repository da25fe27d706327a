internal import BlockCompression
package import EventModel
package import LogFormat
package import StorageIO
internal import Synchronization
internal import SystemPackage

/// One partition's log.
///
/// Two stages, each run by one thread at a time and possibly by two at once: `write` lays frames
/// out and hands them to the operating system, `synchronize` makes what was written durable and
/// publishes it. Any number of threads read snapshots meanwhile. Nothing here starts a thread.
package final class PartitionLog: Sendable {
  package let id: ManifestEdit.LogID
  let context: LogContext
  let manifest: ManifestLog
  /// Whether the log's folder could be listed: else nobody knows what a merge may have left in it,
  /// and no segment goes that holds the same.
  let isListed: Bool
  /// Held by the one thread that writes, across its system calls: nobody waits for it but a close.
  let writing: Mutex<PartitionWriting>
  /// One sync at a time: of two at once, one might be told of a failure and the other of success.
  private let syncing = Mutex<Void>(())
  let shared: Mutex<PublishedState>
  let durableNumber: Atomic<UInt64>
  let rolls = Atomic(0)
  let isShortOfSpace = Atomic(false)
  let reservedSpace = Atomic(0)
  /// What a sync has made durable lately, in bytes on average.
  private let meanSyncSize = Atomic(2 * zeroedSyncSizeMax)
  /// From this mean on, zeros ahead cost as much as they save.
  private static let zeroedSyncSizeMax = 96 << 10
  /// Syncs that the zeros written ahead at a time are for.
  private static let zeroedSyncCount = 8

  init(
    _ recovered: consuming RecoveredPartition, context: LogContext, manifest: ManifestLog
  ) throws(CommitLogFailure) {
    id = recovered.segment.added.log
    self.context = context
    self.manifest = manifest
    isListed = recovered.isListed
    let durableNumber = recovered.durableNumber
    let isUnproven = recovered.unprovenCause != nil
    let summary = isUnproven ? recovered.scan.proven : recovered.segment.summary
    let (end, eventSize) = (Int(summary.endPosition), summary.eventSize)
    let active = SegmentHandle(
      recovered.segment.added, summary: nil, context: context,
      activeFile: recovered.segment.file, index: recovered.segment.index)
    let sealed = recovered.sealed
    let gaps = recovered.gaps
    shared = Mutex(
      PublishedState(
        sealed: sealed, active: active, gaps: gaps, writtenNumber: durableNumber,
        writtenEnd: end, writtenEventSize: eventSize, durableEnd: end,
        durableEventSize: eventSize, report: recovered.report,
        snapshot: LogSnapshot(
          log: id, segments: sealed + [active], highWatermark: durableNumber,
          activeEnd: end, activeEventSize: eventSize, gaps: gaps, unknown: recovered.unknown)))
    self.durableNumber = Atomic(durableNumber)
    let repair = TailRepair(
      scan: recovered.scan, lastTime: recovered.lastTime, waitsForRoom: recovered.waitsForRoom,
      isUnproven: isUnproven)
    do throws(CompressionFailure) {
      writing = Mutex(
        PartitionWriting(
          segment: recovered.segment, framer: try BatchFramer(context.settings.codec),
          lastWatermark: 0, repair: repair))
    } catch {
      throw .compression(error)
    }
  }

  /// How its batches are compressed.
  package var codec: CompressionCodec { context.settings.codec }

  /// The first number that readers may not see: everything below it survives a crash.
  package var highWatermark: UInt64 { durableNumber.load(ordering: .acquiring) }

  package var snapshot: LogSnapshot { shared.withLock { $0.snapshot } }

  /// The failed sync or write that stopped this partition, nil while it is sound.
  package var poison: IOFailure? { shared.withLock { $0.poison } }

  /// Whether there is no room for all of the log's reserve: what makes the log grow for long should
  /// wait, and what makes it smaller goes on (I9).
  package var isShort: Bool { isShortOfSpace.load(ordering: .relaxed) }

  /// Bytes that the log has reserved and not written to.
  package var spareSize: Int { reservedSpace.load(ordering: .relaxed) }

  /// How often this log has been rolled since it was opened.
  package var rollCount: Int { rolls.load(ordering: .relaxed) }

  /// How many zeros to write ahead at a time; 0 where so much is synced that frames need not go
  /// where zeros are.
  var zerosSize: Int {
    let mean = meanSyncSize.load(ordering: .relaxed)
    return mean < Self.zeroedSyncSizeMax ? (mean + 1) * Self.zeroedSyncCount : 0
  }

  /// Bytes that were written and not yet synced.
  package var unsyncedSize: Int { shared.withLock { $0.writtenEnd - $0.durableEnd } }

  /// What opening found, and what has been done about it.
  package var report: RecoveryReport { shared.withLock { $0.report } }

  /// Enqueue time of the last record, as far as the log tells: later ones are never earlier.
  package var lastTime: Timestamp? {
    let active = writing.withLock { $0.segment.summary }
    if active.recordCount > 0 { return active.lastTime }
    let segments = snapshot.segments
    return segments.last { ($0.summary?.recordCount ?? 0) > 0 }?.summary?.lastTime
      ?? segments.first?.added.lastTimeBefore
  }

  /// The number that the next record takes.
  package var nextNumber: UInt64 { writing.withLock { $0.nextNumber } }

  // MARK: Sync stage

  /// Makes everything durable that was written before the call, publishes it, and returns the
  /// first number that is not durable.
  ///
  /// - Throws: `.poisoned` when the sync fails: never tried again (I8).
  package func synchronize() throws(CommitLogFailure) -> UInt64 {
    try syncing.withLock { (_) throws(CommitLogFailure) in
      let target = shared.withLock { $0 }
      if let poison = target.poison { throw .poisoned(poison) }
      guard target.writtenNumber > highWatermark || target.writtenEnd > target.durableEnd,
        let file = target.active.activeFile
      else { return highWatermark }
      do throws(IOFailure) {
        try file.synchronize()
      } catch {
        throw failedSync(error)
      }
      let mean = meanSyncSize.load(ordering: .relaxed)
      meanSyncSize.store(
        mean + (target.writtenEnd - target.durableEnd - mean) / 8, ordering: .relaxed)
      shared.withLock { shared in
        shared.durableEnd = target.writtenEnd
        shared.durableEventSize = target.writtenEventSize
        durableNumber.store(target.writtenNumber, ordering: .releasing)
        shared.publish(target.writtenNumber)
      }
      IndexFile.write(
        target.active, below: target.writtenEnd, atLeast: IndexFile.writeCount, context: context)
      return target.writtenNumber
    }
  }

  /// Whether the active segment's file is not there, or it or what may follow it cannot be read:
  /// what comes before can be, and nothing can be written.
  package var isLost: Bool { loss != nil }

  /// Why nothing can be written before the store is opened with the file; nil where it is there.
  package var loss: CommitLogFailure? {
    shared.withLock { shared in
      if shared.report.isLost { return .missingFile(shared.active.path) }
      return shared.snapshot.unreadable.map { .unreadable($0) }
    }
  }

  /// Has the log take nothing until the store is opened again, where a failure is of its own file.
  ///
  /// - Returns: whether it is.
  func stopWriting(after failure: CommitLogFailure) -> Bool {
    let path = shared.withLock { $0.active.path }
    guard let cause = failure.cause(ofNotReading: path, path.removingLastComponent()) else {
      return false
    }
    shared.withLock { shared in
      shared.poison = shared.poison ?? cause
      shared.report.unwritable = cause
    }
    return true
  }

  /// Notes what kept opening from making the log ready for writing.
  func noteWaiting(for cause: IOFailure) { shared.withLock { $0.report.waitsForRoom = cause } }

  /// Ends the log for a clean close: everything is durable, and reserved space is given back.
  ///
  /// - Returns: where it ended; nil when what opening found still waits to be repaired, of which no
  ///   byte is touched then.
  package func close() throws(CommitLogFailure) -> ManifestEdit.LogEnd? {
    guard !isLost else { return nil }
    _ = try synchronize()
    do throws(CommitLogFailure) {
      try writeMark()
    } catch .storageFull {
      // A mark is a hint for recovery; everything is durable without it (I9).
    }
    return try writing.withLock { (writing) throws(CommitLogFailure) in
      guard writing.repair == nil, writing.nextNumber == writing.segment.end.nextNumber else {
        return nil
      }
      do throws(IOFailure) {
        try writing.segment.giveBackReserve()
        try writing.segment.file.synchronize()
      } catch {
        throw failedSync(error)
      }
      let active = shared.withLock { $0.active }
      IndexFile.write(
        active, below: writing.segment.end.position, atLeast: 1, context: context)
      return ManifestEdit.LogEnd(
        log: id, segmentID: writing.segment.added.segmentID, summary: writing.segment.summary)
    }
  }
}
