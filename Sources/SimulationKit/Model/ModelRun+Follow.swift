internal import CommitLog
internal import ConsumerCheckpoints
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// A reader in another process, as it was when it last looked.
struct ModelFollower {
  let log: LogFollower
  /// The watermark that it showed, by partition.
  var shown: [Int]
}

extension ModelRun {
  /// Reads what another process would see.
  func follow(_ partition: Int, from place: Int, isFresh: Bool) throws {
    var follower = try currentFollower(isFresh: isFresh)
    for (partition, owed) in model.partitions.enumerated() {
      let snapshot = follower.log.snapshot(of: partition)
      let watermark = Int(snapshot.highWatermark)
      let atLeast = max(owed.proven, follower.shown[partition])
      try check(
        (atLeast...max(atLeast, owed.durable)).contains(watermark),
        "a follower of p\(partition) sees \(watermark) events, not \(atLeast) to \(owed.durable)")
      try check(
        snapshot.startNumber == UInt64(owed.first),
        "a follower of p\(partition) begins at \(snapshot.startNumber), not \(owed.first)")
      follower.shown[partition] = watermark
    }
    self.follower = follower
    coverage.note(.followers)
    let from = number(place, in: partition)
    let log = follower.log
    let cursor = BatchCursor(
      from: UInt64(from), mappings: log.mappings, fileSystem: fileSystem,
      refresh: { () throws(CommitLogFailure) in _ = try log.refresh() }
    ) { log.snapshot(of: partition) }
    var progress = ModelProgress(
      partition: partition, devices: .all, next: from, limit: follower.shown[partition],
      end: .max)
    try progress.readAll(cursor, model)
  }

  private func currentFollower(isFresh: Bool) throws -> ModelFollower {
    guard !isFresh, let follower else {
      return ModelFollower(
        log: try Self.openFollower(SimulatedStore.root, environment()).log,
        shown: model.partitions.map { _ in 0 })
    }
    _ = try follower.log.refresh()
    return follower
  }

  /// A store as another process reads it, and its consumer groups.
  static func openFollower(
    _ root: FilePath, _ environment: EngineEnvironment
  ) throws(CommitLogFailure) -> (log: LogFollower, table: CheckpointTable) {
    var table = CheckpointTable()
    let log = try LogFollower.open(at: root, environment: environment) {
      (manifest) throws(CommitLogFailure) in
      do throws(CheckpointFailure) {
        table = try CheckpointImage.read(
          root: root, storeID: manifest.header.storeID,
          witness: manifest.state.checkpointWitness, fileSystem: environment.fileSystem
        ).table
      } catch {
        throw SimulatedStore.failure(error)
      }
      // Nothing that is done to these stores damages them.
      guard let loss = table.loss else { return table.highest }
      throw .format(root.appending(FileNames.checkpoints), position: 0, .corrupt(loss))
    }
    return (log, table)
  }
}
