internal import Synchronization

package import EventModel

/// One batch, decompressed and checked, whose records are found by index without a copy.
///
/// Built once and immutable, so that any number of readers on any threads may share it.
package final class DecodedBatch: Sendable {
  package let baseOffset: UInt64
  package let count: Int

  /// The columns as they were encoded, then the bodies.
  private let blocks: ByteBuffer
  private let columnsSize: Int
  /// The device ids one behind the other, and where each ends.
  private let deviceIDs: ByteBuffer
  private let deviceEnds: [UInt32]
  /// Where each record's body ends in the payload.
  private let bodyEnds: [UInt32]
  private let times: [Int64]
  private let deviceColumn: ColumnView
  private let setColumn: ColumnView?
  private let propertySets: PropertySetsView?
  private let texts: [TextView?]

  /// Checks and takes over the uncompressed blocks of a frame.
  ///
  /// - Parameters:
  ///   - header: the frame's header.
  ///   - section: the sizes decoded from `clear`.
  ///   - clear: the clear section.
  ///   - blocks: the columns, then the payload, of the sizes in `section`.
  /// - Throws: `.corrupt` or `.unsupportedFeatures` when the blocks are not what the section says.
  package init(
    header: FrameHeader, section: BatchClearSection, clear: RawSpan, blocks: consuming ByteBuffer
  ) throws(FormatError) {
    let count = Int(header.recordCount)
    precondition(blocks.count == section.columnsSize + section.payloadSize, "blocks of other size")
    var ids = ByteBuffer(capacity: section.deviceCount * 16)
    var ends: [UInt32] = []
    ends.reserveCapacity(section.deviceCount)
    try BatchClearSection.decodeDevices(
      clear, count: section.deviceCount, into: &ids, ends: &ends)
    let columns = try blocks.withBytes(0..<section.columnsSize) {
      bytes throws(FormatError) in try Columns(decoding: bytes, count: count)
    }
    bodyEnds = try Self.runningSum(
      of: columns.sizes, in: blocks, count: count, total: section.payloadSize)
    times = try Self.times(of: columns.times, in: blocks, header: header, section: section)
    try Self.check(columns.devices, in: blocks, count: count, below: UInt64(ends.count))
    if let sets = columns.sets {
      try Self.check(
        sets, in: blocks, count: count, below: UInt64(columns.propertySets?.count ?? 0) + 1)
    }
    for texts in columns.texts { try texts?.check(in: blocks, count: count) }
    self.count = count
    baseOffset = header.baseNumber
    columnsSize = section.columnsSize
    deviceIDs = ids
    deviceEnds = ends
    deviceColumn = columns.devices
    setColumn = columns.sets
    propertySets = columns.propertySets
    texts = columns.texts
    self.blocks = blocks
  }

  private static func runningSum(
    of column: ColumnView, in blocks: borrowing ByteBuffer, count: Int, total: Int
  ) throws(FormatError) -> [UInt32] {
    var ends: [UInt32] = []
    ends.reserveCapacity(count)
    var sum: UInt64 = 0
    for index in 0..<count {
      let size = column.value(at: index, in: blocks, base: 0)
      guard size <= UInt64(total) else { throw .corrupt("a body of \(size) bytes in \(total)") }
      sum &+= size
      ends.append(UInt32(truncatingIfNeeded: sum))
    }
    guard sum == UInt64(total) else {
      throw .corrupt("bodies of \(sum) bytes in a payload of \(total)")
    }
    return ends
  }

  private static func times(
    of column: ColumnView, in blocks: borrowing ByteBuffer, header: FrameHeader,
    section: BatchClearSection
  ) throws(FormatError) -> [Int64] {
    var times: [Int64] = []
    times.reserveCapacity(Int(header.recordCount))
    var time = header.baseTime.microseconds
    for index in 0..<Int(header.recordCount) {
      time &+= Int64(bitPattern: column.value(at: index, in: blocks, base: 0))
      times.append(time)
    }
    guard UInt64(bitPattern: time &- header.baseTime.microseconds) == section.timeSpan else {
      throw .corrupt("enqueue times do not add up to the batch's time span")
    }
    return times
  }

  private static func check(
    _ column: ColumnView, in blocks: borrowing ByteBuffer, count: Int, below limit: UInt64
  ) throws(FormatError) {
    for index in 0..<count {
      let value = column.value(at: index, in: blocks, base: 0)
      guard value < limit else { throw .corrupt("record \(index) refers to \(value) of \(limit)") }
    }
  }

  /// Bytes of the columns and of all bodies.
  package var size: Int { blocks.count }

  /// Bytes of all bodies.
  package var payloadSize: Int { blocks.count - columnsSize }

  @inline(__always)
  package func time(at index: Int) -> Timestamp { Timestamp(microseconds: times[index]) }

  @inline(__always)
  private func bodyRange(_ index: Int) -> Range<Int> {
    let start = index == 0 ? 0 : Int(bodyEnds[index &- 1])
    return columnsSize &+ start..<columnsSize &+ Int(bodyEnds[index])
  }

  /// Gives a record's body without copying it.
  @inline(__always)
  package func withBody<Result, Failure: Error>(
    at index: Int, _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try blocks.withBytes(bodyRange(index), body)
  }

  /// A record's body, where it lies in the batch.
  @_lifetime(borrow self)
  package func body(at index: Int) -> RawSpan {
    // SAFETY: the blocks never change and live as long as this object, to which the span is tied.
    let span = unsafe RawSpan(_unsafeBytes: blocks.unsafeBytes(bodyRange(index)))
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  package func bodySize(at index: Int) -> Int { bodyRange(index).count }

  private func deviceRange(_ index: Int) -> Range<Int> {
    let place = Int(deviceColumn.value(at: index, in: blocks, base: 0))
    return (place == 0 ? 0 : Int(deviceEnds[place - 1]))..<Int(deviceEnds[place])
  }

  /// Gives the bytes of the id of a record's device without copying them.
  package func withDeviceID<Result, Failure: Error>(
    at index: Int, _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try deviceIDs.withBytes(deviceRange(index), body)
  }

  /// Gives the bytes of each device's id, in their order.
  package func forEachDevice<Failure: Error>(
    _ body: (Span<UInt8>) throws(Failure) -> Void
  ) throws(Failure) {
    var start = 0
    for end in deviceEnds {
      try deviceIDs.withBytes(start..<Int(end)) { (bytes) throws(Failure) in
        // SAFETY: every byte is a valid value and needs no alignment.
        try body(unsafe bytes._unsafeView(as: UInt8.self))
      }
      start = Int(end)
    }
  }

  /// The records of some devices among a range, ascending.
  package func indexes(of filter: DeviceFilter, in range: Range<Int>) -> [Int] {
    let places = Set(filter.places(in: deviceIDs, deviceEnds))
    guard !places.isEmpty else { return [] }
    return range.filter { index in
      places.contains(Int(deviceColumn.value(at: index, in: blocks, base: 0)))
    }
  }

  package func properties(at index: Int) -> Properties {
    guard let propertySets, let set = set(at: index) else { return .empty }
    return propertySets.set(set, in: blocks)
  }

  /// Gives the bytes of each name and value of a record's properties without copying them.
  package func forEachProperty<Failure: Error>(
    at index: Int, _ body: (_ name: RawSpan, _ value: RawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    guard let propertySets, let set = set(at: index) else { return }
    try propertySets.forEach(of: set, in: blocks, body)
  }

  /// The place of a record's property set; nil if it has none.
  private func set(at index: Int) -> Int? {
    guard let setColumn else { return nil }
    let number = Int(setColumn.value(at: index, in: blocks, base: 0))
    return number == 0 ? nil : number - 1
  }

  package func text(_ property: SystemProperty, at index: Int) -> String? {
    texts[Int(property.rawValue)]?.text(at: index, in: blocks)
  }

  package func systemProperties(at index: Int) -> SystemProperties {
    var properties = SystemProperties.empty
    for property in SystemProperty.allCases where texts[Int(property.rawValue)] != nil {
      properties[property] = text(property, at: index)
    }
    return properties
  }

  /// A record as the event that was appended; does not keep the batch alive.
  package func event(at index: Int) -> Event {
    var event = Event(
      from: withDeviceID(at: index) { DeviceID(trusted: $0) },
      body: withBody(at: index) { Payload(copying: $0) }, properties: properties(at: index),
      enqueuedTime: time(at: index))
    event.systemProperties = systemProperties(at: index)
    return event
  }
}

/// The columns of a batch, found and checked for their bounds but not expanded.
private struct Columns {
  let devices: ColumnView
  let times: ColumnView
  let sizes: ColumnView
  let sets: ColumnView?
  let propertySets: PropertySetsView?
  let texts: [TextView?]

  init(decoding bytes: RawSpan, count: Int) throws(FormatError) {
    var reader = ByteReader(bytes)
    devices = try ColumnView(from: &reader, count: count)
    times = try ColumnView(from: &reader, count: count)
    sizes = try ColumnView(from: &reader, count: count)
    propertySets = try PropertySetsView(from: &reader, recordCount: count)
    sets = propertySets == nil ? nil : try ColumnView(from: &reader, count: count)
    let present = try reader.integer(UInt16.self)
    guard present >> SystemProperty.allCases.count == 0 else {
      throw .unsupportedFeatures(UInt32(present))
    }
    var texts: [TextView?] = []
    for property in SystemProperty.allCases {
      let isPresent = present >> UInt16(property.rawValue) & 1 == 1
      texts.append(isPresent ? try TextView(from: &reader, count: count) : nil)
    }
    self.texts = texts
    guard reader.remaining == 0 else {
      throw .corrupt("\(reader.remaining) bytes follow the columns")
    }
  }
}

/// Where a system property's values stand in a decoded batch.
private struct TextView: Sendable {
  private let entries: ColumnView
  private let dictionary: [String]?
  /// Where each record's text ends, for texts that stand one behind the other.
  private let start: Int
  private let ends: [UInt32]

  @_lifetime(reader: copy reader)
  init(from reader: inout ByteReader, count: Int) throws(FormatError) {
    switch try reader.integer(UInt8.self) {
    case TextColumn.dictionaryEncoding:
      var texts: [String] = []
      for _ in 0..<(try reader.count(atMost: count)) {
        texts.append(try reader.text(sizeMax: Limits.eventSizeMax))
      }
      entries = try ColumnView(from: &reader, count: count)
      dictionary = texts
      start = 0
      ends = []
    case TextColumn.plainEncoding:
      let place = reader
      entries = try ColumnView(from: &reader, count: count)
      dictionary = nil
      let sizes = try place.columnValues(count: count)
      var sum = 0
      var ends: [UInt32] = []
      for size in sizes {
        guard size <= UInt64(Limits.eventSizeMax) + 1 else {
          throw .corrupt("a text of \(size) bytes")
        }
        sum += size == 0 ? 0 : Int(size) - 1
        ends.append(UInt32(truncatingIfNeeded: sum))
      }
      start = try reader.range(sum).lowerBound
      self.ends = ends
    case let encoding:
      throw .unsupportedFeatures(UInt32(encoding))
    }
  }

  /// Checks that every value of a dictionary is one of its texts.
  func check(in blocks: borrowing ByteBuffer, count: Int) throws(FormatError) {
    guard let dictionary else { return }
    for index in 0..<count {
      let entry = entries.value(at: index, in: blocks, base: 0)
      guard entry <= UInt64(dictionary.count) else {
        throw .corrupt("record \(index) refers to text \(entry) of \(dictionary.count)")
      }
    }
  }

  func text(at index: Int, in blocks: borrowing ByteBuffer) -> String? {
    let entry = entries.value(at: index, in: blocks, base: 0)
    guard entry > 0 else { return nil }
    if let dictionary { return dictionary[Int(entry) - 1] }
    let from = index == 0 ? 0 : Int(ends[index - 1])
    return String(decoding: blocks.array(start + from..<start + Int(ends[index])), as: UTF8.self)
  }
}

extension ByteReader {
  /// The values of the column that begins here; the reader itself stays where it is.
  fileprivate func columnValues(count: Int) throws(FormatError) -> [UInt64] {
    var reader = self
    let width = Int(try reader.integer(UInt8.self))
    let low = try reader.variableLengthInteger()
    var values: [UInt64] = []
    for _ in 0..<count {
      switch width {
      case 0: values.append(low)
      case 1: values.append(low &+ UInt64(try reader.integer(UInt8.self)))
      case 2: values.append(low &+ UInt64(try reader.integer(UInt16.self)))
      case 4: values.append(low &+ UInt64(try reader.integer(UInt32.self)))
      default: values.append(low &+ (try reader.integer(UInt64.self)))
      }
    }
    return values
  }
}
