internal import CommitLog
internal import ConsumerCheckpoints
public import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

extension EventStore {
  /// Makes a consistent copy of the store while it goes on: a store of its own, with the same
  /// identity, that holds what is durable now, and checkpoints that are no newer.
  ///
  /// Sealed segments are not copied but get a second name, where both folders are on one file
  /// system: the copy takes little room, and stays what it is when retention drops them here.
  ///
  /// In a store that is open for reading only the copy ends where the other process has written
  /// down what is durable, some 20 ms behind it.
  ///
  /// - Parameter path: a folder that is empty or not there yet.
  /// - Returns: what the store turned out to have lost while it was copied.
  /// - Throws: ``EventStoreError`` with `alreadyExists` when the folder holds anything,
  ///   `storageFull`, `readOnly`, `accessDenied`, `corrupt` or `ioFailure`; then the folder holds
  ///   no store.
  @discardableResult
  public func snapshot(to path: String) async throws(EventStoreError) -> SnapshotReport {
    let core = core
    return try await source.readers.offload { () throws(EventStoreError) in
      do throws(CommitLogFailure) {
        switch core {
        case .writer(let core): return try core.snapshot(to: FilePath(path))
        case .follower(let core): return try core.snapshot(to: FilePath(path))
        }
      } catch {
        throw EventStoreError(error)
      }
    }
  }
}

/// What a snapshot does not hold although it was acknowledged once.
public struct SnapshotReport: Hashable, Sendable {
  /// Events, or records of the queues, that are gone from the end of a partition of the original,
  /// and of which nothing said so yet: the snapshot says so to its readers, and gives none of their
  /// numbers again.
  ///
  /// One without events stands for a file that is gone and of which nothing tells what was in it.
  public let gaps: [Gap]
  /// What is damaged in the original's checkpoints, for people; nil where nothing is.
  ///
  /// Consumer groups are not in the snapshot then, or stand further back than they once did.
  public let checkpointDamage: String?
}

extension SnapshotReport {
  fileprivate init(_ losses: [ManifestEdit.RecordedGap], checkpointDamage: String?) {
    self.checkpointDamage = checkpointDamage
    gaps = losses.map { loss in
      Gap(
        partition: loss.log.partitionID, first: Offset(loss.first), next: Offset(loss.next),
        reason: loss.reason.publicReason, times: loss.from...loss.to)
    }
  }
}

extension WriterCore {
  fileprivate func snapshot(to target: FilePath) throws(CommitLogFailure) -> SnapshotReport {
    var table = CheckpointTable()
    let losses = try StoreCopy.make(at: target, environment: log.context.environment) {
      () throws(CommitLogFailure) in
      table = checkpoints.table
      // A copy without what opening found and could not prove for want of room would hide it.
      for log in log.logs where !log.isLost { try log.showAll() }
      return StoreCopy.Source(log)
    } checkpoints: {
      table.snapshot
    }
    return SnapshotReport(losses, checkpointDamage: table.loss)
  }
}

extension FollowerCore {
  fileprivate func snapshot(to target: FilePath) throws(CommitLogFailure) -> SnapshotReport {
    var table = CheckpointTable()
    let environment = log.context.environment
    let losses = try StoreCopy.make(
      at: target, environment: environment
    ) { () throws(CommitLogFailure) in
      let (fresh, read) = try Self.open(log.context.root, environment)
      table = read
      return fresh.copySource
    } checkpoints: {
      table.snapshot
    }
    return SnapshotReport(losses, checkpointDamage: table.loss)
  }
}
