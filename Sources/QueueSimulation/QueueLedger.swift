/// What a crash may leave of the queues: the state that is known to be durable and each one that
/// came after it.
///
/// Changes come to the disk in their order, so that what is found after a crash is one of them.
struct QueueLedger {
  /// The oldest first; the last is what the store holds while it runs.
  private(set) var candidates: [QueueModel]
  /// Outcomes of messages that are known to be durable, by the message's key; of each the ways in
  /// which it may have ended.
  private(set) var outcomes: [Int: [QueueModel.Outcome]] = [:]
  /// Keys of those that may have gone without any outcome: removed, or never there.
  private(set) var doubtful: Set<Int> = []

  init(_ model: QueueModel) { candidates = [model] }

  var current: QueueModel { candidates[candidates.count - 1] }

  /// A record of the journal changes the queues.
  ///
  /// - Parameters:
  ///   - wall: the time.
  ///   - isJoined: whether the change is in the record of the one before: a crash leaves both or
  ///     none.
  ///   - change: what an entry of the record does.
  mutating func record(
    at wall: Int64, joined isJoined: Bool = false, _ change: (inout QueueModel) -> Void
  ) {
    var model = current
    change(&model)
    model.lastTime = max(model.lastTime ?? .min, wall)
    if isJoined { candidates.removeLast() }
    candidates.append(model)
  }

  /// Time does several things at once, which a crash may find done in part.
  ///
  /// - Returns: the messages that it did something to.
  mutating func recordDue(at wall: Int64, steady: Int64) -> [QueueModel.Message] {
    var model = current
    let due = model.due(at: wall, steady: steady)
    guard !due.isEmpty else { return [] }
    // A part of them may be durable: a restart does the rest, at this time or a later one, but may
    // find that a lock ended what would have expired.
    model.lastTime = max(model.lastTime ?? .min, wall)
    candidates.append(model)
    for message in due { model.settleDue(message, at: wall) }
    candidates.append(model)
    return due
  }

  /// Something that no crash can take: renewed locks, and numbers that were told.
  mutating func amend(_ change: (inout QueueModel) -> Void) {
    change(&candidates[candidates.count - 1])
  }

  /// Everything up to now is durable.
  mutating func acknowledge() {
    var model = current
    for outcome in model.ended { outcomes[outcome.message.key] = [outcome] }
    model.ended = []
    candidates = [model]
  }

  /// Goes on with what was found after a restart.
  ///
  /// - Parameter found: the states that it may be; they differ only in how messages ended.
  mutating func resume(_ found: [QueueModel]) {
    guard var model = found.last else { return }
    for state in found {
      for outcome in state.ended {
        let known = outcomes[outcome.message.key, default: []]
        if !known.contains(outcome) { outcomes[outcome.message.key] = known + [outcome] }
      }
    }
    let keys = found.map { Set($0.ended.map(\.message.key)) }
    let all = keys.dropFirst().reduce(keys[0]) { $0.union($1) }
    doubtful.formUnion(all.filter { key in !keys.allSatisfy { $0.contains(key) } })
    model.ended = []
    candidates = [model]
  }
}

/// Where the store is not what the model says.
struct QueueViolation: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
