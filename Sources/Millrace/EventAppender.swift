internal import CommitLog
public import EventModel
internal import LogFormat

/// Appends without suspending and without allocating: bytes are borrowed and copied once, into the
/// batch they are stored in.
///
/// One owner.
///
/// An event is only in memory when `append` returns; it is
/// synced in the background within 100 ms, or when ``durable()`` or ``synchronize()`` asks for it.
/// When memory is full, append blocks until there is room: use it from a thread of your own where
/// that matters.
public struct EventAppender: ~Copyable {
  /// Nil in a store that is open for reading only.
  private let writer: WriterCore?
  private let now: @Sendable () -> Timestamp
  /// The number behind the last event that this appender put into each partition.
  private var ends: [UInt64]
  private let wait = BlockingWait()

  init(_ writer: WriterCore?, now: @escaping @Sendable () -> Timestamp) {
    self.writer = writer
    self.now = now
    ends = Array(repeating: 0, count: writer?.partitions.count ?? 0)
  }

  /// Appends an event of borrowed bytes and returns its position.
  ///
  /// - Throws: ``EventStoreError`` with `limitExceeded`, `enqueueTimeAhead`, `storageFull`,
  ///   `poisoned`, `readOnly` or `closed`; the event was not taken in.
  @discardableResult
  public mutating func append(
    from device: borrowing DeviceID, body: RawSpan,
    properties: borrowing Properties = .empty, enqueuedTime: Timestamp? = nil
  ) throws(EventStoreError) -> LogPosition {
    try EventLimits.check(size: body.byteCount &+ properties.size)
    return try append(
      from: device, body: body, properties: properties, systemProperties: nil,
      enqueuedTime: enqueuedTime)
  }

  /// Appends an event whose body is an array; borrows it as the other form does.
  @discardableResult
  public mutating func append(
    from device: borrowing DeviceID, body: borrowing [UInt8],
    properties: borrowing Properties = .empty, enqueuedTime: Timestamp? = nil
  ) throws(EventStoreError) -> LogPosition {
    // SAFETY: bytes have no padding; the array is borrowed for the call.
    try unsafe append(
      from: device, body: body.span.bytes, properties: properties, enqueuedTime: enqueuedTime)
  }

  /// Appends an event and returns its position.
  ///
  /// As the borrowed form otherwise.
  @discardableResult
  public mutating func append(_ event: borrowing Event) throws(EventStoreError) -> LogPosition {
    try EventLimits.check(size: event.size)
    let device = event.deviceID
    let properties = event.properties
    let system = event.systemProperties.isEmpty ? nil : event.systemProperties
    if let system { try EventLimits.check(system) }
    let time = event.enqueuedTime
    let body = event.body
    return try body.withBytes { (bytes) throws(EventStoreError) in
      try append(
        from: device, body: bytes, properties: properties, systemProperties: system,
        enqueuedTime: time)
    }
  }

  @inline(__always)
  private mutating func append(
    from device: borrowing DeviceID, body: RawSpan, properties: borrowing Properties,
    systemProperties: SystemProperties?, enqueuedTime: Timestamp?
  ) throws(EventStoreError) -> LogPosition {
    guard let core = writer else { throw .isReadOnly }
    let now = now()
    if let enqueuedTime { try EventLimits.check(time: enqueuedTime, now: now) }
    let time = (enqueuedTime ?? now).microseconds
    let place = core.index(of: device)
    let partition = core.partitions[place]
    while true {
      if let number = try partition.append(
        from: device, body: body, properties: properties, systemProperties: systemProperties,
        at: time)
      {
        ends[place] = number &+ 1
        return LogPosition(partition: partition.partition, offset: Offset(number))
      }
      try partition.waitForRoom(wait)
    }
  }

  /// Blocks until every event that this appender appended is with the operating system: it survives
  /// a crash of the process, not of the machine.
  public func flush() throws(EventStoreError) {
    try lead { .written($0) }
  }

  /// Returns when every event that this appender appended is durable.
  public func durable() async throws(EventStoreError) {
    let touched = ends.indices.filter { ends[$0] > 0 }
    guard let core = writer, !touched.isEmpty else { return }
    let wait = JoinedWait(count: touched.count)
    for place in touched {
      core.partitions[place].enroll(Waiter(goal: .durable(ends[place]), wait))
    }
    try await wait.wait()
  }

  /// Blocks until every event that this appender appended is durable.
  ///
  /// The calling thread writes and syncs by itself where no other does: it leads its group. For
  /// threads of your own.
  public func synchronize() throws(EventStoreError) {
    try lead { .durable($0) }
  }

  private func lead(to goal: (UInt64) -> WaitGoal) throws(EventStoreError) {
    guard let core = writer else { throw .isReadOnly }
    let touched = ends.indices.filter { ends[$0] > 0 }
    // The others run on the store's threads while this one leads the last.
    for place in touched.dropLast() {
      core.partitions[place].enroll(Waiter(goal: goal(ends[place]), nil))
    }
    for place in touched.reversed() {
      try core.partitions[place].lead(to: goal(ends[place]), wait)
    }
  }
}
