internal import ConsumerCheckpoints
public import EventModel
internal import LogFormat
internal import Synchronization

/// The right of one consumer to commit for a group in a partition, until another takes it over.
///
/// A consumer that was thought dead and comes back finds that it lost the partition instead of
/// moving the checkpoint of the one that took its place; also when the store was opened again in
/// between.
public struct PartitionOwnership: Hashable, Sendable {
  /// The group.
  public let group: GroupName
  /// The partition.
  public let partition: PartitionID
  /// Tells this owner from every other: a newer one has a larger epoch.
  public let epoch: UInt64
}

extension ConsumerGroup {
  /// Takes a partition over for this group: whoever owned it before can commit there no more.
  ///
  /// Returns when a crash would not forget it. Commits without ownership, by ``commit(_:)``, are
  /// not held up: consumers of a group agree on one of the two ways.
  ///
  /// - Throws: ``EventStoreError`` with `unknownGroup`, `invalidArgument` for a partition that does
  ///   not exist, `corrupt` where the checkpoint file names the last epoch there is, `readOnly`,
  ///   `storageFull`, `outcomeUnknown`, `poisoned` or `closed`.
  public func takeOver(
    _ partition: PartitionID
  ) async throws(EventStoreError) -> PartitionOwnership {
    try store.check(partition)
    let writer = try store.writer()
    let name = name
    let number = UInt32(partition.number)
    let now = store.now()
    let taken = Mutex<UInt64>(0)
    try await writer.checkpoints.commit { (table) throws(EventStoreError) in
      guard name == .standard || table.groups[name] != nil else { throw .unknown(name) }
      guard table.highestEpoch < Limits.numberMax else {
        throw EventStoreError(.corrupt, "no epoch is left for an owner of \(partition)")
      }
      // Larger than every earlier one; by the clock also than those of a group that was deleted.
      let epoch = max(table.highestEpoch + 1, UInt64(clamping: now.microseconds))
      taken.withLock { $0 = epoch }
      return [
        .owner(
          CheckpointEntry.PartitionOwner(group: name, partition: number, epoch: epoch, time: now))
      ]
    }
    return PartitionOwnership(group: name, partition: partition, epoch: taken.withLock { $0 })
  }

  /// Remembers how far the group is in a partition that the caller owns.
  ///
  /// As ``commit(_:)`` otherwise.
  ///
  /// - Throws: ``EventStoreError`` as ``commit(_:)``; with `ownershipLost` when another took the
  ///   partition over: stop reading it.
  public func commit(
    _ checkpoint: Checkpoint, as owner: PartitionOwnership
  ) async throws(EventStoreError) {
    guard owner.group == name, owner.partition == checkpoint.partition else {
      throw EventStoreError(
        .invalidArgument,
        "\(checkpoint) is committed with the ownership of \(owner.partition) for '\(owner.group)'")
    }
    try await move(to: [checkpoint], onlyForwards: true, owner: owner)
  }
}

extension EventStoreError {
  static func ownershipLost(_ owner: PartitionOwnership) -> EventStoreError {
    EventStoreError(
      .ownershipLost,
      "another consumer of '\(owner.group)' took \(owner.partition) over; stop reading it")
  }
}
