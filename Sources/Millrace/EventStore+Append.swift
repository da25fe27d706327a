public import EventModel
internal import LogFormat

extension EventStore {
  /// Appends an event and returns its position once it has come as far as `durability` says.
  ///
  /// Cancelling the task cancels no append: it waits for room and for the disk as ever, so that its
  /// outcome is never in doubt.
  ///
  /// - Throws: ``EventStoreError`` with `limitExceeded`, `invalidArgument` (a message or module id
  ///   that is none) or `enqueueTimeAhead` (nothing was taken in), `storageFull` (the event may
  ///   still be written once there is room), `outcomeUnknown` (a sync failed while the call
  ///   waited), `poisoned`, `readOnly` or `closed`.
  @discardableResult
  public func append(
    _ event: Event, durability: Durability = .durable
  ) async throws(EventStoreError) -> LogPosition {
    let writer = try writer()
    let now = now()
    try event.validate(now: now)
    let partition = writer.partition(of: event.deviceID)
    let number = try await partition.admit(event, now: now)
    try await partition.wait(upTo: number + 1, durability)
    return LogPosition(partition: partition.partition, offset: Offset(number))
  }

  /// Appends many events with one wait for each partition and returns their positions in the order
  /// of the events.
  ///
  /// Acknowledged when all have come as far as `durability` says; not atomic: after a failure any
  /// prefix of each partition's events may be in the store.
  ///
  /// - Throws: as ``append(_:durability:)``; when an event is refused for its size or time, none is
  ///   taken in.
  @discardableResult
  public func append(
    contentsOf events: some Collection<Event>, durability: Durability = .durable
  ) async throws(EventStoreError) -> [LogPosition] {
    let writer = try writer()
    let now = now()
    let events = Array(events)
    var indexes: [[Int]] = Array(repeating: [], count: writer.partitions.count)
    var places: [Int] = []
    places.reserveCapacity(events.count)
    for (index, event) in events.enumerated() {
      try event.validate(now: now)
      let place = writer.index(of: event.deviceID)
      places.append(place)
      indexes[place].append(index)
    }
    var numbers = [UInt64](repeating: 0, count: events.count)
    for (place, list) in indexes.enumerated() where !list.isEmpty {
      let partition = writer.partitions[place]
      for index in list { numbers[index] = try await partition.admit(events[index], now: now) }
    }
    let touched = indexes.indices.filter { !indexes[$0].isEmpty }
    let wait = JoinedWait(count: touched.count)
    for place in touched {
      let end = indexes[place].last.map { numbers[$0] + 1 } ?? 0
      guard let goal = durability.goal(upTo: end) else {
        wait.arrive(nil)
        continue
      }
      writer.partitions[place].enroll(Waiter(goal: goal, wait))
    }
    if !touched.isEmpty { try await wait.wait() }
    return events.indices.map { index in
      LogPosition(partition: PartitionID(places[index]), offset: Offset(numbers[index]))
    }
  }

  /// Returns when the event at a position, and everything before it in its partition, is durable.
  public func durable(upTo position: LogPosition) async throws(EventStoreError) {
    let writer = try writer()
    try check(position.partition)
    let partition = writer.partitions[position.partition.number]
    guard position.offset.value < partition.nextNumber else {
      throw EventStoreError(
        .invalidArgument, "\(position) has not been appended", position: position)
    }
    if partition.isUnproven(position.offset.value) {
      try await writer.workers.offload { () throws(EventStoreError) in try partition.prove() }
    }
    try await partition.wait(upTo: position.offset.value + 1, .durable)
  }

  /// A synchronous way in for producers that count nanoseconds.
  ///
  /// Make one for each producer.
  public func makeAppender() -> EventAppender {
    switch core {
    case .writer(let writer): EventAppender(writer, now: now)
    case .follower: EventAppender(nil, now: now)
    }
  }
}

extension Durability {
  /// What an append of this durability waits for; nil for nothing.
  func goal(upTo number: UInt64) -> WaitGoal? {
    switch self {
    case .durable: .durable(number)
    case .written: .written(number)
    case .buffered: nil
    }
  }
}

extension Event {
  /// Refuses what is too large or from the future, and names that the hub would not have.
  func validate(now: Timestamp) throws(EventStoreError) {
    try EventLimits.check(size: size)
    if !systemProperties.isEmpty { try EventLimits.check(systemProperties) }
    if let enqueuedTime { try EventLimits.check(time: enqueuedTime, now: now) }
  }
}

/// The checks that every way in shares.
enum EventLimits {
  @inline(__always)
  static func check(size: Int) throws(EventStoreError) {
    guard size <= Limits.eventSizeMax else {
      throw .limit(LimitExceeded("event size", maximum: Limits.eventSizeMax, value: size))
    }
  }

  /// Texts set one by one have not met the rules of their kind yet.
  static func check(_ properties: SystemProperties) throws(EventStoreError) {
    do throws(InvalidIdentifier) {
      if let text = properties[.messageID] { _ = try MessageID(text) }
      if let text = properties[.moduleID] { _ = try EventModel.DeviceID(text) }
    } catch {
      throw EventStoreError(.invalidArgument, "\(error)")
    }
  }

  static func check(time: Timestamp, now: Timestamp) throws(EventStoreError) {
    guard time <= now.advanced(by: Limits.enqueueTimeLeadMax) else {
      throw EventStoreError(
        .enqueueTimeAhead,
        "the event's enqueue time lies more than a day ahead of the clock; check its unit and the "
          + "clock")
    }
  }
}

extension PartitionWriter {
  /// Takes an event in, waiting for room.
  func admit(_ event: Event, now: Timestamp) async throws(EventStoreError) -> UInt64 {
    while true {
      let number = try event.body.withBytes { (body) throws(EventStoreError) in
        try append(
          from: event.deviceID, body: body, properties: event.properties,
          systemProperties: event.systemProperties,
          at: (event.enqueuedTime ?? now).microseconds)
      }
      if let number { return number }
      try await wait(for: .room)
    }
  }

  /// Waits until everything below a number has come as far as `durability` says.
  func wait(upTo number: UInt64, _ durability: Durability) async throws(EventStoreError) {
    guard let goal = durability.goal(upTo: number) else { return }
    try await wait(for: goal)
  }

  /// Suspends until a goal is reached.
  func wait(for goal: WaitGoal) async throws(EventStoreError) {
    try await SoleWait.wait { enroll(Waiter(goal: goal, $0)) }
  }
}
