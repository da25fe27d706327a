package import EventModel

/// One batch, decompressed and checked, whose records are found by index without a copy.
///
/// Built once and immutable, so that any number of readers on any threads may share it. What
/// readers ask of every event is a look into a flat array or two.
package final class DecodedBatch: Sendable {
  package let baseOffset: UInt64
  package let count: Int

  /// The columns as they were encoded, then the bodies.
  private let blocks: ByteBuffer
  private let columnsSize: Int
  /// Where each record's body begins in the blocks, and where the last one ends.
  private let bodyStarts: [UInt32]
  private let times: [Int64]
  /// The device ids one behind the other.
  private let deviceIDs: ByteBuffer
  /// Where each device's id begins, and where the last one ends.
  private let deviceStarts: [UInt32]
  /// The place of each record's device in the device set.
  private let devices: [UInt16]
  private let propertySets: PropertySetsView
  /// The number of each record's property set, from 1, and 0 for none; empty without any sets.
  private let sets: [UInt16]
  /// By the property's number; empty where no record has one.
  private let texts: [TextView?]

  /// Checks and takes over the uncompressed blocks of a frame.
  ///
  /// - Parameters:
  ///   - header: the frame's header.
  ///   - section: the sizes decoded from `clear`.
  ///   - clear: the clear section.
  ///   - blocks: the columns, then the payload, of the sizes in `section`; of the payload as much
  ///     as will be asked for.
  /// - Throws: `.corrupt` or `.unsupportedFeatures` when the blocks are not what the section says.
  package init(
    header: FrameHeader, section: BatchClearSection, clear: RawSpan, blocks: consuming ByteBuffer
  ) throws(FormatError) {
    let count = Int(header.recordCount)
    precondition(
      section.columnsSize <= blocks.count
        && blocks.count <= section.columnsSize + section.payloadSize, "blocks of other size")
    var ids = ByteBuffer(unalignedCapacity: section.deviceCount * 16 + 16)
    deviceStarts = try [UInt32](capacity: section.deviceCount + 1) { (starts) throws(FormatError) in
      starts.append(0)
      try BatchClearSection.decodeDevices(
        clear, count: section.deviceCount, into: &ids, ends: &starts)
    }
    // SAFETY: the blocks are neither changed nor let go of before the span's last use.
    let columns = unsafe RawSpan(_unsafeBytes: blocks.unsafeBytes(0..<section.columnsSize))
    var reader = ByteReader(columns)
    let deviceColumn = try ColumnView(from: &reader, count: count)
    let timeColumn = try ColumnView(from: &reader, count: count)
    let sizeColumn = try ColumnView(from: &reader, count: count)
    propertySets = try PropertySetsView(from: &reader, in: columns, recordCount: count)
    let setCount = UInt64(propertySets.count)
    let setColumn = setCount == 0 ? nil : try ColumnView(from: &reader, count: count)
    texts = try Self.texts(from: &reader, in: columns, count: count)
    guard reader.remaining == 0 else {
      throw .corrupt("\(reader.remaining) bytes follow the columns")
    }
    // No batch has more than 65,535 records, so neither has it more devices or sets.
    devices = try deviceColumn.values(count, in: columns, below: UInt64(section.deviceCount))
    sets = try setColumn?.values(count, in: columns, below: setCount + 1) ?? []
    bodyStarts = try Self.bodyStarts(sizeColumn, in: columns, count: count, section)
    times = try Self.times(timeColumn, in: columns, header, section)
    self.count = count
    baseOffset = header.baseNumber
    columnsSize = section.columnsSize
    deviceIDs = ids
    self.blocks = blocks
  }

  private static func texts(
    from reader: inout ByteReader, in columns: RawSpan, count: Int
  ) throws(FormatError) -> [TextView?] {
    let present = try reader.integer(UInt16.self)
    guard present >> SystemProperty.allCases.count == 0 else {
      throw .unsupportedFeatures(UInt32(present))
    }
    guard present != 0 else { return [] }
    var texts: [TextView?] = []
    for property in SystemProperty.allCases {
      let isPresent = present >> UInt16(property.rawValue) & 1 == 1
      texts.append(isPresent ? try TextView(from: &reader, in: columns, count: count) : nil)
    }
    return texts
  }

  /// Bytes of the bodies of some records at the beginning of a batch.
  package static func payloadSize(
    of recordCount: Int, in columns: RawSpan, _ header: FrameHeader, _ section: BatchClearSection
  ) throws(FormatError) -> Int {
    var reader = ByteReader(columns)
    let count = Int(header.recordCount)
    _ = try ColumnView(from: &reader, count: count)
    _ = try ColumnView(from: &reader, count: count)
    let sizes = try ColumnView(from: &reader, count: count)
    var (largest, sum) = (UInt64.min, UInt64.min)
    sizes.forEach(min(recordCount, count), in: columns) { size in
      (largest, sum) = (max(largest, size), sum &+ size)
    }
    guard largest <= UInt64(section.payloadSize), sum <= UInt64(section.payloadSize) else {
      throw .corrupt("bodies of \(sum) bytes in a payload of \(section.payloadSize)")
    }
    return Int(sum)
  }

  /// The enqueue times of a batch, in microseconds.
  package static func times(
    in columns: RawSpan, _ header: FrameHeader, _ section: BatchClearSection
  ) throws(FormatError) -> [Int64] {
    var reader = ByteReader(columns)
    let count = Int(header.recordCount)
    _ = try ColumnView(from: &reader, count: count)
    return try times(ColumnView(from: &reader, count: count), in: columns, header, section)
  }

  private static func bodyStarts(
    _ column: ColumnView, in columns: RawSpan, count: Int, _ section: BatchClearSection
  ) throws(FormatError) -> [UInt32] {
    var largest: UInt64 = 0
    var sum: UInt64 = 0
    let first = UInt64(section.columnsSize)
    let starts = [UInt32](capacity: count + 1) { starts in
      starts.append(UInt32(truncatingIfNeeded: first))
      column.forEach(count, in: columns) { size in
        largest = max(largest, size)
        // Wraps only where a size is beyond the payload's.
        sum &+= size
        starts.append(UInt32(truncatingIfNeeded: first &+ sum))
      }
    }
    guard largest <= UInt64(section.payloadSize), sum == UInt64(section.payloadSize) else {
      throw .corrupt(
        "bodies of \(sum) bytes, one of \(largest), in a payload of \(section.payloadSize)")
    }
    return starts
  }

  private static func times(
    _ column: ColumnView, in columns: RawSpan, _ header: FrameHeader, _ section: BatchClearSection
  ) throws(FormatError) -> [Int64] {
    let count = Int(header.recordCount)
    var time = header.baseTime.microseconds
    let times = [Int64](capacity: count) { times in
      column.forEach(count, in: columns) { distance in
        time &+= Int64(bitPattern: distance)
        times.append(time)
      }
    }
    guard UInt64(bitPattern: time &- header.baseTime.microseconds) == section.timeSpan else {
      throw .corrupt("enqueue times do not add up to the batch's time span")
    }
    return times
  }

  /// Bytes of the columns and of all bodies.
  package var size: Int { blocks.count }

  /// Bytes of all bodies.
  package var payloadSize: Int { blocks.count - columnsSize }

  @inline(__always)
  package func time(at index: Int) -> Timestamp { Timestamp(microseconds: times[index]) }

  @inline(__always)
  func bodyRange(_ index: Int) -> Range<Int> {
    Int(bodyStarts[index])..<Int(bodyStarts[index + 1])
  }

  /// Gives a record's body without copying it.
  package func withBody<Result, Failure: Error>(
    at index: Int, _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(self.body(at: index))
  }

  /// A record's body, where it lies in the batch.
  @inline(__always)
  @_lifetime(borrow self)
  package func body(at index: Int) -> RawSpan {
    // SAFETY: the blocks never change and live as long as this object, to which the span is tied.
    let span = unsafe RawSpan(_unsafeBytes: blocks.unsafeBytes(bodyRange(index)))
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  package func bodySize(at index: Int) -> Int { bodyRange(index).count }

  /// The id of a record's device, where it lies in the batch.
  @inline(__always)
  @_lifetime(borrow self)
  package func deviceID(at index: Int) -> RawSpan {
    let place = Int(devices[index])
    let range = Int(deviceStarts[place])..<Int(deviceStarts[place + 1])
    // SAFETY: the ids never change and live as long as this object, to which the span is tied.
    let span = unsafe RawSpan(_unsafeBytes: deviceIDs.unsafeBytes(range))
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// Gives the bytes of the id of a record's device without copying them.
  package func withDeviceID<Result, Failure: Error>(
    at index: Int, _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(deviceID(at: index))
  }

  /// Gives the bytes of each device's id, in their order.
  package func forEachDevice<Failure: Error>(
    _ body: (Span<UInt8>) throws(Failure) -> Void
  ) throws(Failure) {
    for place in 1..<deviceStarts.count {
      let range = Int(deviceStarts[place - 1])..<Int(deviceStarts[place])
      try deviceIDs.withBytes(range) { (bytes) throws(Failure) in
        // SAFETY: every byte is a valid value and needs no alignment.
        try body(unsafe bytes._unsafeView(as: UInt8.self))
      }
    }
  }

  /// The records of some devices among a range, ascending.
  package func indexes(of filter: DeviceFilter, in range: Range<Int>) -> [Int] {
    let places = Set(filter.places(in: deviceIDs, deviceStarts))
    guard !places.isEmpty else { return [] }
    return range.filter { index in places.contains(Int(devices[index])) }
  }

  package func properties(at index: Int) -> Properties {
    guard let set = set(at: index) else { return .empty }
    return propertySets.set(set, in: blocks)
  }

  /// The numbers of a record's properties among the batch's texts.
  @_lifetime(borrow self)
  package func propertyNumbers(at index: Int) -> PropertyNumbers {
    guard let set = set(at: index) else { return PropertyNumbers(names: Span(), values: Span()) }
    // SAFETY: the view never changes and lives as long as this object, to which what is returned is
    // tied.
    return unsafe _overrideLifetime(propertySets.unsafeNumbers(of: set), borrowing: self)
  }

  /// The names and values of all properties, where they lie in the batch.
  package var propertyTexts: PropertyTexts {
    @_lifetime(borrow self)
    get {
      // SAFETY: the blocks and the view never change and live as long as this object, to which what
      // is returned is tied.
      let columns = unsafe RawSpan(_unsafeBytes: blocks.unsafeBytes(0..<columnsSize))
      let texts = unsafe propertySets.unsafeTexts(in: columns)
      return unsafe _overrideLifetime(texts, borrowing: self)
    }
  }

  /// Gives the bytes of each name and value of a record's properties without copying them.
  package func forEachProperty<Failure: Error>(
    at index: Int, _ body: (_ name: RawSpan, _ value: RawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    try propertyTexts.forEach(of: propertyNumbers(at: index), body)
  }

  /// The place of a record's property set; nil if it has none.
  @inline(__always)
  func set(at index: Int) -> Int? {
    guard !sets.isEmpty else { return nil }
    let number = Int(sets[index])
    return number == 0 ? nil : number &- 1
  }

  package func text(_ property: SystemProperty, at index: Int) -> String? {
    guard !texts.isEmpty else { return nil }
    return texts[Int(property.rawValue)]?.text(at: index, in: blocks)
  }

  package func systemProperties(at index: Int) -> SystemProperties {
    var properties = SystemProperties.empty
    for (property, texts) in zip(SystemProperty.allCases, texts) where texts != nil {
      properties[property] = text(property, at: index)
    }
    return properties
  }

  /// A record as the event that was appended; does not keep the batch alive.
  package func event(at index: Int) -> Event {
    var event = Event(
      from: DeviceID(trusted: deviceID(at: index)), body: Payload(copying: body(at: index)),
      properties: properties(at: index), enqueuedTime: time(at: index))
    event.systemProperties = systemProperties(at: index)
    return event
  }
}
