internal import DeviceQueueing
internal import EventModel
internal import LogFormat

/// What is done to many messages, or to one, with one wait for the disk.
extension QueueCore {
  /// Puts messages into their queues until one is refused.
  struct Sending: QueueWork {
    private let messages: [(EventModel.DeviceID, DeviceMessage)]
    private var numbers: [UInt64] = []
    /// Why the next one was refused.
    private(set) var refusal: EventStoreError?

    init(_ messages: [(EventModel.DeviceID, DeviceMessage)]) {
      self.messages = messages
      numbers.reserveCapacity(messages.count)
    }

    mutating func goOn(
      _ core: QueueCore, _ state: inout State, _ turn: Turn
    ) throws(EventStoreError) -> Progress {
      while numbers.count < messages.count {
        guard !core.journal.isShort else { return .needsSpace }
        // Copied once, and from there on borrowed: a part of a pair is copied at each look.
        let (device, message) = messages[numbers.count]
        let size = message.size
        let enqueued: JournalEntry.Enqueued
        do throws(EventStoreError) {
          enqueued = try core.decideEnqueue(
            message, size: size, to: device, state.table, at: turn.time)
        } catch {
          refusal = error
          return .done
        }
        let number = try core.put(
          enqueued, consume message, size: size, to: device, &state, at: turn.time)
        guard let number else { return .needsRoom }
        numbers.append(number)
      }
      return .done
    }

    /// The disk is full: what was accepted before stays, and the next one is refused.
    ///
    /// - Throws: the failure itself where nothing was accepted, or where it is another.
    mutating func refuse(by failure: EventStoreError) throws(EventStoreError) {
      guard failure.code == .storageFull, !numbers.isEmpty else { throw failure }
      refusal = failure
    }

    var lastNumber: UInt64? { numbers.last }
    /// Those that a message has come for.
    var devices: some Sequence<EventModel.DeviceID> {
      messages.prefix(numbers.count).lazy.map(\.0)
    }
    var outcome: EnqueueOutcome { EnqueueOutcome(sequenceNumbers: numbers, refusal: refusal) }
  }

  /// Puts one message into its queue.
  struct SendingOne: QueueWork {
    private let device: EventModel.DeviceID
    private let message: DeviceMessage
    private(set) var lastNumber: UInt64?

    init(_ message: DeviceMessage, to device: EventModel.DeviceID) {
      self.device = device
      self.message = message
    }

    mutating func goOn(
      _ core: QueueCore, _ state: inout State, _ turn: Turn
    ) throws(EventStoreError) -> Progress {
      guard !core.journal.isShort else { return .needsSpace }
      let size = message.size
      let enqueued = try core.decideEnqueue(
        message, size: size, to: device, state.table, at: turn.time)
      lastNumber = try core.put(enqueued, message, size: size, to: device, &state, at: turn.time)
      return lastNumber == nil ? .needsRoom : .done
    }

    /// The message's number, once it is in its queue.
    var number: UInt64 {
      guard let lastNumber else { preconditionFailure("a message has no number") }
      return lastNumber
    }
  }

  /// Locks the first messages of a device that are available.
  struct Receiving: QueueWork {
    /// A message's lock, without what was sent.
    struct Locked {
      let sequence: UInt64
      let deliveryCount: Int
      let token: LockToken
    }

    let device: EventModel.DeviceID
    private let max: Int
    /// In microseconds.
    private let duration: Int64
    /// Those that were locked and found in memory.
    private(set) var messages: [LockedMessage] = []
    /// Those that have to be read.
    private(set) var unread: [Locked] = []
    private(set) var lastNumber: UInt64?

    init(by device: EventModel.DeviceID, max: Int, for duration: Int64) {
      self.device = device
      self.max = max
      self.duration = duration
    }

    mutating func goOn(
      _ core: QueueCore, _ state: inout State, _ turn: Turn
    ) throws(EventStoreError) -> Progress {
      // Where there was no room for all, those that were locked are enough.
      guard max > 0, messages.isEmpty, unread.isEmpty else { return .done }
      let due = state.table.decideReceive(
        by: device, max: max, below: core.journal.durableNumber, at: turn.time,
        into: &state.found)
      for place in state.found.indices { state.recent.prefetch(state.found[place].sequence) }
      let settling = try core.put(due, of: device, &state, turn, last: &lastNumber)
      guard case .done = settling else { return settling }
      messages.reserveCapacity(state.found.count)
      var next = 0
      while next < state.found.count {
        let run = next..<min(next + Limits.journalRunCountMax, state.found.count)
        state.scratch.removeAll()
        for place in run { state.found[place].locked(for: duration).encode(into: &state.scratch) }
        guard let number = try core.append(of: device, state, at: turn.time) else {
          return .needsRoom
        }
        lastNumber = number
        for place in run { deliver(state.found[place], &state, at: turn.time) }
        next = run.upperBound
      }
      return .done
    }

