internal import CommitLog
internal import ConsumerCheckpoints
internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// What a crash may leave: every acknowledged event in order, exactly once; of the rest a prefix;
/// nothing else (I1 to I4, I7, I15).
///
/// The one predicate of every simulation.
package enum CrashPredicate {
  /// What is broken, in words; nil when everything holds.
  package static func violation(
    of model: ReferenceModel, on disk: SimulatedDisk, segmentSize: Int, seed: UInt64
  ) -> String? {
    let before = disk.image
    let store: SimulatedStore
    do throws(CommitLogFailure) {
      store = try SimulatedStore.open(on: disk, segmentSize: segmentSize, seed: seed)
    } catch {
      // Before its creation returned there need not be a store.
      if case .notAStore = error, !model.exists { return nil }
      return "the store does not open: \(error)"
    }
    do throws(CommitLogFailure) {
      if let violation = try violation(of: model, store) { return violation }
      if let violation = quarantineViolation(store, before, disk) { return violation }
      return try continuationViolation(store, disk, segmentSize: segmentSize, seed: seed)
    } catch {
      return "the store cannot be used: \(error)"
    }
  }

  /// The events and checkpoints of an open store against the model.
  private static func violation(
    of model: ReferenceModel, _ store: SimulatedStore
  ) throws(CommitLogFailure) -> String? {
    if let loss = store.checkpoints.table.loss { return "the checkpoints are damaged: \(loss)" }
    for (partition, owed) in model.partitions.enumerated() {
      let contents = try store.read(partition)
      let log = store.log.partitions[partition]
      if let wrong = contents.wrong { return "p\(partition): event \(wrong) has changed" }
      if let gap = contents.gaps.first { return "\(gap)" }
      guard owed.appended.starts(with: contents.serials) else {
        return "p\(partition) holds \(contents.serials), no prefix of \(owed.appended)"
      }
      guard contents.serials.count >= owed.owed else {
        return "p\(partition) holds \(contents.serials.count) events; \(owed.acknowledged) were "
          + "acknowledged and \(owed.seen) were seen"
      }
      guard log.nextNumber == UInt64(contents.serials.count) else {
        return "p\(partition) goes on at \(log.nextNumber) behind \(contents.serials.count) events"
      }
      let number = UInt32(partition)
      let checkpoint =
        store.checkpoints.table.checkpoint(of: SimulatedStore.group, in: number) ?? 0
      let committed = model.committed[number] ?? 0
      let range = committed...max(committed, model.tried[number] ?? 0)
      guard range.contains(checkpoint) else {
        return "p\(partition)'s checkpoint is \(checkpoint), none of \(range)"
      }
      guard checkpoint <= UInt64(contents.serials.count) else {
        return "p\(partition)'s checkpoint \(checkpoint) runs ahead of \(contents.serials.count)"
      }
    }
    return nil
  }

  /// What recovery cut is in the quarantine, byte by byte (I7).
  private static func quarantineViolation(
    _ store: SimulatedStore, _ before: [FilePath: [UInt8]], _ disk: SimulatedDisk
  ) -> String? {
    let after = disk.image
    for partition in store.log.partitions {
      guard let tail = partition.report.tail else { continue }
      let folder = SimulatedStore.root.appending(FileNames.quarantine)
      guard let kept = after[folder.appending(tail.name)] else {
        return "what was cut is not in quarantine/\(tail.name)"
      }
      let cut = before.values.contains { file in
        file.count >= tail.range.upperBound && Array(file[tail.range]) == kept
      }
      guard cut else { return "quarantine/\(tail.name) is not what was cut" }
    }
    return nil
  }

  /// The store goes on: what is appended now survives the next power loss together with the rest.
  private static func continuationViolation(
    _ store: SimulatedStore, _ disk: SimulatedDisk, segmentSize: Int, seed: UInt64
  ) throws(CommitLogFailure) -> String? {
    var expected: [[UInt64]] = []
    for partition in store.log.partitions.indices {
      let serial = UInt64(1_000_000 + partition)
      let known = try store.read(partition).serials
      // Unacknowledged and unread: the power loss may take it or not.
      if seed % 2 == 0 {
        try store.append([serial], to: partition)
        _ = try store.log.partitions[partition].synchronize()
        expected.append(known + [serial])
      } else {
        expected.append(known)
      }
    }
    var random = SeededRandom(seed: seed)
    let lost = disk.crashImage(using: &random, .dropAll)
    let again = try SimulatedStore.open(on: lost, segmentSize: segmentSize, seed: seed &+ 1)
    for partition in again.log.partitions.indices {
      let contents = try again.read(partition)
      guard contents.gaps.isEmpty, contents.wrong == nil,
        contents.serials == expected[partition]
      else {
        return "p\(partition) holds \(contents) after recovery and a power loss, not "
          + "\(expected[partition])"
      }
    }
    return nil
  }
}
