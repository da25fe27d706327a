internal import CommitLog
internal import ConsumerCheckpoints
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
  /// - Throws: ``EventStoreError`` with `alreadyExists` when the folder holds anything,
  ///   `storageFull`, `readOnly`, `accessDenied`, `corrupt` or `ioFailure`; then the folder holds
  ///   no store.
  public func snapshot(to path: String) async throws(EventStoreError) {
    let core = core
    try await source.readers.offload { () throws(EventStoreError) in
      do throws(CommitLogFailure) {
        switch core {
        case .writer(let core): try core.snapshot(to: FilePath(path))
        case .follower(let core): try core.snapshot(to: FilePath(path))
        }
      } catch {
        throw EventStoreError(error)
      }
    }
  }
}

extension WriterCore {
  fileprivate func snapshot(to target: FilePath) throws(CommitLogFailure) {
    var table = CheckpointTable()
    try StoreCopy.make(at: target, environment: log.context.environment) {
      table = checkpoints.table
      return StoreCopy.Source(log)
    } writeCheckpoints: { (root, storeID) throws(CommitLogFailure) in
      try table.write(to: root, storeID, log.context.environment)
    }
  }
}

extension FollowerCore {
  fileprivate func snapshot(to target: FilePath) throws(CommitLogFailure) {
    var table = CheckpointTable()
    let environment = log.context.environment
    try StoreCopy.make(at: target, environment: environment) { () throws(CommitLogFailure) in
      let (fresh, read) = try Self.open(log.context.root, environment)
      table = read
      return fresh.copySource
    } writeCheckpoints: { (root, storeID) throws(CommitLogFailure) in
      try table.write(to: root, storeID, environment)
    }
  }
}

extension CheckpointTable {
  fileprivate func write(
    to root: FilePath, _ storeID: StoreID, _ environment: EngineEnvironment
  ) throws(CommitLogFailure) {
    guard !groups.isEmpty else { return }
    do throws(CheckpointFailure) {
      try CheckpointLog.write(self, at: root, storeID: storeID, environment: environment)
    } catch {
      throw CommitLogFailure(error)
    }
  }
}