    /// Locks a message as the journal says, and takes it out.
    private mutating func deliver(
      _ found: FoundMessage, _ state: inout State, at time: QueueTime
    ) {
      let locked = Locked(
        sequence: found.sequence, deliveryCount: found.deliveryCount,
        token: state.table.applyReceived(found, for: duration, at: time))
      if let sent = state.recent.take(found.sequence) {
        messages.append(LockedMessage(locked, device, sent))
      } else {
        unread.append(locked)
      }
    }
  }

  /// Completes messages, passing over those whose lock is lost.
  struct Completing: QueueWork {
    private static let readCountMax = 256

    private let deliveries: [(device: EventModel.DeviceID, token: LockToken)]
    /// For each whether its token held the lock.
    private(set) var done: [Bool]
    private(set) var lastNumber: UInt64?
    private var next = 0

    init(_ deliveries: [(device: EventModel.DeviceID, token: LockToken)]) {
      self.deliveries = deliveries
      done = Array(repeating: false, count: deliveries.count)
    }

    mutating func goOn(
      _ core: QueueCore, _ state: inout State, _ turn: Turn
    ) throws(EventStoreError) -> Progress {
      while true {
        decideRun(&state, at: turn.time)
        guard let first = state.found.first else { return .done }
        let device = deliveries[next].device
        let number: UInt64?
        if first.givesFeedback {
          let entry = JournalEntry.settled(first.completed)
          if turn.messageNeeded(for: entry, of: device, state) != nil {
            return .needsMessages(messagesNeeded(state, turn))
          }
          number = try core.put(entry, of: device, &state, turn)
        } else {
          number = try core.putCompleted(of: device, &state, at: turn.time)
        }
        guard let number else { return .needsRoom }
        lastNumber = number
        for place in next..<next + state.found.count { done[place] = true }
        next += state.found.count
      }
    }

    /// Decides the next deliveries that go into one record, and passes over those before them that
    /// have lost their lock.
    private mutating func decideRun(_ state: inout State, at time: QueueTime) {
      state.found.removeAll(keepingCapacity: true)
      let all = self.deliveries
      let deliveries = all.span
      while next + state.found.count < deliveries.count {
        let end = next + state.found.count
        let token = deliveries[end].token
        // In the order of the numbers, so that none is settled twice.
        if end > next,
          token.sequenceNumber <= deliveries[end - 1].token.sequenceNumber
            || deliveries[end].device != deliveries[next].device
        {
          return
        }
        do throws(QueueRejection) {
          let found = try state.table.decideComplete(
            token, of: deliveries[end].device, beside: state.found.first, at: time)
          // What tells the sender stands alone.
          if found.givesFeedback, end > next { return }
          state.found.append(found)
          if found.givesFeedback || state.found.count == Limits.journalRunCountMax { return }
        } catch {
          guard end == next else { return }
          next += 1
        }
      }
    }

    /// What has to be read for the next deliveries, so that a group is read at once.
    private func messagesNeeded(_ state: borrowing State, _ turn: Turn) -> [Wanted] {
      var wanted: [Wanted] = []
      for (device, token) in deliveries[next...].prefix(Self.readCountMax) {
        do throws(QueueRejection) {
          let entry = try state.table.decideSettle(token, of: device, .complete, at: turn.time)
          if let one = turn.messageNeeded(for: entry, of: device, state) { wanted.append(one) }
        } catch {
          continue
        }
      }
      return wanted
    }
  }

  /// Settles one message.
  struct Settling: QueueWork {
    private let token: LockToken
    private let device: EventModel.DeviceID
    /// What the device does with it; a delay is counted from when it is done.
    private let verb: (QueueTime) -> QueueVerb
    private(set) var lastNumber: UInt64?

    init(
      _ token: LockToken, of device: EventModel.DeviceID, _ verb: @escaping (QueueTime) -> QueueVerb
    ) {
      self.token = token
      self.device = device
      self.verb = verb
    }

    mutating func goOn(
      _ core: QueueCore, _ state: inout State, _ turn: Turn
    ) throws(EventStoreError) -> Progress {
      let entry: JournalEntry
      do throws(QueueRejection) {
        entry = try state.table.decideSettle(token, of: device, verb(turn.time), at: turn.time)
      } catch {
        throw EventStoreError(error)
      }
      if let message = turn.messageNeeded(for: entry, of: device, state) {
        return .needsMessages([message])
      }
      lastNumber = try core.put(entry, of: device, &state, turn)
      return lastNumber == nil ? .needsRoom : .done
    }
  }

