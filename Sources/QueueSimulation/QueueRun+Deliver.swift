internal import EventModel
internal import Millrace

/// Sending, receiving and settling.
extension QueueRun {
  // MARK: Sending

  func enqueue(_ sendings: [QueueOperation.Sending]) async throws {
    var messages: [(DeviceID, DeviceMessage)] = []
    var refusal: EventStoreError.Code?
    var keys: [(key: Int, device: Int)] = []
    for sending in sendings {
      let device = sending.device % deviceCount
      let content = MessageContent(serial: nextSerial(), size: sending.size)
      var message = try content.message()
      let live = sending.ticks.map { Int64($0) * QueueOperation.tick + sending.fraction }
      message.feedback = sending.feedback.flatMap { FeedbackMode(rawValue: $0) }
      switch sending.fault {
      case .none:
        if sending.isAbsolute {
          message.expiryTime = Timestamp(microseconds: wall + (live ?? timeToLive))
        } else {
          message.timeToLive = live.map { .microseconds($0) }
        }
      case .oversized: message.body = Payload([UInt8](repeating: 7, count: (64 << 10) + 1))
      case .liveForNothing: message.timeToLive = .zero
      case .expired: message.expiryTime = Timestamp(microseconds: wall)
      }
      messages.append((Self.devices[device], message))
      guard refusal == nil else { continue }
      refusal = self.refusal(of: sending, size: message.size, to: device)
      guard refusal == nil else { continue }
      let key = add(
        content, to: device, live: live ?? timeToLive, feedback: message.feedback ?? feedback)
      keys.append((key, device))
    }
    coverage.note(refusal)
    let outcome = try await store.enqueue(messages)
    try check(
      outcome.refusal?.code == refusal && outcome.sequenceNumbers.count == keys.count,
      "\(keys.count) of \(messages.count) messages should be accepted and then "
        + "\(String(describing: refusal)), not \(outcome)")
    try note(outcome.sequenceNumbers, of: keys)
  }

  /// Why the store must refuse a message; nil where it must not.
  private func refusal(
    of sending: QueueOperation.Sending, size: Int, to device: Int
  ) -> EventStoreError.Code? {
    switch sending.fault {
    case .none: break
    case .oversized: return .limitExceeded
    case .liveForNothing, .expired: return .invalidArgument
    }
    return hasRoom(for: size, in: device) ? nil : .queueFull
  }

  private func hasRoom(for size: Int, in device: Int) -> Bool {
    let queue = ledger.current.queues[device]
    return queue.count < rules.depthMax && self.size(of: queue) + size <= rules.sizeMax
  }

  func size(of queue: [QueueModel.Message]) -> Int {
    queue.reduce(0) { $0 + $1.content.messageSize }
  }

  private func add(
    _ content: MessageContent, to device: Int, live: Int64, feedback: FeedbackMode,
    inPlaceOf deadLetter: UInt64? = nil
  ) -> Int {
    let key = nextID()
    ledger.record(at: wall) {
      if let deadLetter { $0.sentAgain.insert(deadLetter) }
      $0.add(
        QueueModel.Message(
          key: key, content: content, device: device, enqueued: wall, expiry: wall + live,
          feedback: feedback))
    }
    return key
  }

  /// The sender was told numbers, and that the messages are durable.
  private func note(_ numbers: [UInt64], of keys: [(key: Int, device: Int)]) throws {
    for (number, (key, device)) in zip(numbers, keys) {
      try take(number)
      ledger.amend { model in
        guard let index = model.index(of: key, in: device) else { return }
        model.queues[device][index].sequence = number
      }
    }
    if !keys.isEmpty { ledger.acknowledge() }
    coverage.note(.enqueued, keys.count)
  }

  /// A new number lies above every one that anybody was told.
  func take(_ number: UInt64) throws {
    try check(number > highestNumber || highestNumber == 0, "number \(number) was given before")
    highestNumber = number
  }

