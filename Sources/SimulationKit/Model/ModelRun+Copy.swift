internal import CommitLog
internal import ConsumerCheckpoints
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// What stands in a place for copies of the store.
enum ModelCopy: Hashable {
  case absent
  /// A copy, as the store was when it was made.
  case whole(Contents)
  /// An attempt that was cut short: no store, or one of these.
  case unfinished([Contents])
  /// A copy that was being removed.
  case remains

  struct Contents: Hashable {
    /// The numbers of the events, by partition.
    let kept: [Range<Int>]
    let consumers: StoreModel.Consumers
  }
}

extension ModelRun {
  private func root(_ place: Int) -> FilePath { FilePath("/copies").appending("\(place)") }

  /// Makes a copy of the store while it goes on, in its own process or in another one.
  func copy(_ choice: Int) throws {
    let place = choice % copies.count
    var attempts: [ModelCopy.Contents] = []
    if case .unfinished(let known) = copies[place], choice / 2 % 2 == 0 {
      attempts = known
      coverage.note(.copiesRetried)
    } else {
      try removeCopy(place)
    }
    let isFollowers = choice / 4 % 3 == 0
    let contents =
      isFollowers
      ? Self.contents(try Self.openFollower(SimulatedStore.root, environment()))
      : ModelCopy.Contents(
        kept: model.partitions.map { $0.first..<$0.durable }, consumers: model.consumers)
    copies[place] = .unfinished(attempts + [contents])
    do {
      try makeCopy(place, isFollowers: isFollowers)
    } catch CommitLogFailure.alreadyExists where !attempts.isEmpty {
      // The attempt before was cut short when there was nothing left to do.
      copies[place] = .unfinished(attempts)
      return try checkCopy(place, isOpened: true, mustBeThere: true)
    }
    copies[place] = .whole(contents)
    coverage.note(isFollowers ? .copiesOfFollowers : .copies)
    try checkCopy(place, isOpened: choice % 8 < 2)
  }

  private func makeCopy(_ place: Int, isFollowers: Bool) throws {
    let store = try store
    let environment = environment()
    var table = CheckpointTable()
    try StoreCopy.make(at: root(place), environment: environment) {
      () throws(CommitLogFailure) in
      guard isFollowers else {
        table = store.checkpoints.table
        return StoreCopy.Source(store.log)
      }
      let opened = try Self.openFollower(SimulatedStore.root, environment)
      table = opened.table
      return opened.log.copySource
    } checkpoints: {
      table.snapshot
    }
  }

  private static func contents(
    _ opened: (log: LogFollower, table: CheckpointTable)
  ) -> ModelCopy.Contents {
    ModelCopy.Contents(
      kept: (0..<opened.log.partitionCount).map { partition in
        let snapshot = opened.log.snapshot(of: partition)
        return Int(snapshot.startNumber)..<Int(snapshot.highWatermark)
      }, consumers: StoreModel.Consumers(opened.table))
  }

  private func removeCopy(_ place: Int) throws {
    guard copies[place] != .absent else { return }
    copies[place] = .remains
    try removeTree(root(place))
    copies[place] = .absent
  }

  private func removeTree(_ path: FilePath) throws {
    guard try fileSystem.kind(of: path) != nil else { return }
    for entry in try fileSystem.list(path) {
      if entry.kind == .directory {
        try removeTree(path.appending(entry.name))
      } else {
        try fileSystem.remove(path.appending(entry.name))
      }
    }
    try fileSystem.removeDirectory(path)
    try fileSystem.synchronizeDirectory(path.removingLastComponent())
  }

  /// Compares a copy with what the store was when it was made.
  ///
  /// - Parameters:
  ///   - place: the place of the copy.
  ///   - isOpened: whether a writer opens it as well, on a disk of its own.
  ///   - mustBeThere: whether an attempt that was cut short has to be a store.
  /// - Throws: ``ModelViolation``, or what the engine throws.
  func checkCopy(_ place: Int, isOpened: Bool, mustBeThere: Bool = false) throws {
    let candidates: [ModelCopy.Contents]
    switch copies[place] {
    case .absent, .remains: return
    case .whole(let contents): candidates = [contents]
    case .unfinished(let attempts): candidates = attempts
    }
    guard let opened = try openCopyForReading(place) else {
      guard case .unfinished = copies[place], !mustBeThere else {
        throw ModelViolation("copy \(place) is no store")
      }
      return
    }
    let contents = Self.contents(opened)
    try check(
      candidates.contains(contents), "copy \(place) holds \(contents), not \(candidates)")
    try readCopy(opened.log, contents)
    if isOpened { try openCopy(place, contents) }
  }

  /// A copy as another process reads it; nil where there is no store.
  private func openCopyForReading(
    _ place: Int
  ) throws(CommitLogFailure) -> (log: LogFollower, table: CheckpointTable)? {
    do throws(CommitLogFailure) {
      return try Self.openFollower(root(place), environment())
    } catch .notAStore {
      return nil
    }
  }

  private func readCopy(_ log: LogFollower, _ contents: ModelCopy.Contents) throws {
    for (partition, kept) in contents.kept.enumerated() {
      var original = model
      original.partitions[partition].first = kept.lowerBound
      let cursor = BatchCursor(from: 0, mappings: log.mappings, fileSystem: fileSystem) {
        log.snapshot(of: partition)
      }
      var progress = ModelProgress(
        partition: partition, devices: .all, next: 0, limit: kept.upperBound, end: .max)
      try progress.readAll(cursor, original)
    }
  }

  /// A writer finds the copy as if it had been closed, and can go on.
  private func openCopy(_ place: Int, _ contents: ModelCopy.Contents) throws {
    var random = SeededRandom(seed: seed)
    let image = disk.crashImage(using: &random, .keepAll)
    let copy = try CommitLog.open(
      at: root(place), environment: SimulatedStore.environment(image, seed: seed)
    ) { _ in [:] }
    for (partition, kept) in contents.kept.enumerated() {
      let log = copy.partitions[partition]
      try check(
        log.nextNumber == UInt64(kept.upperBound) && log.report.isClean,
        "p\(partition) of copy \(place) opens at \(log.nextNumber) with \(log.report)")
    }
    try copy.close()
  }
}
