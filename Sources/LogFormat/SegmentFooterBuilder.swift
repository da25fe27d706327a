internal import EventModel

/// Gathers what a sealed segment's footer says (format-spec §10.2), while its batches go by in
/// their order.
///
/// One owner. Takes about eight bytes for each posting while it works.
package struct SegmentFooterBuilder: ~Copyable {
  private struct Device {
    var postingCount: UInt32 = 0
    var lastBatch: UInt32 = 0
    var lastNumber = UInt64.max
    var lastTime = Timestamp(microseconds: 0)

    mutating func note(_ batch: UInt32) {
      postingCount += 1
      lastBatch = batch
    }
  }

  private var batches = ByteBuffer(capacity: 64 << 10)
  private var batchCount = 0
  private var eventSize: UInt64 = 0
  private var devices: [Device] = []
  private var ids = ByteBuffer(capacity: 16 << 10)
  private var idEnds: [UInt32] = []
  private var slots = SlotTable()
  /// For each batch its devices' numbers, one behind the other.
  private var members = ByteBuffer(capacity: 64 << 10)
  private var memberEnds: [Int] = []
  private var scratch = ByteBuffer(capacity: 8 << 10)
  /// Whether something of the segment could not be read.
  package var hasHoles = false

  package init() {}

  /// Adds a batch.
  ///
  /// - Throws: `.corrupt` when its clear section is none; nothing was added then.
  package mutating func add(_ frame: ScannedFrame, clear: RawSpan) throws(FormatError) {
    let header = frame.header
    let section = try BatchClearSection(decoding: clear, header: header)
    scratch.removeAll()
    let ends = try [UInt32](capacity: section.deviceCount) { (ends) throws(FormatError) in
      try BatchClearSection.decodeDevices(
        clear, count: section.deviceCount, into: &scratch, ends: &ends)
    }
    FooterBatch(
      position: UInt64(frame.position), baseNumber: header.baseNumber,
      firstTime: header.baseTime,
      lastTime: Timestamp(
        microseconds: header.baseTime.microseconds &+ Int64(bitPattern: section.timeSpan)),
      eventSize: eventSize, frameSize: UInt32(frame.end - frame.position),
      recordCount: header.recordCount, frameChecksum: frame.checksum
    ).encode(into: &batches)
    eventSize &+= section.eventSize
    var start = 0
    for end in ends {
      let number = number(of: start..<Int(end))
      devices[Int(number)].note(UInt32(batchCount))
      members.append(number)
      start = Int(end)
    }
    memberEnds.append(members.count / 4)
    batchCount += 1
  }

  /// The number of a device whose id stands in the scratch buffer.
  private mutating func number(of range: Range<Int>) -> UInt32 {
    let hash = scratch.withBytes(range) { SlotTable.hash($0) }
    let found = slots.find(hash) { number in
      ids.withBytes(idRange(of: Int(number))) { known in
        scratch.withBytes(range) { known.hasSameBytes(as: $0) }
      }
    }
    if let found { return found }
    let number = UInt32(devices.count)
    scratch.withBytes(range) { ids.append($0) }
    idEnds.append(UInt32(ids.count))
    devices.append(Device())
    slots.insert(hash, number: number)
    return number
  }

  @inline(__always)
  private func idRange(of number: Int) -> Range<Int> {
    (number == 0 ? 0 : Int(idEnds[number &- 1]))..<Int(idEnds[number])
  }

  /// The batches that hold some device's last event, by their places in the table, ascending.
  package var lastBatches: [Int] {
    Set(devices.lazy.filter { $0.postingCount > 0 }.map { Int($0.lastBatch) }).sorted()
  }

  /// Takes notice of the last events in one of ``lastBatches``.
  package mutating func noteLastEvents(of place: Int, _ batch: DecodedBatch) {
    for index in 0..<batch.count {
      scratch.removeAll()
      batch.withDeviceID(at: index) { scratch.append($0) }
      let number = Int(number(of: 0..<scratch.count))
      guard devices[number].lastBatch == UInt32(place) else { continue }
      devices[number].lastNumber = batch.baseOffset &+ UInt64(index)
      devices[number].lastTime = batch.time(at: index)
    }
  }

  /// Writes the whole file but its header.
  ///
  /// - Parameters:
  ///   - end: where the segment ends.
  ///   - identity: the segment's.
  ///   - buffer: takes the bytes.
  package consuming func finish(
    end: RecoveryRule.Start, identity: FrameIdentity, into buffer: inout ByteBuffer
  ) {
    // A device that a batch's set does not name, though its columns do, has no postings.
    let order = sortedDevices()
    let postingCount = members.count / 4
    var footer = SegmentFooter(
      batchCount: batchCount, deviceCount: order.count, postingCount: postingCount,
      idsSize: order.reduce(0) { $0 + idRange(of: $1).count }, end: end, hasHoles: hasHoles)
    var contents = ByteBuffer(capacity: footer.fileSize - footer.batchesPosition)
    batches.withBytes { contents.append($0) }
    appendDevices(order, to: &contents)
    appendPostings(order, width: footer.postingWidth, to: &contents)
    contents.pad(to: 8)
    for number in order { ids.withBytes(idRange(of: number)) { contents.append($0) } }
    footer.contentsChecksum = contents.withBytes {
      CRC32C.checksum($0, seed: SegmentFooter.contentsSeed(identity))
    }
    footer.encode(into: &buffer, identity: identity)
    contents.withBytes { buffer.append($0) }
  }

  private func sortedDevices() -> [Int] {
    ids.withBytes { all in
      devices.indices.filter { devices[$0].postingCount > 0 }.sorted { left, right in
        all.extracting(idRange(of: left)).precedes(all.extracting(idRange(of: right)))
      }
    }
  }

  private func appendDevices(_ order: [Int], to contents: inout ByteBuffer) {
    var idPosition: UInt32 = 0
    var posting: UInt32 = 0
    for number in order {
      let device = devices[number]
      let idSize = idRange(of: number).count
      FooterDevice(
        idPosition: idPosition, idSize: UInt16(idSize), firstPosting: posting,
        postingCount: device.postingCount, lastNumber: device.lastNumber,
        lastTime: device.lastTime
      ).encode(into: &contents)
      idPosition += UInt32(idSize)
      posting += device.postingCount
    }
  }

  /// Sorts the batches' devices by device: one pass, each posting put where it belongs.
  private func appendPostings(_ order: [Int], width: Int, to contents: inout ByteBuffer) {
    var places = [Int](repeating: 0, count: devices.count)
    var next = contents.count
    for number in order {
      places[number] = next
      next += Int(devices[number].postingCount) * width
    }
    contents.resize(to: next)
    var member = 0
    for (batch, end) in memberEnds.enumerated() {
      while member < end {
        let number = Int(members.load(at: member * 4, as: UInt32.self))
        if width == 2 {
          contents.store(UInt16(batch), at: places[number])
        } else {
          contents.store(UInt32(batch), at: places[number])
        }
        places[number] += width
        member += 1
      }
    }
  }
}

extension RawSpan {
  /// Whether the bytes stand before others in the order of device ids.
  package func precedes(_ other: RawSpan) -> Bool {
    // SAFETY: both spans keep their bytes valid for the closures.
    unsafe withUnsafeBytes { own in
      unsafe other.withUnsafeBytes { unsafe own.lexicographicallyPrecedes($0) }
    }
  }
}
