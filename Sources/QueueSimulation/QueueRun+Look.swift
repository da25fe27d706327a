internal import EventModel
internal import Millrace

/// Looking at queues and at what became of messages.
extension QueueRun {
  // MARK: Queues

  func peek(_ device: Int, max: Int) async throws {
    let found = try await queue(device).peek(max: max)
    let expected = Array(ledger.current.queues[device].prefix(max))
    if let difference = difference(of: found, from: expected, at: wall) {
      throw QueueViolation("\(Self.devices[device]): \(difference)")
    }
  }

  func count(_ device: Int) async throws {
    let queue = ledger.current.queues[device]
    let found = try await self.queue(device).counts()
    try check(
      found?.pending ?? 0 == queue.count
        && found?.locked ?? 0 == queue.count { $0.lock != nil }
        && found?.size.bytes ?? 0 == size(of: queue)
        && found?.oldestTime?.microseconds == queue.first?.enqueued,
      "\(String(describing: found)), not \(queue)")
  }

  func total() async throws {
    let model = ledger.current
    let found = try await store.queueTotals()
    try check(
      found.devices == model.queues.count { !$0.isEmpty } && found.pending == model.pendingCount
        && found.locked == model.lockedCount,
      "\(found), not \(model.queues)")
  }

  /// What a device's queue differs in from what it should hold; nil when it is the same.
  func difference(
    of found: [QueuedMessage], from expected: [QueueModel.Message], at wall: Int64
  ) -> String? {
    guard found.count == expected.count else {
      return "messages \(found.map(\.sequenceNumber)), not \(expected)"
    }
    for (found, message) in zip(found, expected) {
      do {
        try checkContent(
          found.sequenceNumber, found.enqueuedTime, found.expiryTime, found.message, message)
      } catch {
        return "\(error)"
      }
      let from = found.availableFrom?.microseconds
      guard found.deliveryCount == message.deliveryCount,
        found.isLocked == (message.lock != nil),
        max(from ?? wall, wall) == max(message.availableFrom ?? wall, wall)
      else { return "\(found), not \(message)" }
    }
    return nil
  }

  /// A message is the one that was sent.
  func checkContent(
    _ sequence: UInt64, _ enqueued: Timestamp, _ expiry: Timestamp, _ found: DeviceMessage,
    _ message: QueueModel.Message
  ) throws {
    var sent = try message.content.message()
    sent.expiryTime = Timestamp(microseconds: message.expiry)
    sent.feedback = message.feedback
    try check(
      sequence == message.sequence ?? sequence && enqueued.microseconds == message.enqueued
        && expiry.microseconds == message.expiry && found == sent,
      "message \(sequence) of \(enqueued.microseconds) until \(expiry.microseconds): \(found) is "
        + "not \(message)")
  }

  // MARK: Time

  /// Time does what is due.
  ///
  /// - Parameter passed: microseconds of the steady clock since the last time.
  /// - Throws: ``QueueViolation`` where the store does something else.
  func settleDue(afterPassing passed: Int64) async throws {
    wall = max(clock.wall, wall + passed)
    let due = ledger.recordDue(at: wall, steady: clock.steady)
    try await store.settleDue()
    ledger.acknowledge()
    coverage.note(.expired, due.count { $0.expiry <= wall })
    coverage.note(.locksRunOut, due.count { $0.expiry > wall })
    try await total()
  }

  // MARK: Outcomes

