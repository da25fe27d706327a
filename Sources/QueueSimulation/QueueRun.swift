internal import EventModel
internal import Logging
internal import Millrace
internal import SimulationKit
internal import StorageIO
internal import Synchronization

/// Runs operations against the queues of a store on a simulated disk and against a ``QueueModel``,
/// and compares the two at every step.
///
/// One caller; the store's threads write beside it, so that a crash that is planned for an
/// operation of the disk may strike a little earlier or later when a seed is run again. Whatever it
/// strikes, what is found must be what the model allows.
final class QueueRun {
  /// Where a run went wrong: the operation that found it, and what it found.
  struct Failure: Error {
    let operation: Int
    let violation: String
  }

  /// The right to settle that a delivery gave.
  struct Token {
    /// Of the lock in the model.
    let id: Int
    let key: Int
    let device: Int
    let token: LockToken
  }

  static let devices = (0..<6).map { DeviceID(stringLiteral: "device-\($0)") }
  /// Has never a message.
  static let nobody: DeviceID = "nobody"
  /// Shows which time a store goes by.
  static let probe: DeviceID = "probe"
  static let tokenCountMax = 64

  let seed: UInt64
  let campaign: QueueCampaign
  let deviceCount: Int
  let rules: QueueModel.Rules
  let timeToLive: Int64 = 20 * QueueOperation.tick
  let lockDuration: Int64 = 5 * QueueOperation.tick
  let feedback: FeedbackMode
  let clock = QueueModelClock()
  /// The time that the queues go by.
  var wall: Int64
  var disk = SimulatedDisk()
  var openStore: EventStore?
  var ledger: QueueLedger
  var coverage = QueueCoverage()
  /// The youngest last.
  var tokens: [Token] = []
  /// The highest number that anybody was told.
  var highestNumber: UInt64 = 0
  /// Messages whose outcome somebody has read.
  var shownFeedback: Set<UInt64> = []
  var shownDeadLetters: Set<UInt64> = []
  /// What was read last of the dead letters.
  var deadLetters: [DeadLetter] = []
  /// How the process or machine dies once the disk's plan strikes.
  var death: (style: CrashStyle, again: Int)?
  /// Completions so far, for a test of the test.
  var completionCount = 0
  private var openings: UInt64 = 0
  private var ids = 0
  private var serial: UInt64 = 0

  init(seed: UInt64, campaign: QueueCampaign) {
    self.seed = seed
    self.campaign = campaign
    var random = SeededRandom(seed: seed &* 0x1_0007)
    deviceCount = 2 + random.below(4)
    let depthMax = 3 + random.below(6)
    rules = QueueModel.Rules(
      depthMax: depthMax,
      sizeMax: random.chance(percent: 40)
        ? 1_800 + random.below(4_000) : depthMax * Limits.messageSizeMax,
      deliveryCountMax: 1 + random.below(4), lockTimeoutsCount: random.chance(percent: 50))
    feedback = [.full, .full, .negative, .none][random.below(4)]
    ledger = QueueLedger(QueueModel(rules: rules, deviceCount: deviceCount))
    wall = clock.wall
  }

  /// Does all operations, then loses power, and looks once more after a clean close.
  func run(_ operations: [QueueOperation]) async throws(Failure) -> QueueCoverage {
    for number in -1...operations.count + 1 {
      do {
        switch number {
        case -1: try await open()
        case operations.count: try await step(.crash(.dropAll, choice: 0))
        case operations.count + 1: try await step(.closeAndOpen)
        default: try await step(operations[number])
        }
      } catch {
        await abandonStore()
        throw Failure(
          operation: min(max(0, number), operations.count - 1), violation: "\(error)")
      }
    }
    await abandonStore()
    coverage.operationCount = operations.count
    return coverage
  }

  /// Does one operation.
  ///
  /// What a dying disk makes of it says nothing; what it leaves behind does.
  private func step(_ operation: QueueOperation) async throws {
    do {
      try await perform(operation)
    } catch {
      guard disk.isDead else { throw error }
    }
    guard disk.isDead else { return }
    let death = death ?? (.dropAll, 0)
    coverage.note(.deathsWithin)
    try await crash(death.style, again: death.again, choice: death.again)
  }

