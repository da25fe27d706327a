internal import ConsumerCheckpoints
public import EventModel
internal import LogFormat

extension EventStore {
  /// The group of a name, made durably if there is none.
  ///
  /// - Throws: ``EventStoreError`` with `limitExceeded` when there are too many groups; in a store
  ///   that is open for reading only, `unknownGroup` when there is none of the name.
  public func consumerGroup(_ name: GroupName) async throws(EventStoreError) -> ConsumerGroup {
    if name == .standard || checkpoints.groups[name] != nil { return ConsumerGroup(name, self) }
    let now = now()
    switch core {
    case .writer(let writer):
      try await writer.checkpoints.commit { (table) throws(EventStoreError) in
        guard table.groups[name] == nil else { return [] }
        // `$Default` is in the table once it has a checkpoint, and never counts.
        let count = table.groups.keys.count { $0 != .standard }
        guard count < Limits.groupCountMax else {
          throw .limit(
            LimitExceeded(
              "number of consumer groups", maximum: Limits.groupCountMax, value: count + 1))
        }
        return [.groupCreated(name, at: now)]
      }
    case .follower(let follower):
      // The process that writes may have made it since.
      try await follower.readers.offload { () throws(EventStoreError) in try follower.refresh() }
      guard checkpoints.groups[name] != nil else { throw .unknown(name) }
    }
    return ConsumerGroup(name, self)
  }

  /// The names of all groups, `$Default` first.
  public var consumerGroups: [GroupName] {
    [.standard] + checkpoints.groups.keys.filter { $0 != .standard }.sorted()
  }

  /// Forgets a group and its checkpoints, durably.
  ///
  /// `$Default` cannot be deleted.
  ///
  /// - Throws: ``EventStoreError`` with `unknownGroup` or `invalidArgument`.
  public func deleteConsumerGroup(_ name: GroupName) async throws(EventStoreError) {
    guard name != .standard else {
      throw EventStoreError(.invalidArgument, "the group '\(name)' cannot be deleted")
    }
    let now = now()
    try await writer().checkpoints.commit { (table) throws(EventStoreError) in
      guard table.groups[name] != nil else { throw .unknown(name) }
      return [.groupDeleted(name, at: now)]
    }
  }

  var checkpoints: CheckpointTable {
    switch core {
    case .writer(let core): core.checkpoints.table
    case .follower(let core): core.checkpoints
    }
  }
}
