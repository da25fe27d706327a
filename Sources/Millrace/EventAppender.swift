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
/// When more waits to be written than the store's own threads keep up with, an append now and then
/// compresses a batch for them. When memory is full, it blocks until there is room: use it from a
/// thread of your own where that matters.
public struct EventAppender: ~Copyable {
  /// Nil in a store that is open for reading only; keeps the store alive.
  private let writer: WriterCore?
  private let now: @Sendable () -> Timestamp
  private var lanes: LaneTable
  private let wait = BlockingWait()
  /// No event may be later, as the clock stood when it was last looked at.
  private var latestTime = Timestamp(microseconds: .min)

  init(_ writer: WriterCore?, now: @escaping @Sendable () -> Timestamp) {
    self.writer = writer
    self.now = now
    lanes = LaneTable(writer?.partitions ?? [])
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
    let hash = device.hash
    return try device.withBytes { (id) throws(EventStoreError) in
      try append(
        from: id, hash: hash, body: body, properties: properties, systemProperties: nil,
        enqueuedTime: enqueuedTime)
    }
  }

  /// Appends an event of a device whose id is lent as well, such as the bytes of a topic that it
  /// published to: no `DeviceID` is made.
  ///
  /// - Throws: as the other forms, and `invalidArgument` for bytes that are no device id.
  @discardableResult
  public mutating func append(
    fromDeviceWithID id: RawSpan, body: RawSpan, properties: borrowing Properties = .empty,
    enqueuedTime: Timestamp? = nil
  ) throws(EventStoreError) -> LogPosition {
    try EventLimits.check(size: body.byteCount &+ properties.size)
    let hash: UInt64
    do throws(InvalidIdentifier) {
      hash = try EventModel.DeviceID.checkedHash(of: id)
    } catch {
      throw EventStoreError(.invalidArgument, "\(error)")
    }
    return try append(
      from: id, hash: hash, body: body, properties: properties, systemProperties: nil,
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
      try device.withBytes { (id) throws(EventStoreError) in
        try append(
          from: id, hash: device.hash, body: bytes, properties: properties,
          systemProperties: system, enqueuedTime: time)
      }
    }
  }

  @inline(__always)
  private mutating func append(
    from device: RawSpan, hash: UInt64, body: RawSpan, properties: borrowing Properties,
    systemProperties: SystemProperties?, enqueuedTime: Timestamp?
  ) throws(EventStoreError) -> LogPosition {
    guard lanes.count > 0 else { throw .isReadOnly }
    if let enqueuedTime, enqueuedTime > latestTime { try lookAtClock(for: enqueuedTime) }
    let time = (enqueuedTime ?? now()).microseconds
    let place = WriterCore.index(ofHash: hash, partitionCount: lanes.count)
    while true {
      if let number = try lanes[place].append(
        from: device, hash: hash, body: body, properties: properties,
        systemProperties: systemProperties, at: time)
      {
        return LogPosition(partition: PartitionID(place), offset: Offset(number))
      }
      try lanes[place].partition.waitForRoom(wait)
    }
  }

  /// Refuses a time that lies too far ahead.
  @inline(never)
  private mutating func lookAtClock(for time: Timestamp) throws(EventStoreError) {
    let now = now()
    try EventLimits.check(time: time, now: now)
    latestTime = now.advanced(by: Limits.enqueueTimeLeadMax)
  }

  /// Blocks until every event that this appender appended is with the operating system: it survives
  /// a crash of the process, not of the machine.
  public func flush() throws(EventStoreError) {
    try lead { .written($0) }
  }

  /// Returns when every event that this appender appended is durable.
  public func durable() async throws(EventStoreError) {
    let touched = lanes.touched
    guard !touched.isEmpty else { return }
    let wait = JoinedWait(count: touched.count)
    for lane in touched { lane.partition.enroll(Waiter(goal: .durable(lane.end), wait)) }
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
    guard writer != nil else { throw .isReadOnly }
    let touched = lanes.touched
    // The others run on the store's threads while this one leads the last.
    for lane in touched.dropLast() {
      lane.partition.enroll(Waiter(goal: goal(lane.end), nil))
    }
    for lane in touched.reversed() {
      try lane.partition.lead(to: goal(lane.end), wait)
    }
  }
}
