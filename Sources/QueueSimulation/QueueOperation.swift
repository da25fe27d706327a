package import SimulationKit

/// One thing that a model-based run does to the queues of a store.
///
/// Its parameters are numbers without a meaning of their own: each is taken modulo what is there
/// when the operation runs, so that every part of a sequence is a sequence as well.
package enum QueueOperation: Hashable, Sendable {
  case enqueue([Sending])
  case receive(device: Int, max: Int, ticks: Int?)
  case settle(Verb, token: Int, isForeign: Bool)
  /// Completes with tokens of any age, some of them twice, some of other devices.
  case completeMany([Int])
  case renew(token: Int, ticks: Int?, isForeign: Bool)
  case purge(device: Int)
  case remove(device: Int)
  case peek(device: Int, max: Int)
  case count(device: Int)
  case total
  /// Reads the feedback and the dead letters beside the writer.
  case readOutcomes
  /// Puts a dead letter back into its queue.
  case resend(Int)

  /// Both clocks go on.
  case pass(microseconds: Int64)
  /// The clock on the wall is set, forwards or back.
  case setClock(microseconds: Int64)

  case closeAndOpen
  /// The process or the machine dies between two operations.
  case crash(CrashStyle, choice: Int)
  /// The process or the machine dies within one of the next calls to the disk, and perhaps once
  /// more while the store is recovered.
  case crashLater(CrashStyle, after: Int, again: Int)

  package enum Verb: Hashable, Sendable {
    case complete
    case abandon(ticks: Int)
    case reject(hasReason: Bool)
  }

  /// A message to one device.
  package struct Sending: Hashable, Sendable {
    package enum Fault: Hashable, Sendable {
      case none
      case oversized
      case liveForNothing
      case expired
    }

    package var device: Int
    package var size: Int
    /// Time to live in ticks of the expiry wheel; nil for the store's.
    package var ticks: Int?
    /// Microseconds that are added to it: those that fall between two ticks.
    package var fraction: Int64
    /// Whether the sender names the instant instead of the time to live.
    package var isAbsolute: Bool
    /// Raw value of the feedback mode; nil for the store's.
    package var feedback: UInt8?
    package var fault: Fault
  }
}

extension QueueOperation {
  /// Microseconds of a tick of the expiry wheel: a message is settled at most one late.
  static let tick: Int64 = 1 << 20

  /// The operations that a seed determines.
  package static func sequence(seed: UInt64, count: Int) -> [Self] {
    var random = SeededRandom(seed: seed)
    return (0..<count).map { _ in next(&random) }
  }

  private static func next(_ random: inout SeededRandom) -> Self {
    let device = random.below(100)
    switch random.below(1_000) {
    case 0..<260: return .enqueue(sendings(&random))
    case 260..<450:
      return .receive(
        device: device, max: random.below(12) == 0 ? 0 : 1 + random.below(5),
        ticks: random.chance(percent: 30) ? nil : 1 + random.below(20))
    case 450..<780: return settling(&random)
    case 780..<792: return .purge(device: device)
    case 792..<800: return .remove(device: device)
    case 800..<832: return .peek(device: device, max: random.below(8))
    case 832..<850: return .count(device: device)
    case 850..<858: return .total
    case 858..<866: return .readOutcomes
    case 866..<880: return .resend(random.below(1_000))
    case 880..<956: return time(&random)
    default: return ending(&random)
    }
  }

  private static func sendings(_ random: inout SeededRandom) -> [Sending] {
    let count = random.chance(percent: 70) ? 1 : 2 + random.below(5)
    return (0..<count).map { _ in
      Sending(
        device: random.below(100), size: [0, 10, 100, 1_500][random.below(4)],
        ticks: random.chance(percent: 20) ? nil : 1 + random.below(40),
        fraction: random.chance(percent: 30) ? Int64(random.below(Int(tick))) : 0,
        isAbsolute: random.chance(percent: 30),
        feedback: random.chance(percent: 30) ? nil : UInt8(random.below(4)),
        fault: random.chance(percent: 95)
          ? .none : [.oversized, .liveForNothing, .expired][random.below(3)])
    }
  }

  private static func settling(_ random: inout SeededRandom) -> Self {
    // Young tokens first: most hold their lock.
    let token = random.below(random.chance(percent: 75) ? 4 : 40)
    let isForeign = random.chance(percent: 4)
    let ticks = random.chance(percent: 50) ? nil : 1 + random.below(20)
    switch random.below(100) {
    case 0..<40: return .settle(.complete, token: token, isForeign: isForeign)
    case 40..<65:
      let delay = random.chance(percent: 50) ? 0 : 1 + random.below(10)
      return .settle(.abandon(ticks: delay), token: token, isForeign: isForeign)
    case 65..<80:
      return .settle(
        .reject(hasReason: random.chance(percent: 60)), token: token, isForeign: isForeign)
    case 80..<90: return .renew(token: token, ticks: ticks, isForeign: isForeign)
    default: return .completeMany((0..<1 + random.below(8)).map { _ in random.below(12) })
    }
  }

  private static func time(_ random: inout SeededRandom) -> Self {
    let ticks = Int64(random.below(8)) * tick
    let fraction = Int64(random.below(Int(tick)))
    switch random.below(100) {
    case 0..<55: return .pass(microseconds: ticks + fraction)
    case 55..<75: return .pass(microseconds: fraction)
    case 75..<80: return .pass(microseconds: 30 * tick + fraction)
    case 80..<92: return .setClock(microseconds: -2 * ticks - fraction)
    default: return .setClock(microseconds: 2 * ticks + fraction)
    }
  }

  private static func ending(_ random: inout SeededRandom) -> Self {
    let style = CrashStyle.allCases[random.below(CrashStyle.allCases.count)]
    switch random.below(100) {
    case 0..<30: return .closeAndOpen
    case 30..<50: return .crash(style, choice: random.below(1 << 20))
    default:
      return .crashLater(
        style, after: 1 + random.below(random.below(3) == 0 ? 60 : 12),
        again: random.chance(percent: 40) ? 1 + random.below(30) : 0)
    }
  }
}
