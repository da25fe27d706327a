package import EventModel
package import LogFormat

/// The consumer groups of a store and where each goes on: a pure value, replayed from entries.
package struct CheckpointTable: Hashable, Sendable {
  package struct Group: Hashable, Sendable {
    package let created: Timestamp
    package fileprivate(set) var checkpoints: [UInt32: CheckpointEntry.GroupCheckpoint] = [:]
  }

  package private(set) var groups: [GroupName: Group] = [:]

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
    }
  }

  /// Where a group goes on in a partition; nil if it never committed there.
  package func checkpoint(of group: GroupName, in partition: UInt32) -> UInt64? {
    groups[group]?.checkpoints[partition]?.next
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
    groups.sorted { $0.key < $1.key }.flatMap { name, group in
      [.groupCreated(name, at: group.created)]
        + group.checkpoints.sorted { $0.key < $1.key }.map { .checkpoint($0.value) }
    }
  }
}
