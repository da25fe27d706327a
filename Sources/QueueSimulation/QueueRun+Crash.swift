internal import EventModel
internal import Millrace
internal import SimulationKit
internal import SystemPackage

/// Ends of the store, and what must be there when it has been opened again.
extension QueueRun {
  func closeAndOpen() async throws {
    try await store.close()
    ledger.acknowledge()
    let settled = Set(ledger.outcomes.keys)
    openStore = nil
    coverage.note(.closes)
    noteJournal()
    try await open()
    try await checkReopened()
    try await checkOutcomes(copied: settled)
  }

  /// Whether the journal has been rolled, segments of it have gone, and there are queue files.
  private func noteJournal() {
    let names = disk.image.keys.filter { $0.string.hasSuffix(".journal") }.compactMap {
      $0.lastComponent?.string
    }.sorted()
    coverage.note(.rolls, names.count - 1)
    coverage.note(.filed, disk.image.keys.count { $0.extension == "queue" })
    // A segment's name begins with its first number.
    let first = names.first?.prefix { $0 != "-" } ?? "0"
    coverage.note(.journalReleased, first.allSatisfy { $0 == "0" } ? 0 : 1)
  }

  /// The process or the machine dies; another one goes on with what is on the disk.
  func crash(_ style: CrashStyle, again: Int, choice: Int) async throws {
    coverage.note(style == .processOnly ? .kills : .powerLosses)
    death = nil
    var random = SeededRandom(seed: seed &* 0x1_0003 &+ UInt64(choice))
    await replaceDisk(by: style, &random)
    if again > 0 { disk.plan = .crash(at: again) }
    while openStore == nil {
      do {
        try await open()
      } catch {
        guard disk.isDead else { throw error }
      }
      disk.plan = .none
      guard disk.isDead else { continue }
      coverage.note(.deathsInRecovery)
      await replaceDisk(by: again % 2 == 0 ? .random : style, &random)
    }
    try await checkReopened()
    try await checkOutcomes()
  }

  /// What is found after a crash now; the old store writes on to a disk that nobody sees.
  private func replaceDisk(by style: CrashStyle, _ random: inout SeededRandom) async {
    let image = disk.crashImage(using: &random, style)
    await abandonStore()
    disk = image
    coverage.crashStates.insert(image.fingerprint())
  }

  /// Compares the queues of a store that was just opened with each state in which the crash may
  /// have left them; the model goes on with what was found.
  private func checkReopened() async throws {
    var found: [[QueuedMessage]] = []
    for device in 0..<deviceCount { found.append(try await queue(device).peek(max: .max)) }
    for queue in found {
      let numbers = queue.map(\.sequenceNumber)
      try check(zip(numbers, numbers.dropFirst()).allSatisfy(<), "out of order: \(numbers)")
    }
    var fitting: [(model: QueueModel, wall: Int64)] = []
    var differences: [String] = []
    for candidate in ledger.candidates {
      let wall = max(clock.wall, candidate.lastTime ?? clock.wall)
      let model = candidate.reopened(at: wall)
      let difference = found.indices.lazy.compactMap {
        self.difference(of: found[$0], from: model.queues[$0], at: wall)
      }.first
      if let difference {
        differences.append(difference)
      } else {
        fitting.append((model, wall))
      }
    }
    let sentAgain = try await store.deadLettersSentAgain()
    if !fitting.isEmpty {
      fitting.removeAll { $0.model.sentAgain != sentAgain }
      try check(!fitting.isEmpty, "dead letters \(sentAgain.sorted()) were sent again")
    }
    guard let last = fitting.last else {
      throw QueueViolation(
        "after a restart the queues are none of \(differences.count) states: "
          + "\(differences.joined(separator: "; or "))")
    }
    coverage.note(.undecided, fitting.count > 1 ? 1 : 0)
    coverage.note(.changesLost, differences.isEmpty ? 0 : 1)
    wall = last.wall
    // Also where only the next opening goes by it, because the clock was set back until then.
    let isTimeKnown = fitting.allSatisfy {
      $0.wall == wall && $0.model.lastTime == last.model.lastTime
    }
    if !isTimeKnown {
      wall = try await probeTime()
      fitting.removeAll { $0.wall != wall }
      try check(!fitting.isEmpty, "the queues go by \(wall), not by a time that was")
    }
    ledger.resume(fitting.map(\.model))
    // The probe has left records.
    if !isTimeKnown { ledger.amend { $0.lastTime = max($0.lastTime ?? .min, wall) } }
    // All are void by now: a few are tried.
    tokens.removeFirst(max(0, tokens.count - 4))
    try adoptNumbers(found)
    try await total()
  }

  /// Which time the queues go by.
  private func probeTime() async throws -> Int64 {
    let queue = try store.deviceQueue(for: Self.probe)
    let number = try await queue.enqueue(DeviceMessage(body: "time", feedback: FeedbackMode.none))
    let found = try await queue.peek()
    try await queue.remove()
    coverage.note(.timeProbed)
    guard let found = found.first, found.sequenceNumber == number else {
      throw QueueViolation("a message that was just sent is not there")
    }
    return found.enqueuedTime.microseconds
  }

  /// Messages whose sender was told nothing are there with numbers that nobody was given.
  private func adoptNumbers(_ found: [[QueuedMessage]]) throws {
    var numbers: [UInt64] = []
    ledger.amend { model in
      for (device, queue) in found.enumerated() {
        for (index, message) in queue.enumerated()
        where model.queues[device][index].sequence == nil {
          model.queues[device][index].sequence = message.sequenceNumber
          numbers.append(message.sequenceNumber)
        }
      }
    }
    coverage.note(.foundInDoubt, numbers.count)
    for number in numbers.sorted() { try take(number) }
  }
}
