/// One thing that a model-based run does to a store.
///
/// Its parameters are numbers without a meaning of their own: each is taken modulo what is there
/// when the operation runs, so that every part of a sequence is a sequence as well.
package enum ModelOperation: Hashable, Sendable {
  /// Hands one batch to the operating system, after the clock has moved by some microseconds.
  case append(partition: Int, count: Int, size: Int, devices: Int, clock: Int64)
  case synchronize(partition: Int)
  case mark(partition: Int)
  case roll(partition: Int)
  case merge(partition: Int)
  case writeFooter(partition: Int)
  case maintain
  /// Removes a file that can be made again from its segment (I6).
  case loseDerived(partition: Int, place: Int)

  case read(partition: Int, from: Int)
  case readRange(partition: Int, from: Int, count: Int)
  case readDevices(partition: Int, from: Int, devices: Int)
  case readFrom(partition: Int, time: Int)
  case readLast(partition: Int, device: Int)
  /// Reads on where a consumer group has come to.
  case resume(group: Int, partition: Int)
  /// Begins to read with a cursor that stays open while other things happen.
  case beginReader(partition: Int, from: Int, devices: Int?)
  case advanceReader(count: Int)
  /// Reads through a follower beside the writer.
  case follow(partition: Int, from: Int, isFresh: Bool)

  case createGroup(Int)
  case deleteGroup(Int)
  case commit(group: Int, partition: Int, advance: Int)
  case takeOver(group: Int, partition: Int)
  case reset(group: Int, partition: Int, target: ResetTarget, place: Int)
  case retain(Retention, isDryRun: Bool)

  /// Makes a copy of the store in one of the places for copies.
  case copy(place: Int)
  case checkCopy(place: Int)

  case closeAndOpen(choice: Int)
  /// The process or the machine dies between two operations.
  case crash(CrashStyle, choice: Int)
  /// The process or the machine dies within one of the next calls to the disk, and perhaps once
  /// more while the store is recovered.
  case crashLater(CrashStyle, after: Int, again: Int)

  package enum ResetTarget: Hashable, Sendable, CaseIterable {
    case earliest, latest, number, time
  }

  /// What retention lets go: the age in permille of the time that the events span, sizes in percent
  /// of the store's.
  package struct Retention: Hashable, Sendable {
    package var age: Int?
    package var size: Int?
    package var keepsUntilConsumed: Bool
    package var unreadSizeMax: Int?
  }
}

extension ModelOperation {
  /// The operations that a seed determines.
  package static func sequence(seed: UInt64, count: Int) -> [Self] {
    var random = SeededRandom(seed: seed)
    return (0..<count).map { _ in next(&random) }
  }

  private static func next(_ random: inout SeededRandom) -> Self {
    switch random.below(1_000) {
    case 0..<440: writing(&random)
    case 440..<760: reading(&random)
    case 760..<920: consuming(&random)
    case 920..<940: .copy(place: random.below(100))
    case 940..<955: .checkCopy(place: random.below(100))
    default: ending(&random)
    }
  }

  private static func writing(_ random: inout SeededRandom) -> Self {
    let partition = random.below(100)
    switch random.below(100) {
    case 0..<50: return append(partition, &random)
    case 50..<70: return .synchronize(partition: partition)
    case 70..<74: return .mark(partition: partition)
    case 74..<83: return .roll(partition: partition)
    case 83..<89: return .merge(partition: partition)
    case 89..<94: return .writeFooter(partition: partition)
    case 94..<97: return .maintain
    default: return .loseDerived(partition: partition, place: random.below(1_000))
    }
  }

  private static func append(_ partition: Int, _ random: inout SeededRandom) -> Self {
    let isLarge = random.chance(percent: 15)
    let clock: Int64 =
      random.chance(percent: 8)
      ? -Int64(random.below(2_000_000))
      : Int64(random.below(4) == 0 ? 0 : random.below(1_000_000))
    return .append(
      partition: partition, count: isLarge ? 10 + random.below(40) : 1 + random.below(5),
      size: [0, 20, 60, isLarge ? 100 : 400][random.below(4)],
      devices: random.chance(percent: 50) ? 1 << random.below(12) : random.below(1 << 12),
      clock: clock)
  }

  private static func reading(_ random: inout SeededRandom) -> Self {
    let partition = random.below(100)
    let from = random.below(100_000)
    switch random.below(100) {
    case 0..<12: return .read(partition: partition, from: from)
    case 12..<24:
      return .readRange(partition: partition, from: from, count: random.below(40))
    case 24..<40:
      return .readDevices(partition: partition, from: from, devices: random.below(1 << 14))
    case 40..<52: return .readFrom(partition: partition, time: from)
    case 52..<60: return .readLast(partition: partition, device: random.below(100))
    case 60..<64: return .resume(group: random.below(100), partition: partition)
    case 64..<70:
      let devices = random.chance(percent: 40) ? random.below(1 << 12) : nil
      return .beginReader(partition: partition, from: from, devices: devices)
    case 70..<88: return .advanceReader(count: 1 + random.below(4))
    default:
      return .follow(
        partition: partition, from: from, isFresh: random.chance(percent: 20))
    }
  }

  private static func consuming(_ random: inout SeededRandom) -> Self {
    let (group, partition) = (random.below(100), random.below(100))
    switch random.below(100) {
    case 0..<46: return .commit(group: group, partition: partition, advance: random.below(1_000))
    case 46..<56: return .takeOver(group: group, partition: partition)
    case 56..<70:
      return .reset(
        group: group, partition: partition,
        target: ResetTarget.allCases[random.below(ResetTarget.allCases.count)],
        place: random.below(100_000))
    case 70..<76: return .createGroup(group)
    case 76..<80: return .deleteGroup(group)
    default: return .retain(retention(&random), isDryRun: random.chance(percent: 20))
    }
  }

  private static func retention(_ random: inout SeededRandom) -> Retention {
    var rule = Retention(keepsUntilConsumed: random.chance(percent: 40))
    if random.chance(percent: 50) { rule.age = 200 + random.below(900) }
    if random.chance(percent: 60) { rule.size = 50 + random.below(70) }
    if random.chance(percent: 30) { rule.unreadSizeMax = 60 + random.below(100) }
    return rule
  }

  private static func ending(_ random: inout SeededRandom) -> Self {
    let style = CrashStyle.allCases[random.below(CrashStyle.allCases.count)]
    switch random.below(100) {
    case 0..<25: return .closeAndOpen(choice: random.below(1_000))
    case 25..<55: return .crash(style, choice: random.below(1 << 20))
    default:
      return .crashLater(
        style, after: 1 + random.below(random.below(3) == 0 ? 60 : 12),
        again: random.chance(percent: 40) ? 1 + random.below(30) : 0)
    }
  }
}