  func resend(_ choice: Int) async throws {
    guard !deadLetters.isEmpty else { return }
    let letter = deadLetters[choice % deadLetters.count]
    guard let device = Self.devices.firstIndex(of: letter.device),
      let known = outcomes(of: letter.sequenceNumber, letter.message).first
    else { throw QueueViolation("a dead letter of nobody: \(letter)") }
    let isNew = !ledger.current.sentAgain.contains(letter.sequenceNumber)
    let isAccepted = isNew && hasRoom(for: letter.message.size, in: device)
    var keys: [(key: Int, device: Int)] = []
    if isAccepted {
      let message = known.message
      let key = add(
        message.content, to: device, live: timeToLive, feedback: message.feedback,
        inPlaceOf: letter.sequenceNumber)
      keys = [(key, device)]
    }
    let store = try store
    let number: UInt64
    do throws(EventStoreError) {
      number = try await store.resend(letter)
    } catch {
      guard !isAccepted, error.code == (isNew ? .queueFull : .invalidArgument) else { throw error }
      return coverage.note(error.code)
    }
    try check(isAccepted, isNew ? "a full queue takes a dead letter" : "sent again twice")
    try note([number], of: keys)
    coverage.note(.resent)
  }

  // MARK: Receiving

  func receive(by device: Int, max: Int, ticks: Int?) async throws {
    var expected: [(key: Int, lock: Int)] = []
    let duration = ticks.map { Int64($0) * QueueOperation.tick } ?? lockDuration
    // What has expired on the way is settled first, each in a record of its own.
    var available: [QueueModel.Message] = []
    for message in ledger.current.queues[device] where available.count < max {
      if message.expiry <= wall {
        // Settled when somebody looks, at most a tick before it is by itself.
        coverage.note(.expiredInReceive)
        ledger.record(at: wall) { $0.settle(message.key, of: device, .expired) }
        continue
      }
      guard message.lock == nil, message.availableFrom ?? .min <= wall else {
        coverage.note(message.lock == nil ? .delayed : .hidden)
        continue
      }
      available.append(message)
    }
    for message in available {
      let lock = QueueModel.Lock(id: nextID(), deadline: clock.steady + duration)
      ledger.record(at: wall, joined: !expected.isEmpty) {
        $0.lock(message.key, of: device, lock)
      }
      expected.append((message.key, lock.id))
    }
    var received = try await queue(device).receive(
      max: max, lockFor: ticks.map { _ in .microseconds(duration) })
    if campaign.sabotage == .reversedDeliveries { received.reverse() }
    let messages = expected.compactMap { one in
      ledger.current.queues[device].first { $0.key == one.key }
    }
    try check(
      received.count == messages.count,
      "\(received.count) messages received of \(messages.count)")
    for (found, (message, (key, lock))) in zip(received, zip(messages, expected)) {
      try check(
        found.device == Self.devices[device] && found.deliveryCount == message.deliveryCount
          && found.lockToken.sequenceNumber == found.sequenceNumber,
        "\(found) received, not \(message)")
      try checkContent(
        found.sequenceNumber, found.enqueuedTime, found.expiryTime, found.message, message)
      tokens.append(Token(id: lock, key: key, device: device, token: found.lockToken))
    }
    if tokens.count > Self.tokenCountMax { tokens.removeFirst(tokens.count - Self.tokenCountMax) }
    coverage.note(.delivered, received.count)
  }

  // MARK: Settling

  /// One of the youngest tokens.
  private func token(_ place: Int) -> Token? {
    tokens.isEmpty ? nil : tokens[tokens.count - 1 - place % tokens.count]
  }

  /// The message that a token gives the right to settle; nil for a token that is void.
  private func lockedMessage(_ token: Token, _ device: Int) -> QueueModel.Message? {
    ledger.current.queues[device].first { message in
      guard let lock = message.lock, lock.id == token.id else { return false }
      return lock.deadline > clock.steady && message.expiry > wall
    }
  }

  func settle(_ verb: QueueOperation.Verb, _ place: Int, isForeign: Bool) async throws {
    guard let token = token(place) else { return }
    let device = isForeign ? (token.device + 1) % deviceCount : token.device
    let message = lockedMessage(token, device)
    if let message {
      ledger.record(at: wall) { model in
        switch verb {
        case .complete: model.settle(message.key, of: device, .success)
        case .reject(let hasReason):
          model.settle(message.key, of: device, .rejected, hasReason ? "too hot" : nil)
        case .abandon(let ticks):
          guard message.deliveryCount < rules.deliveryCountMax else {
            return model.settle(message.key, of: device, .deliveryCountExceeded)
          }
          let from = ticks == 0 ? nil : wall + Int64(ticks) * QueueOperation.tick
          model.giveBack(message.key, of: device, availableFrom: from)
        }
      }
    }
    let queue = try queue(device)
    do throws(EventStoreError) {
      try await carryOut(verb, token.token, in: queue)
    } catch {
      guard error.code == .lockLost, message == nil else { throw error }
      return coverage.note(.locksLost)
    }
    try check(message != nil, "a void token settles \(token)")
    coverage.note(
      .deliveredTooOften,
      ledger.current.ended.last?.status == .deliveryCountExceeded ? 1 : 0)
    ledger.acknowledge()
    forget(token)
    coverage.note(verb)
  }

