internal import CommitLog
internal import EventModel
package import StorageIO

/// Crashes a seeded workload at every storage operation, in many ways each, also while it recovers,
/// and counts the distinct states that were tried.
package struct CrashCampaign: Sendable {
  /// A state that broke the predicate, and how to see it again.
  package struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
    package let seed: UInt64
    package let operation: Int
    package let style: String
    package let violation: String

    package var description: String {
      "seed \(seed), crash at operation \(operation), \(style): \(violation)\n"
        + "replay: swift run -c release torture --seed \(seed) --operation \(operation)"
    }
  }

  /// The states that were tried, by their fingerprints.
  package private(set) var states: Set<UInt64> = []
  /// How many were tried, the same ones again included.
  package private(set) var trialCount = 0
  /// What the workload runs on: the disk, unless a test of the campaign itself puts something in
  /// between.
  package var wrapping: @Sendable (SimulatedDisk) -> any FileSystem = { $0 }
  /// Random disk states of each crash.
  package var randomImages = 4

  package init() {}

  /// Runs one workload and every crash of it.
  ///
  /// - Parameters:
  ///   - seed: determines the workload.
  ///   - operation: only the crash at this operation, to see a failure again.
  /// - Throws: ``Failure`` with what it takes to see it again.
  package mutating func run(seed: UInt64, operation: Int? = nil) throws(Failure) {
    let workload = Workload(seed: seed)
    let count = try operationCount(workload)
    let operations = operation.map { $0...$0 } ?? 1...count
    for number in operations { try crash(workload, at: number) }
  }

  private func operationCount(_ workload: Workload) throws(Failure) -> Int {
    let disk = SimulatedDisk()
    do throws(CommitLogFailure) {
      _ = try workload.run(on: disk, through: wrapping(disk))
    } catch {
      throw failure(workload, 0, "no crash", "\(error)")
    }
    return disk.operationCount
  }

  private mutating func crash(_ workload: Workload, at operation: Int) throws(Failure) {
    let dead = SimulatedDisk(.crash(at: operation))
    let outcome: Workload.Outcome
    do throws(CommitLogFailure) {
      outcome = try workload.run(on: dead, through: wrapping(dead))
    } catch {
      throw failure(workload, operation, "before the crash", "\(error)")
    }
    if let violation = outcome.violation {
      throw failure(workload, operation, "before the crash", violation)
    }
    let model = outcome.model
    var random = SeededRandom(seed: workload.seed &+ UInt64(operation) &* 0x10001)
    let styles: [CrashStyle] =
      [.dropAll, .keepAll, .processOnly, .prefix, .prefix]
      + Array(repeating: .random, count: randomImages)
    for (index, style) in styles.enumerated() {
      let start = random
      let image = dead.crashImage(using: &random, style)
      guard note(image) else { continue }
      try check(model, image, workload, operation, style.rawValue)
      // Each way to find the disk is also crashed once more while it is being recovered.
      guard index % 4 == operation % 4 else { continue }
      try crashRecovery(model, dead, start, style, workload, operation)
    }
    try killThenLosePower(model, dead, &random, workload, operation)
  }

  private mutating func note(_ image: SimulatedDisk) -> Bool {
    trialCount += 1
    return states.insert(image.fingerprint()).inserted
  }

  private func check(
    _ model: ReferenceModel, _ image: SimulatedDisk, _ workload: Workload, _ operation: Int,
    _ style: String
  ) throws(Failure) {
    let violation = CrashPredicate.violation(
      of: model, on: image, segmentSize: workload.segmentSize,
      seed: workload.seed &+ UInt64(operation))
    if let violation { throw failure(workload, operation, style, violation) }
  }

  /// Recovers and crashes at each operation of that, then recovers again.
  private mutating func crashRecovery(
    _ model: ReferenceModel, _ dead: SimulatedDisk, _ start: SeededRandom, _ style: CrashStyle,
    _ workload: Workload, _ operation: Int
  ) throws(Failure) {
    var inner = 1
    while true {
      var random = start
      let image = dead.crashImage(using: &random, style)
      image.plan = .crash(at: inner)
      do throws(CommitLogFailure) {
        _ = try SimulatedStore.open(
          on: image, segmentSize: workload.segmentSize, seed: workload.seed &+ UInt64(inner))
      } catch {
        // The second crash, or no store to recover; the predicate tells which.
        image.plan = image.isDead ? image.plan : .none
      }
      guard image.isDead else { return }
      for second in [CrashStyle.dropAll, .random] {
        let again = image.crashImage(using: &random, second)
        guard note(again) else { continue }
        try check(
          model, again, workload, operation,
          "\(style.rawValue), then at operation \(inner) of the recovery, \(second.rawValue)")
      }
      inner += 1
    }
  }

  /// A kill, a new process that reads, then a power loss: what was read must still be there.
  private mutating func killThenLosePower(
    _ model: ReferenceModel, _ dead: SimulatedDisk, _ random: inout SeededRandom,
    _ workload: Workload, _ operation: Int
  ) throws(Failure) {
    guard model.exists else { return }
    let killed = dead.crashImage(using: &random, .processOnly)
    var seen = model
    do throws(CommitLogFailure) {
      let store = try SimulatedStore.open(
        on: killed, segmentSize: workload.segmentSize, seed: workload.seed)
      for partition in model.partitions.indices {
        seen.partitions[partition].seen = try store.read(partition).serials.count
      }
    } catch {
      throw failure(workload, operation, "killed and opened", "\(error)")
    }
    for style in [CrashStyle.dropAll, .random] {
      let image = killed.crashImage(using: &random, style)
      guard note(image) else { continue }
      try check(
        seen, image, workload, operation, "killed, opened, read, then \(style.rawValue)")
    }
  }

  private func failure(
    _ workload: Workload, _ operation: Int, _ style: String, _ violation: String
  ) -> Failure {
    Failure(seed: workload.seed, operation: operation, style: style, violation: violation)
  }
}
