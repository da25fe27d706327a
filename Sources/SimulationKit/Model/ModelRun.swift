internal import BlockCompression
internal import CommitLog
internal import EventModel
internal import LogFormat
internal import StorageIO
internal import Synchronization

/// Runs operations against the engine on a simulated disk and against a ``StoreModel``, and
/// compares the two at every step.
///
/// Single-threaded; the seed and the operations determine everything that happens.
final class ModelRun {
  /// Where a run went wrong: the operation that found it, and what it found.
  struct Failure: Error {
    let operation: Int
    let violation: String
  }

  static let groupNames: [GroupName] = ["alerts", "billing", "workers"]

  let seed: UInt64
  let wrapping: @Sendable (SimulatedDisk) -> any FileSystem
  let clock = ModelClock()
  var disk = SimulatedDisk()
  /// The disk, or what a test of the test puts before it.
  var fileSystem: any FileSystem
  var model: StoreModel
  var openStore: SimulatedStore?
  var readers: [ModelReader] = []
  var follower: ModelFollower?
  var copies = [ModelCopy](repeating: .absent, count: 2)
  /// What has happened.
  var coverage = ModelCoverage()
  /// How the process or machine dies once the disk's plan strikes.
  var death: (style: CrashStyle, again: Int)?
  private var openings: UInt64 = 0
  private var serial: UInt64 = 0

  init(seed: UInt64, wrapping: @escaping @Sendable (SimulatedDisk) -> any FileSystem = { $0 }) {
    self.seed = seed
    self.wrapping = wrapping
    fileSystem = wrapping(disk)
    model = StoreModel(partitionCount: 1 + Int(seed % 3))
  }

  /// Does all operations, then loses power and looks once more.
  func run(_ operations: [ModelOperation]) throws(Failure) -> ModelCoverage {
    for number in -1...operations.count {
      do {
        switch number {
        case -1: try start()
        case operations.count: try step(.crash(.dropAll, choice: 0))
        default: try step(operations[number])
        }
      } catch {
        throw Failure(operation: max(0, number), violation: "\(error)")
      }
    }
    coverage.operationCount = operations.count
    return coverage
  }

  private func start() throws {
    try CommitLog.create(
      at: SimulatedStore.root, partitionCount: model.partitions.count,
      configuration: ManifestEdit.StoredConfiguration(
        codec: .lz4, segmentSize: 64 << 10, batchSize: 4 << 10), environment: environment())
    try open(choice: 0)
    try checkRecovered(keepsWritten: true)
  }

  /// Does one operation.
  ///
  /// What a dying disk makes of it says nothing; what it leaves behind does.
  private func step(_ operation: ModelOperation) throws {
    do {
      try perform(operation)
    } catch {
      guard disk.isDead else { throw error }
    }
    guard disk.isDead, let death else { return }
    self.death = nil
    coverage.note(.deathsWithin)
    try crash(death.style, again: death.again, choice: death.again)
  }

  private func perform(_ operation: ModelOperation) throws {
    switch operation {
    case .append, .synchronize, .mark, .roll: try write(operation)
    case .merge, .writeFooter, .maintain, .loseDerived: try maintain(operation)
    case .read, .readRange, .readDevices, .readFrom, .readLast, .resume: try read(operation)
    case .beginReader(let partition, let from, let devices):
      beginReader(in: index(partition), from: from, devices)
    case .advanceReader(let count): try advanceReader(count)
    case .follow(let partition, let from, let isFresh):
      try follow(index(partition), from: from, isFresh: isFresh)
    case .createGroup, .deleteGroup, .commit, .takeOver, .reset: try consume(operation)
    case .retain(let rule, let isDryRun): try retain(rule, isDryRun: isDryRun)
    case .copy(let place): try copy(place)
    case .checkCopy(let place): try checkCopy(place % copies.count, isOpened: place % 4 == 0)
    case .closeAndOpen(let choice): try closeAndOpen(choice: choice)
    case .crash(let style, let choice): try crash(style, again: 0, choice: choice)
    case .crashLater(let style, let after, let again):
      death = (style, again)
      disk.plan = .crash(at: disk.operationCount + after)
    }
  }

  // MARK: The store

  /// The store under test, which is open between any two operations.
  var store: SimulatedStore {
    get throws {
      guard let openStore else { throw ModelViolation("the store is not open") }
      return openStore
    }
  }

  func log(_ partition: Int) throws -> PartitionLog { try store.log.partitions[partition] }

  func index(_ partition: Int) -> Int { partition % model.partitions.count }

  func nextSerial() -> UInt64 {
    serial += 1
    return serial
  }

  /// What the engine takes from outside: other random numbers at each opening.
  func environment() -> EngineEnvironment {
    openings += 1
    let random = Mutex(SeededRandom(seed: seed &* 0x1_0001 &+ openings))
    let clock = clock
    return EngineEnvironment(
      fileSystem: fileSystem, now: { clock.now },
      random: { random.withLock { $0.next() } })
  }

  func open(choice: Int) throws {
    let codec: CompressionCodec = [.lz4, .none, .zstd][choice % 3]
    let store = try SimulatedStore.open(
      in: environment(),
      choices: CommitLog.Choices(
        codec: codec, segmentSize: [2, 4, 8][choice / 3 % 3] << 10, batchSize: 4 << 10))
    openStore = store
    try store.log.findMaintenance()
  }

  func check(_ holds: Bool, _ violation: @autoclosure () -> String) throws {
    if !holds { throw ModelViolation(violation()) }
  }
}

/// The clock of a model-based run: it moves when an operation says so.
final class ModelClock: Sendable {
  private let time = Mutex<Int64>(1_700_000_000_000_000)

  var now: Timestamp { Timestamp(microseconds: time.withLock { $0 }) }

  func move(by microseconds: Int64) { time.withLock { $0 += microseconds } }
}
