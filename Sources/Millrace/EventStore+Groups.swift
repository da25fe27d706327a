internal import ConsumerCheckpoints
public import EventModel
internal import LogFormat

extension EventStore {
  /// The group of a name, made durably if there is none.
  ///
  /// - Throws: ``EventStoreError`` with `limitExceeded` when there are too many groups; in a store
  ///   that is open for reading only, `unknownGroup` when there is none of the name.
  public func consumerGroup(_ name: GroupName) async throws(EventStoreError) -> ConsumerGroup {
    let known = checkpoints.groups
    if name == .standard || known[name] != nil { return ConsumerGroup(name, self) }
    guard case .writer(let writer) = core else { throw .unknown(name) }
    guard known.count < Limits.groupCountMax else {
      throw .limit(
        LimitExceeded(
          "number of consumer groups", maximum: Limits.groupCountMax, value: known.count + 1))
    }
    try await writer.checkpoints.commit([.groupCreated(name, at: now())])
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
    let writer = try writer()
    guard checkpoints.groups[name] != nil else { throw .unknown(name) }
    try await writer.checkpoints.commit([.groupDeleted(name, at: now())])
  }

  var checkpoints: CheckpointTable {
    switch core {
    case .writer(let core): core.checkpoints.table
    case .follower(let core): core.checkpoints
    }
  }
}