  /// Compares the feedback and the dead letters with what became of the messages: each outcome
  /// once, and nothing else.
  ///
  /// - Parameter settled: keys of messages of which everything must have been copied by now.
  /// - Throws: ``QueueViolation`` where something is missing, wrong or said twice.
  func checkOutcomes(copied settled: Set<Int> = []) async throws {
    let known = outcomesBySequence
    var feedback: [UInt64: SettlementStatus] = [:]
    for try await batch in try store.batches(in: .feedback, until: .highWatermark) {
      try check(batch.gap == nil, "a gap in the feedback")
      for report in batch.compactMap(\.feedbackReport) {
        try check(
          feedback.updateValue(report.statusCode, forKey: report.sequenceNumber) == nil,
          "twice in the feedback: \(report)")
        try check(
          outcomes(of: report.sequenceNumber, id: report.originalMessageID, known).contains {
            $0.givesFeedback && $0.matches(report)
          }, "not what happened: \(report)")
      }
    }
    var letters: [DeadLetter] = []
    var dead: [UInt64: SettlementStatus] = [:]
    for try await batch in try store.batches(in: .deadLetters, until: .highWatermark) {
      try check(batch.gap == nil, "a gap in the dead letters")
      for letter in batch.compactMap(\.deadLetter) {
        try check(
          dead.updateValue(letter.statusCode, forKey: letter.sequenceNumber) == nil,
          "twice in the dead letters: \(letter)")
        let id = letter.message.systemProperties[.messageID]
        let outcome = outcomes(of: letter.sequenceNumber, id: id, known).first {
          $0.status.isDeadLetter && $0.matches(letter)
        }
        guard let outcome else { throw QueueViolation("not what happened: \(letter)") }
        try checkContent(
          letter.sequenceNumber, letter.enqueuedTime, letter.expiryTime, letter.message,
          outcome.message)
        letters.append(letter)
      }
    }
    for (number, status) in dead where feedback[number] ?? status != status {
      throw QueueViolation("message \(number) ended as \(status), and in the feedback otherwise")
    }
    try check(
      shownFeedback.isSubset(of: feedback.keys) && shownDeadLetters.isSubset(of: dead.keys),
      "something that was read is gone from feedback or dead letters")
    (shownFeedback, shownDeadLetters) = (Set(feedback.keys), Set(dead.keys))
    deadLetters = letters
    try checkComplete(settled, feedback: feedback.count, dead: dead.count)
    coverage.note(.outcomesCompared, feedback.count + dead.count)
  }

  /// Everything that was settled has been told of.
  private func checkComplete(_ settled: Set<Int>, feedback: Int, dead: Int) throws {
    var must = (feedback: 0, dead: 0)
    var may = (feedback: 0, dead: 0)
    for outcome in ledger.current.ended {
      if outcome.givesFeedback { may.feedback += 1 }
      if outcome.status.isDeadLetter { may.dead += 1 }
    }
    for (key, ways) in ledger.outcomes {
      if ways.contains(where: \.givesFeedback) { may.feedback += 1 }
      if ways.contains(where: \.status.isDeadLetter) { may.dead += 1 }
      guard settled.contains(key), !ledger.doubtful.contains(key),
        let message = ways.first?.message
      else { continue }
      if ways.allSatisfy(\.givesFeedback) {
        must.feedback += 1
        try check(
          message.sequence.map(shownFeedback.contains) ?? true, "no feedback for \(message)")
      }
      if ways.allSatisfy(\.status.isDeadLetter) {
        must.dead += 1
        try check(
          message.sequence.map(shownDeadLetters.contains) ?? true,
          "no dead letter for \(message)")
      }
    }
    try check(
      (must.feedback...may.feedback).contains(feedback) && (must.dead...may.dead).contains(dead),
      "\(feedback) in the feedback and \(dead) dead letters; \(must) at least, \(may) at most")
  }

  private var outcomesBySequence: [UInt64?: [QueueModel.Outcome]] {
    var known: [UInt64?: [QueueModel.Outcome]] = [:]
    for outcome in ledger.outcomes.values.joined() {
      known[outcome.message.sequence, default: []].append(outcome)
    }
    for outcome in ledger.current.ended {
      known[outcome.message.sequence, default: []].append(outcome)
    }
    return known
  }

  /// How a message may have ended: by its number, or by its id where nobody was told the number.
  private func outcomes(
    of sequence: UInt64, id: String?, _ known: [UInt64?: [QueueModel.Outcome]]
  ) -> [QueueModel.Outcome] {
    if let outcomes = known[sequence] { return outcomes }
    return known[nil]?.filter { $0.message.content.id == id } ?? []
  }

  func outcomes(of sequence: UInt64, _ message: DeviceMessage) -> [QueueModel.Outcome] {
    outcomes(of: sequence, id: message.systemProperties[.messageID], outcomesBySequence)
  }
}

extension QueueModel.Outcome {
  fileprivate func matches(_ report: FeedbackReport) -> Bool {
    report.originalMessageID == message.content.id
      && report.device == QueueRun.devices[message.device] && report.statusCode == status
      && report.description == description
      && report.deviceGenerationID == message.content.generationID
  }

  fileprivate func matches(_ letter: DeadLetter) -> Bool {
    letter.device == QueueRun.devices[message.device] && letter.statusCode == status
      && letter.reason == description && letter.deliveryCount == deliveryCount
  }
}