  /// Does what is decided for several messages at once, and is rare.
  struct Planned: QueueWork {
    /// Decides under the lock what to do next, until it says nothing more.
    ///
    /// Asked again for the rest where there was no room for all of it, and for the same where a
    /// message had to be read first: it must go by the table, and by whether anything was done.
    typealias Plan =
      (inout QueueTable, QueueTime, _ isBegun: Bool) -> [(
        device: EventModel.DeviceID, entry: JournalEntry
      )]

    private let plan: Plan
    private let passesOver: Bool
    /// Messages that cannot be read now: what is to be done to them is left to another time.
    private(set) var passed: Set<UInt64> = []
    /// Whose queues were changed, for each change.
    private(set) var devices: [EventModel.DeviceID] = []
    private(set) var lastNumber: UInt64?

    /// - Parameters:
    ///   - passed: messages that could not be read before, where one that cannot be read is left to
    ///     another time; nil where nothing is done without it.
    ///   - plan: says what to do.
    init(passingOver passed: Set<UInt64>? = nil, _ plan: @escaping Plan) {
      passesOver = passed != nil
      self.passed = passed ?? []
      self.plan = plan
    }

    mutating func pass(over wanted: Wanted, _ failure: EventStoreError) throws(EventStoreError) {
      guard passesOver else { throw failure }
      passed.insert(wanted.number)
    }

    mutating func goOn(
      _ core: QueueCore, _ state: inout State, _ turn: Turn
    ) throws(EventStoreError) -> Progress {
      while true {
        var steps = plan(&state.table, turn.time, lastNumber != nil)
        if !passed.isEmpty { steps.removeAll { passed.contains($0.entry.settledNumber ?? .max) } }
        if steps.isEmpty { return .done }
        var missing: [Wanted] = []
        for (device, entry) in steps {
          if let one = turn.messageNeeded(for: entry, of: device, state) { missing.append(one) }
        }
        guard missing.isEmpty else { return .needsMessages(missing) }
        var rest = steps[...]
        while let device = rest.first?.device {
          state.run.removeAll()
          while let step = rest.first, step.device == device, state.run.take(step.entry) {
            rest.removeFirst()
          }
          let count = state.run.entries.count
          guard let number = try core.putRun(of: device, &state, turn) else { return .needsRoom }
          lastNumber = number
          devices.append(contentsOf: repeatElement(device, count: count))
        }
      }
    }
  }

  /// Does what a plan says.
  func carryOut(_ plan: @escaping Planned.Plan) async throws(EventStoreError) -> Planned {
    var work = Planned(plan)
    try await carryOut(&work)
    return work
  }

  /// The same for threads that may block, but for what cannot be read now: one device's file keeps
  /// nobody else waiting.
  ///
  /// - Parameters:
  ///   - passed: messages that could not be read before.
  ///   - plan: says what to do.
  /// - Returns: what was done.
  /// - Throws: ``EventStoreError`` where nothing could be done.
  @discardableResult
  func carryOutReadable(
    _ passed: Set<UInt64> = [], _ plan: @escaping Planned.Plan
  ) throws(EventStoreError) -> Planned {
    var work = Planned(passingOver: passed, plan)
    try carryOutBlocking(&work)
    return work
  }
}

extension JournalEntry {
  /// The message that ends with it.
  fileprivate var settledNumber: UInt64? {
    if case .settled(let settled) = self { settled.sequence } else { nil }
  }
}

extension QueueVerb {
  /// - Throws: ``EventStoreError`` with `invalidArgument` for a delay that is none.
  static func abandoning(
    after delay: Duration
  ) throws(EventStoreError) -> (QueueTime) -> QueueVerb {
    try delay.check(asA: "delay", from: .zero)
    return { .abandon(availableFrom: delay == .zero ? nil : $0.wall.advanced(by: delay)) }
  }

  /// - Throws: ``EventStoreError`` with `limitExceeded` for a reason that is too long.
  static func rejecting(_ reason: String) throws(EventStoreError) -> (QueueTime) -> QueueVerb {
    guard reason.utf8.count <= JournalEntry.descriptionSizeMax else {
      throw .limit(
        LimitExceeded(
          "reason", maximum: JournalEntry.descriptionSizeMax, value: reason.utf8.count))
    }
    return { _ in .reject(reason: reason.isEmpty ? SettlementStatus.rejected.name : reason) }
  }
}
