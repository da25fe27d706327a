package import CommitLog
internal import EventModel
package import StorageIO

/// Steps that a seed determines, run against the engine and a reference model side by side.
package struct Workload: Hashable, Sendable {
  package enum Step: Hashable, Sendable {
    /// One batch, handed to the operating system.
    case append(partition: Int, count: Int)
    case synchronize(partition: Int)
    case mark(partition: Int)
    /// Commits what is durable, or a part of it.
    case commit(partition: Int, percent: Int)
    case read(partition: Int)
    case closeAndOpen
    /// The process dies and a new one opens what it left.
    case killAndOpen
  }

  package let seed: UInt64
  package let partitionCount: Int
  package let segmentSize: Int
  package let steps: [Step]

  package init(seed: UInt64, stepCount: Int = 40) {
    var random = SeededRandom(seed: seed)
    self.seed = seed
    partitionCount = 1 + random.below(3)
    segmentSize = [1_024, 2_048, 4_096, 64 << 10][random.below(4)]
    var steps: [Step] = []
    for _ in 0..<stepCount {
      let partition = random.below(partitionCount)
      switch random.below(100) {
      case 0..<45: steps.append(.append(partition: partition, count: 1 + random.below(6)))
      case 45..<70: steps.append(.synchronize(partition: partition))
      case 70..<76: steps.append(.mark(partition: partition))
      case 76..<86:
        steps.append(.commit(partition: partition, percent: 50 + random.below(51)))
      case 86..<92: steps.append(.read(partition: partition))
      case 92..<96: steps.append(.closeAndOpen)
      default: steps.append(.killAndOpen)
      }
    }
    self.steps = steps
  }

  /// What a run has come to.
  package struct Outcome: Sendable {
    package let model: ReferenceModel
    /// What a reader met that it must not, before any crash.
    package let violation: String?
  }

  /// Runs until the end or until the disk dies.
  ///
  /// - Parameters:
  ///   - disk: the disk that may die.
  ///   - fileSystem: what stands before the disk, if anything does.
  ///   - tolerates: whether the workload goes on behind a call that fails.
  /// - Returns: what must hold then.
  /// - Throws: what the engine throws while the disk lives.
  package func run(
    on disk: SimulatedDisk, through fileSystem: (any FileSystem)? = nil, tolerates: Bool = false
  ) throws(CommitLogFailure) -> Outcome {
    var run = WorkloadRun(self, disk, fileSystem ?? disk, tolerates: tolerates)
    do throws(CommitLogFailure) {
      try run.runAll()
    } catch {
      guard disk.isDead else { throw error }
    }
    return Outcome(model: run.model, violation: run.violation)
  }
}

/// A workload under way.
private struct WorkloadRun {
  let workload: Workload
  var model: ReferenceModel
  var violation: String?
  private let disk: SimulatedDisk
  private let fileSystem: any FileSystem
  /// Whether a call that fails is part of the game.
  private let tolerates: Bool
  private var store: SimulatedStore?
  private var nextSerial: UInt64 = 1
  private var openings: UInt64 = 0

  init(
    _ workload: Workload, _ disk: SimulatedDisk, _ fileSystem: any FileSystem, tolerates: Bool
  ) {
    self.workload = workload
    self.disk = disk
    self.fileSystem = fileSystem
    self.tolerates = tolerates
    model = ReferenceModel(partitionCount: workload.partitionCount)
  }

  mutating func runAll() throws(CommitLogFailure) {
    do throws(CommitLogFailure) {
      try attempt { (run) throws(CommitLogFailure) in try run.create() }
    } catch .alreadyExists where tolerates {
      // The first attempt failed at its last sync: the store is there, and opening syncs it.
      model.exists = false
    }
    try attempt { (run) throws(CommitLogFailure) in try run.open() }
    for step in workload.steps {
      do throws(CommitLogFailure) {
        try run(step)
      } catch {
        try goOn(behind: step, error)
      }
    }
  }

  /// Does something that may fail once.
  private mutating func attempt(
    _ body: (inout Self) throws(CommitLogFailure) -> Void
  ) throws(CommitLogFailure) {
    do throws(CommitLogFailure) {
      try body(&self)
    } catch {
      guard tolerates, !disk.isDead else { throw error }
      try body(&self)
    }
  }

  /// After a failure: a full disk changes nothing, anything else needs a new opening.
  private mutating func goOn(
    behind step: Workload.Step, _ error: CommitLogFailure
  ) throws(CommitLogFailure) {
    guard tolerates, !disk.isDead else { throw error }
    if case .storageFull = error, case .append(let partition, let count) = step {
      model.partitions[partition].appended.removeLast(count)
      return
    }
    store = nil
    try attempt { (run) throws(CommitLogFailure) in try run.open() }
  }

  private mutating func create() throws(CommitLogFailure) {
    try SimulatedStore.create(
      on: fileSystem, partitionCount: workload.partitionCount, seed: workload.seed)
    model.exists = true
  }

  private mutating func open() throws(CommitLogFailure) {
    openings += 1
    // One of which a partition cannot be read still has the lock.
    store = nil
    let store = try SimulatedStore.open(
      on: fileSystem, segmentSize: workload.segmentSize, seed: workload.seed &+ openings)
    self.store = store
    model.exists = true
    for partition in model.partitions.indices { try read(partition, store) }
  }

  private mutating func run(_ step: Workload.Step) throws(CommitLogFailure) {
    if step == .killAndOpen {
      // Its lock goes with it.
      store = nil
      try open()
      return
    }
    guard let store else { return }
    switch step {
    case .append(let partition, let count):
      let serials = nextSerial..<nextSerial + UInt64(count)
      nextSerial += UInt64(count)
      model.partitions[partition].appended += serials
      try store.append(serials, to: partition)
    case .synchronize(let partition):
      let durable = try store.log.partitions[partition].synchronize()
      model.partitions[partition].acknowledged = Int(durable)
    case .mark(let partition): try store.log.partitions[partition].writeMark()
    case .commit(let partition, let percent):
      let high = store.log.partitions[partition].highWatermark
      let number = high * UInt64(percent) / 100
      guard number > model.committed[UInt32(partition)] ?? 0 else { return }
      model.tried[UInt32(partition)] = number
      try store.commit(number, in: UInt32(partition))
      model.committed[UInt32(partition)] = number
    case .read(let partition): try read(partition, store)
    case .closeAndOpen:
      for partition in model.partitions.indices {
        let durable = try store.log.partitions[partition].synchronize()
        model.partitions[partition].acknowledged = Int(durable)
      }
      try store.close()
      self.store = nil
      try open()
    case .killAndOpen: break
    }
  }

  /// A reader looks: what it sees must stay.
  ///
  /// After a kill it also settles what there is.
  private mutating func read(
    _ partition: Int, _ store: SimulatedStore
  ) throws(CommitLogFailure) {
    let contents = try store.read(partition)
    let owed = model.partitions[partition]
    if !contents.gaps.isEmpty || contents.wrong != nil
      || !owed.appended.starts(with: contents.serials) || contents.serials.count < owed.owed
    {
      violation = violation ?? "p\(partition) reads \(contents), owed is \(owed)"
    }
    model.partitions[partition].seen = contents.serials.count
    // What an opening did not find will never come.
    if Int(store.log.partitions[partition].nextNumber) == contents.serials.count {
      model.partitions[partition].appended = contents.serials
    }
  }
}