  private func perform(_ operation: QueueOperation) async throws {
    switch operation {
    case .enqueue(let sendings): try await enqueue(sendings)
    case .receive(let device, let max, let ticks):
      try await receive(by: device % deviceCount, max: max, ticks: ticks)
    case .settle(let verb, let token, let isForeign):
      try await settle(verb, token, isForeign: isForeign)
    case .completeMany(let places): try await completeMany(places)
    case .renew(let token, let ticks, let isForeign):
      try await renew(token, ticks: ticks, isForeign: isForeign)
    case .purge(let device): try await purge(device % deviceCount)
    case .remove(let device): try await remove(device % deviceCount)
    case .peek(let device, let max): try await peek(device % deviceCount, max: max)
    case .count(let device): try await count(device % deviceCount)
    case .total: try await total()
    case .readOutcomes: try await checkOutcomes()
    case .resend(let choice): try await resend(choice)
    case .pass(let microseconds):
      clock.pass(microseconds)
      try await settleDue(afterPassing: microseconds)
    case .setClock(let microseconds):
      clock.set(forwardBy: microseconds)
      coverage.note(microseconds < 0 ? .clockSetBack : .clockSetForwards)
      try await settleDue(afterPassing: 0)
    case .closeAndOpen: try await closeAndOpen()
    case .crash(let style, let choice): try await crash(style, again: 0, choice: choice)
    case .crashLater(let style, let after, let again):
      death = (style, again)
      disk.plan = .crash(at: disk.operationCount + after)
    }
  }

  // MARK: The store

  /// The store under test, which is open between any two operations.
  var store: EventStore {
    get throws {
      guard let openStore else { throw QueueViolation("the store is not open") }
      return openStore
    }
  }

  func queue(_ device: Int) throws -> DeviceQueue {
    try store.deviceQueue(for: Self.devices[device])
  }

  func nextID() -> Int {
    ids += 1
    return ids
  }

  func nextSerial() -> UInt64 {
    serial += 1
    return serial
  }

  /// Opens the store, other random numbers at each opening, and has its queues begin.
  func open() async throws {
    openings += 1
    let random = Mutex(SeededRandom(seed: seed &* 0x1_0001 &+ openings))
    let clock = clock
    var queues = EventStore.Queues(
      depthMax: rules.depthMax, sizeMax: ByteCount(rules.sizeMax),
      timeToLive: .microseconds(timeToLive), feedback: feedback,
      lockDuration: .microseconds(lockDuration), deliveryCountMax: rules.deliveryCountMax,
      lockTimeoutsCount: rules.lockTimeoutsCount)
    queues.journalSegmentSize = (seed % 2 == 0 ? 16 : 2) << 10
    // Some find a part of what was sent in memory, some nothing.
    queues.cacheSize = [.bytes(0), .kibibytes(1), .mebibytes(1)][Int(seed % 3)]
    let store = try await EventStore.open(
      at: "/store",
      configuration: EventStore.Configuration(
        partitionCount: 1, segmentSize: .kibibytes(64), batchSize: .kibibytes(4), queues: queues,
        // Every simulated crash would be told.
        logger: Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }),
      access: .createIfAbsent,
      environment: EngineEnvironment(
        fileSystem: campaign.wrapping(disk),
        now: { Timestamp(microseconds: clock.wall) }, steady: { clock.steady },
        random: { random.withLock { $0.next() } }))
    openStore = store
    // The queues take the time when they begin.
    try await store.deviceQueue(for: Self.nobody).purge()
    try await store.settleDue()
  }

  /// Ends the store as a process ends that dies: what it still writes is on a disk that is gone.
  func abandonStore() async {
    disk.plan = .crash(at: disk.operationCount + 1)
    guard let store = openStore else { return }
    openStore = nil
    do {
      try await store.close()
    } catch {
      return
    }
  }

  func check(_ holds: Bool, _ violation: @autoclosure () -> String) throws {
    if !holds { throw QueueViolation(violation()) }
  }
}

/// The clocks of a model-based run: they move when an operation says so.
final class QueueModelClock: Sendable {
  private let times = Mutex<(wall: Int64, steady: Int64)>((1_700_000_000_000_000, 0))

  var wall: Int64 { times.withLock { $0.wall } }
  var steady: Int64 { times.withLock { $0.steady } }

  func pass(_ microseconds: Int64) {
    times.withLock { times in
      times.wall += microseconds
      times.steady += microseconds
    }
  }

  /// Sets the clock on the wall.
  func set(forwardBy microseconds: Int64) { times.withLock { $0.wall += microseconds } }
}
