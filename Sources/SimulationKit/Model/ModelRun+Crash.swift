internal import CommitLog
internal import ConsumerCheckpoints
internal import StorageIO

extension ModelRun {
  /// Closes the store and opens it again; in between others may look.
  func closeAndOpen(choice: Int) throws {
    try store.close()
    coverage.note(.closes)
    for partition in model.partitions.indices {
      let end = model.partitions[partition].end
      model.partitions[partition].durable = end
      model.partitions[partition].written = end
      model.partitions[partition].proven = end
    }
    openStore = nil
    readers = []
    if choice % 4 == 0 { try follow(0, from: 0, isFresh: true) }
    try open(choice: choice)
    try checkRecovered(keepsWritten: true)
  }

  /// The process or the machine dies; another one goes on with what is on the disk.
  func crash(_ style: CrashStyle, again: Int, choice: Int) throws {
    coverage.note(style == .processOnly ? .kills : .powerLosses)
    noteShown()
    openStore = nil
    readers = []
    follower = nil
    death = nil
    var random = SeededRandom(seed: seed &* 0x1_0003 &+ UInt64(choice))
    var styles = [style]
    replaceDisk(by: style, &random)
    if again > 0 {
      disk.plan = .crash(at: again)
      do {
        try open(choice: choice)
      } catch {
        guard disk.isDead else { throw error }
      }
      if disk.isDead {
        coverage.note(.deathsInRecovery)
        openStore = nil
        styles.append(again % 2 == 0 ? .random : style)
        replaceDisk(by: styles[1], &random)
      }
      disk.plan = .none
    }
    if openStore == nil { try open(choice: choice) }
    try checkRecovered(keepsWritten: styles.allSatisfy { $0 == .processOnly || $0 == .keepAll })
    for place in copies.indices { try checkCopy(place, isOpened: false) }
  }

  private func replaceDisk(by style: CrashStyle, _ random: inout SeededRandom) {
    disk = disk.crashImage(using: &random, style)
    fileSystem = wrapping(disk)
  }

  /// What readers could see when the process died must be there (I3).
  private func noteShown() {
    guard let openStore else { return }
    for (partition, log) in openStore.log.partitions.enumerated() {
      let shown = Int(log.highWatermark)
      model.partitions[partition].durable = max(model.partitions[partition].durable, shown)
    }
  }

  /// Compares a store that was just opened with the model: everything acknowledged is there, then a
  /// prefix of the rest; the model goes on with what was found.
  func checkRecovered(keepsWritten: Bool) throws {
    for (partition, owed) in model.partitions.enumerated() {
      let log = try log(partition)
      let found = Int(log.nextNumber)
      let atLeast = keepsWritten ? max(owed.written, owed.durable) : owed.durable
      try check(
        (atLeast...max(atLeast, owed.end)).contains(found),
        "p\(partition) ends at \(found); \(owed.durable) events were durable, \(owed.written) "
          + "written, \(owed.end) begun")
      try check(
        log.highWatermark == UInt64(found),
        "p\(partition)'s watermark is \(log.highWatermark), not \(found)")
      let first = Int(log.snapshot.startNumber)
      try check(
        first == owed.first || first == owed.firstInFlight,
        "p\(partition) begins at \(first), not at \(owed.first)")
      coverage.note(.eventsLost, owed.end - found)
      coverage.note(.retirementsInFlight, first != owed.first ? 1 : 0)
      model.partitions[partition].events.removeLast(owed.end - found)
      model.partitions[partition].first = first
      model.partitions[partition].firstInFlight = nil
      model.partitions[partition].durable = found
      model.partitions[partition].written = found
      model.partitions[partition].proven = found
      try readAll(partition, from: 0)
    }
    let loss = try store.checkpoints.table.loss
    try check(loss == nil, "the checkpoints are damaged: \(loss ?? "")")
    let consumers = StoreModel.Consumers(try store.checkpoints.table)
    try check(
      consumers == model.consumers || consumers == model.consumersInFlight,
      "the groups are \(consumers), not \(model.consumers)")
    coverage.note(.commitsInFlight, consumers != model.consumers ? 1 : 0)
    model.consumers = consumers
    model.consumersInFlight = nil
    try checkFiles()
  }
}
