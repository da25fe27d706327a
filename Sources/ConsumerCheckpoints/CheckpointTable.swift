package import EventModel
package import LogFormat

/// The consumer groups of a store and where each goes on: a pure value, replayed from entries.
package struct CheckpointTable: Hashable, Sendable {
  package struct Group: Hashable, Sendable {
    package let created: Timestamp
    package fileprivate(set) var checkpoints: [UInt32: CheckpointEntry.GroupCheckpoint] = [:]
    package fileprivate(set) var owners: [UInt32: CheckpointEntry.PartitionOwner] = [:]
  }

  package private(set) var groups: [GroupName: Group] = [:]
  /// Who was given the highest epoch, whatever became of the group.
  private var highestOwner: CheckpointEntry.PartitionOwner?
  /// What is wrong with the file where groups may be lost with it; nil where all of them are here.
  ///
  /// Holds until the store is opened again: by then they have begun anew, or are no longer used.
  package internal(set) var loss: String?

  package init() {}

  package mutating func apply(_ entry: CheckpointEntry) {
    switch entry {
    case .groupCreated(let name, let time):
      if groups[name] == nil { groups[name] = Group(created: time) }
    case .groupDeleted(let name, _): groups[name] = nil
    case .checkpoint(let checkpoint):
      // The frame that created the group may be lost to damage: its checkpoint still counts.
      groups[checkpoint.group, default: Group(created: checkpoint.time)]
        .checkpoints[checkpoint.partition] = checkpoint
    case .owner(let owner):
      groups[owner.group, default: Group(created: owner.time)].owners[owner.partition] = owner
      if owner.epoch > highestEpoch { highestOwner = owner }
    }
  }

  /// The highest epoch that an owner was given; 0 without any.
  package var highestEpoch: UInt64 { highestOwner?.epoch ?? 0 }

  /// Where a group goes on in a partition; nil if it never committed there.
  package func checkpoint(of group: GroupName, in partition: UInt32) -> UInt64? {
    groups[group]?.checkpoints[partition]?.next
  }

  /// The epoch of who owns a partition for a group; nil if nobody took it over.
  package func ownerEpoch(of group: GroupName, in partition: UInt32) -> UInt64? {
    groups[group]?.owners[partition]?.epoch
  }

  /// The smallest number that some group has yet to read in a partition, 0 for a group that has
  /// committed nothing there or that is lost; nil without any group that was made or has committed.
  package func smallest(in partition: UInt32) -> UInt64? {
    guard loss == nil else { return 0 }
    return groups.values.map { $0.checkpoints[partition]?.next ?? 0 }.min()
  }

  /// The highest checkpoint of each partition: what it covers was durable when it was committed.
  package var highest: [UInt32: UInt64] {
    var highest: [UInt32: UInt64] = [:]
    for group in groups.values {
      for (partition, checkpoint) in group.checkpoints {
        highest[partition] = max(highest[partition] ?? 0, checkpoint.next)
      }
    }
    return highest
  }

  /// The least entries that add up to this table.
  package var snapshot: [CheckpointEntry] {
    let entries: [CheckpointEntry] = groups.sorted { $0.key < $1.key }.flatMap { name, group in
      [.groupCreated(name, at: group.created)]
        + group.checkpoints.sorted { $0.key < $1.key }.map { .checkpoint($0.value) }
        + group.owners.sorted { $0.key < $1.key }.map { .owner($0.value) }
    }
    // No epoch is given twice, also where the group went with its owner.
    guard let owner = highestOwner, groups[owner.group]?.owners[owner.partition] != owner else {
      return entries
    }
    return [.owner(owner), .groupDeleted(owner.group, at: owner.time)] + entries
  }
}
