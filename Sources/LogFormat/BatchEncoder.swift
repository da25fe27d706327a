package import EventModel

/// Gathers events into the columns of one batch (format-spec §6).
///
/// One owner at a time; reused from batch to batch so that a steady producer allocates nothing.
/// Sendable because the owners hand it over under a lock and no two ever hold it at once.
package final class BatchEncoder: @unchecked Sendable {
  // SAFETY, for every use: one owner at a time is what the class relies on as a whole, and no call
  // in here reaches the contents a second time. Checking that at every append costs as much as a
  // column.
  @exclusivity(unchecked) private var contents: BatchContents

  package init(targetSize: Int, propertyCache: PropertyCache = PropertyCache()) {
    unsafe contents = BatchContents(targetSize: targetSize, propertyCache: propertyCache)
  }

  /// What the events' properties are looked up in; shared by batches that are built one after the
  /// other.
  package var propertyCache: PropertyCache {
    get { unsafe contents.propertyCache }
    set { unsafe contents.propertyCache = newValue }
  }

  /// What the events and their device ids measure, as ``BatchClearSection/eventSize`` keeps it.
  package var eventSize: UInt64 { unsafe contents.eventSize }
  /// The number of records.
  package var count: Int { unsafe contents.count }
  /// Enqueue time of the first and the last record, in microseconds.
  package var firstTime: Int64 { unsafe contents.firstTime }
  package var lastTime: Int64 { unsafe contents.lastTime }

  /// Bytes that the batch will take before compression, roughly; never less than its payload.
  package var size: Int { unsafe contents.size }

  package func removeAll() { unsafe contents.removeAll() }

  /// Appends one event of a device.
  @discardableResult
  package func append(
    from device: borrowing DeviceID, body: borrowing RawSpan, properties: borrowing Properties,
    at time: Int64
  ) -> (size: Int, count: Int) {
    let hash = device.hash
    let body = copy body
    return device.withBytes { id in
      append(from: id, hash: hash, body: body, properties: properties, at: time)
    }
  }

  /// Appends one event of the device with these bytes for its id, and their hash.
  ///
  /// The caller has checked the id, the event's size and that time does not step back.
  ///
  /// - Returns: the batch's size and its number of records then.
  @discardableResult
  package func append(
    from device: borrowing RawSpan, hash: UInt64, body: borrowing RawSpan,
    properties: borrowing Properties, at time: Int64
  ) -> (size: Int, count: Int) {
    unsafe contents.append(from: device, hash: hash, body: body, properties: properties, at: time)
  }

  /// Adds the system properties of the event appended last.
  package func setSystemProperties(_ properties: SystemProperties) {
    unsafe contents.setSystemProperties(properties)
  }

  /// Writes the clear section and the columns; the payload is ready as it is.
  ///
  /// The sizes of the stored blocks are filled in by ``BatchClearSection/setStoredSize``.
  package func seal(clear: inout ByteBuffer, columns: inout ByteBuffer) {
    unsafe contents.seal(clear: &clear, columns: &columns)
  }

  /// Gives the bodies, one behind the other.
  package func withPayload<Result, Failure: Error>(
    _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try unsafe contents.payload.withBytes(body)
  }
}

/// The columns themselves: one value, so that an append is one access to it.
struct BatchContents: ~Copyable {
  /// The bodies, one behind the other.
  fileprivate(set) var payload: ByteBuffer
  private var sizes = ByteBuffer(capacity: 4 << 10)
  private var deviceNumbers = ByteBuffer(capacity: 4 << 10)
  private var setNumbers = ByteBuffer(capacity: 4 << 10)
  private var timeDeltas = ByteBuffer(capacity: 4 << 10)
  /// Deltas too large for the 32-bit column; the batch is then sealed with 64-bit ones.
  private var largeDeltas: [Int: UInt64] = [:]
  private var devices = DeviceTable()
  private var propertySets = PropertyTable()
  fileprivate var propertyCache: PropertyCache
  private var texts: [TextColumn?] = Array(repeating: nil, count: SystemProperty.allCases.count)
  private var textSize = 0

