internal import EventModel
internal import LogFormat

/// Checks the consumer groups' checkpoints against the partitions' ends.
struct CheckpointCheck {
  private let part: FsckPart
  private let snapshot: StoreSnapshot
  /// Where each partition ends, by its number.
  private let ends: [UInt32: UInt64]

  init(_ part: FsckPart, _ ends: [UInt32: UInt64]) {
    self.part = part
    snapshot = part.snapshot
    self.ends = ends
  }

  func run() {
    if let storeID = snapshot.checkpointStoreID, let mine = snapshot.header?.storeID,
      storeID != mine
    {
      part.add(
        Damage(
          .badFileHeader, file: FileNames.checkpoints,
          detail: "the file belongs to store \(storeID), not to \(mine)"))
    }
    for (group, checkpoints) in snapshot.groups.sorted(by: { $0.key < $1.key }) {
      for (partition, checkpoint) in checkpoints.sorted(by: { $0.key < $1.key }) {
        check(checkpoint, of: group, in: partition, end: ends[partition])
      }
    }
  }

  private func check(
    _ checkpoint: CheckpointEntry.GroupCheckpoint, of group: GroupName, in partition: UInt32,
    end: UInt64?
  ) {
    let isStream = [PartitionID.feedback, .deadLetters].contains { $0.number == partition }
    guard isStream || partition < snapshot.partitionCount else {
      part.add(
        Damage(
          .badCheckpoint, file: FileNames.checkpoints,
          detail: "group \(group) has a checkpoint in partition \(partition) of "
            + "\(snapshot.partitionCount)"))
      return
    }
    // A stream that has never been needed ends where it begins.
    guard let end = end ?? (isStream ? 0 : nil), checkpoint.next > end else { return }
    part.add(
      Damage(
        .checkpointAhead, file: FileNames.checkpoints,
        detail: "group \(group) stands at \(checkpoint.next) in partition \(partition), "
          + "which ends at \(end)"))
  }
}
