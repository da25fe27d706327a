internal import CommitLog
internal import ConsumerCheckpoints
internal import EventModel
internal import LogFormat

extension ModelRun {
  func consume(_ operation: ModelOperation) throws {
    let now = clock.now
    switch operation {
    case .createGroup(let number):
      let name = name(number)
      try commit(.groupCreated(name, at: now)) { consumers in
        consumers.groups[name, default: .init()] = consumers.groups[name] ?? .init()
      }
    case .deleteGroup(let number):
      let name = name(number)
      try commit(.groupDeleted(name, at: now)) { $0.groups[name] = nil }
    case .takeOver(let number, let partition):
      let (name, partition) = (name(number), UInt32(index(partition)))
      let epoch = try store.checkpoints.table.highestEpoch + 1
      try commit(.owner(.init(group: name, partition: partition, epoch: epoch, time: now))) {
        $0.groups[name, default: .init()].owners[partition] = epoch
        $0.highestEpoch = epoch
      }
    case .commit(let number, let partition, let advance):
      let (name, partition) = (name(number), index(partition))
      let owed = model.partitions[partition]
      let known = Int(model.consumers.groups[name]?.checkpoints[UInt32(partition)] ?? 0)
      let start = max(known, owed.first)
      try commit(start + advance % (owed.durable - start + 1), of: name, in: partition)
    case .reset(let number, let partition, let target, let place):
      let partition = index(partition)
      try commit(
        try resetNumber(target, place, in: partition), of: name(number), in: partition)
    default: preconditionFailure("\(operation) is no consumer's")
    }
  }

  private func name(_ group: Int) -> GroupName { Self.groupNames[group % Self.groupNames.count] }

  private func resetNumber(
    _ target: ModelOperation.ResetTarget, _ place: Int, in partition: Int
  ) throws -> Int {
    let owed = model.partitions[partition]
    switch target {
    case .earliest:
      let start = try log(partition).snapshot.startNumber
      try check(start == UInt64(owed.first), "p\(partition) begins at \(start), not \(owed.first)")
      return Int(start)
    case .latest: return owed.durable
    case .number: return place % (owed.durable + 1)
    case .time:
      guard owed.end > 0 else { return 0 }
      let time = owed.events[place % owed.end].time
      let found = try number(atOrAfter: time, in: partition)
      try check(found, atOrAfter: time, partition)
      return Int(found)
    }
  }

  private func commit(_ next: Int, of name: GroupName, in partition: Int) throws {
    let number = UInt32(partition)
    let epoch = try store.checkpoints.table.ownerEpoch(of: name, in: number) ?? 0
    let checkpoint = CheckpointEntry.GroupCheckpoint(
      group: name, partition: number, next: UInt64(next), ownerEpoch: epoch, time: clock.now)
    try commit(.checkpoint(checkpoint)) {
      $0.groups[name, default: .init()].checkpoints[number] = UInt64(next)
    }
  }

  private func commit(
    _ entry: CheckpointEntry, _ change: (inout StoreModel.Consumers) -> Void
  ) throws {
    var after = model.consumers
    change(&after)
    model.consumersInFlight = after
    try store.checkpoints.commit([entry])
    coverage.note(.consumers)
    model.consumers = after
    model.consumersInFlight = nil
    let found = StoreModel.Consumers(try store.checkpoints.table)
    try check(found == after, "the groups are \(found) after \(entry), not \(after)")
  }
}