  /// What the events and their device ids measure, as ``BatchClearSection/eventSize`` keeps it.
  private(set) var eventSize: UInt64 = 0
  /// The number of records.
  private(set) var count = 0
  /// Enqueue time of the first and the last record, in microseconds.
  private(set) var firstTime: Int64 = 0
  private(set) var lastTime: Int64 = 0

  init(targetSize: Int, propertyCache: PropertyCache) {
    payload = ByteBuffer(capacity: targetSize + targetSize / 4)
    self.propertyCache = propertyCache
  }

  /// Bytes that the batch will take before compression, roughly; never less than its payload.
  var size: Int {
    payload.count + count * 8 + devices.size + propertySets.size + textSize
  }

  mutating func removeAll() {
    payload.removeAll()
    sizes.removeAll()
    deviceNumbers.removeAll()
    setNumbers.removeAll()
    timeDeltas.removeAll()
    largeDeltas.removeAll()
    devices.removeAll()
    propertySets.removeAll()
    for index in texts.indices where texts[index] != nil { texts[index] = nil }
    textSize = 0
    count = 0
    eventSize = 0
  }

  @inline(__always)
  mutating func append(
    from device: borrowing RawSpan, hash: UInt64, body: borrowing RawSpan,
    properties: borrowing Properties, at time: Int64
  ) -> (size: Int, count: Int) {
    if count == 0 {
      firstTime = time
      lastTime = time
    }
    let delta = UInt64(bitPattern: time &- lastTime)
    if delta > UInt64(UInt32.max) { largeDeltas[count] = delta }
    timeDeltas.append(UInt32(truncatingIfNeeded: delta))
    lastTime = time
    deviceNumbers.append(devices.number(of: device, hash: hash))
    setNumbers.append(propertySets.number(of: properties, cache: propertyCache))
    sizes.append(UInt32(body.byteCount))
    payload.append(body)
    eventSize &+= UInt64(body.byteCount &+ properties.size &+ device.byteCount)
    count &+= 1
    return (size, count)
  }

  /// Adds the system properties of the event appended last.
  mutating func setSystemProperties(_ properties: SystemProperties) {
    for property in SystemProperty.allCases {
      guard let text = properties[property] else { continue }
      let column = Int(property.rawValue)
      if texts[column] == nil { texts[column] = TextColumn(property) }
      texts[column]?.set(text, at: count - 1)
      textSize += text.utf8.count
      eventSize += UInt64(text.utf8.count)
    }
  }

  /// Writes the clear section and the columns; the payload is ready as it is.
  ///
  /// The sizes of the stored blocks are filled in by ``BatchClearSection/setStoredSize``. May be
  /// done again.
  mutating func seal(clear: inout ByteBuffer, columns: inout ByteBuffer) {
    precondition(count > 0, "a batch without records is never sealed")
    let start = clear.count
    BatchClearSection.appendBlank(
      deviceCount: devices.count, timeSpan: UInt64(bitPattern: lastTime &- firstTime),
      eventSize: eventSize, to: &clear)
    let places = devices.appendSorted(to: &clear)
    let columnsStart = columns.count
    // Not in place: a batch for which there was no room is sealed again.
    IntegerColumn.append(deviceNumbers, to: &columns, last: devices.count - 1) { places[Int($0)] }
    appendTimes(to: &columns)
    IntegerColumn.append(sizes, to: &columns)
    propertySets.append(to: &columns)
    if !propertySets.isEmpty { IntegerColumn.append(setNumbers, to: &columns) }
    appendTexts(to: &columns)
    BatchClearSection.setRawSizes(
      columns: columns.count - columnsStart, payload: payload.count, in: &clear, at: start)
  }

  private func appendTimes(to columns: inout ByteBuffer) {
    guard !largeDeltas.isEmpty else {
      IntegerColumn.append(timeDeltas, to: &columns)
      return
    }
    let deltas = (0..<count).map { index in
      largeDeltas[index] ?? UInt64(timeDeltas.load(at: index * 4, as: UInt32.self))
    }
    IntegerColumn.append(deltas, to: &columns)
  }

  private func appendTexts(to columns: inout ByteBuffer) {
    var present: UInt16 = 0
    for (number, column) in texts.enumerated() where column != nil { present |= 1 << number }
    columns.append(present)
    for column in texts {
      column?.append(to: &columns, count: count)
    }
  }
}