  /// Most tokens that were used are not used again.
  private func forget(_ token: Token) {
    if token.id % 4 != 0 { tokens.removeAll { $0.id == token.id } }
  }

  private func carryOut(
    _ verb: QueueOperation.Verb, _ token: LockToken, in queue: DeviceQueue
  ) async throws(EventStoreError) {
    switch verb {
    case .complete:
      completionCount += 1
      if campaign.sabotage == .droppedCompletions, completionCount % 8 == 0 { return }
      try await queue.complete(token)
    case .abandon(let ticks):
      try await queue.abandon(token, delay: .microseconds(Int64(ticks) * QueueOperation.tick))
    case .reject(let hasReason): try await queue.reject(token, reason: hasReason ? "too hot" : "")
    }
  }

  func completeMany(_ places: [Int]) async throws {
    var deliveries: [(device: DeviceID, token: LockToken)] = []
    var expected: [Bool] = []
    var used: [Token] = []
    // The last one, if another may be in its record.
    var last: (device: Int, sequence: UInt64)?
    for place in places {
      guard let token = token(place) else { return }
      // Now and then of another device.
      let device = place == 11 ? (token.device + 1) % deviceCount : token.device
      deliveries.append((Self.devices[device], token.token))
      let message = lockedMessage(token, device)
      expected.append(message != nil)
      guard let message else {
        last = nil
        continue
      }
      used.append(token)
      let sequence = token.token.sequenceNumber
      let isAlone = message.feedback.covers(.success)
      let isJoined = !isAlone && last.map { $0.device == device && $0.sequence < sequence } ?? false
      ledger.record(at: wall, joined: isJoined) { $0.settle(message.key, of: device, .success) }
      last = isAlone ? nil : (device, sequence)
    }
    let done = try await store.complete(deliveries)
    try check(done == expected, "many tokens complete \(done), not \(expected)")
    if done.contains(true) { ledger.acknowledge() }
    for token in used { forget(token) }
    coverage.note(.completedTogether, done.count { $0 })
  }

  func renew(_ place: Int, ticks: Int?, isForeign: Bool) async throws {
    guard let token = token(place) else { return }
    let device = isForeign ? (token.device + 1) % deviceCount : token.device
    let message = lockedMessage(token, device)
    let duration = ticks.map { Int64($0) * QueueOperation.tick }
    let queue = try queue(device)
    do throws(EventStoreError) {
      try await queue.renew(token.token, for: duration.map { .microseconds($0) })
    } catch {
      guard error.code == .lockLost, message == nil else { throw error }
      return coverage.note(.locksLost)
    }
    guard let message else { throw QueueViolation("a void token renews \(token)") }
    let deadline = clock.steady + (duration ?? lockDuration)
    ledger.amend { model in
      guard let index = model.index(of: message.key, in: device) else { return }
      model.queues[device][index].lock?.deadline = deadline
    }
    coverage.note(.renewed)
  }

  // MARK: Ending a queue

  func purge(_ device: Int) async throws {
    let messages = ledger.current.queues[device]
    var isJoined = false
    for message in messages {
      let isAlone = message.feedback.covers(.purged)
      ledger.record(at: wall, joined: isJoined && !isAlone) {
        $0.settle(message.key, of: device, .purged)
      }
      isJoined = !isAlone
    }
    let count = try await queue(device).purge()
    try check(count == messages.count, "\(count) messages purged of \(messages.count)")
    if count > 0 { ledger.acknowledge() }
    coverage.note(.purged, count)
  }

  func remove(_ device: Int) async throws {
    let isEmpty = ledger.current.queues[device].isEmpty
    if !isEmpty { ledger.record(at: wall) { $0.queues[device] = [] } }
    try await queue(device).remove()
    if !isEmpty { ledger.acknowledge() }
    coverage.note(.removed, isEmpty ? 0 : 1)
  }
}
