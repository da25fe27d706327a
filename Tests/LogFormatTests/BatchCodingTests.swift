import EventModel
import LogFormat
import Testing

/// Random events that reach every branch of the batch's layout.
struct BatchGenerator {
  var random: SeededRandom
  private let devices: [DeviceID]
  private let sets: [Properties]

  init(seed: UInt64, deviceCount: Int) throws {
    random = SeededRandom(seed)
    let prefix = String(repeating: "p", count: Int.random(in: 0...20, using: &random))
    var devices: [DeviceID] = []
    for number in 0..<deviceCount {
      let tail = random.chance(5) ? String(repeating: "z", count: 90) : ""
      devices.append(try DeviceID(prefix + String(number &* 7_919, radix: 36) + tail))
    }
    self.devices = devices
    sets = [
      .empty, ["unit": "C"], ["unit": "C"], ["alert": "", "Überschrift": "größer", "unit": "F"],
      try Properties((0..<60).map { (name: "n\($0)", value: String($0)) }),
    ]
  }

  mutating func events(_ count: Int) -> [SampleEvent] {
    var time: Int64 = random.chance(20) ? .min : 1_700_000_000_000_000
    let steps: [Int64] = [0, 1, 200, 70_000, 5_000_000_000, 1 << 52]
    let step = steps.randomElement(using: &random) ?? 0
    let largestBody = count > 500 ? 60 : 2_000
    return (0..<count).map { _ in
      time &+= Int64.random(in: 0...step, using: &random)
      let size = random.chance(15) ? 0 : Int.random(in: 0...largestBody, using: &random)
      return SampleEvent(
        device: devices.randomElement(using: &random) ?? "d", body: random.bytes(size),
        properties: sets.randomElement(using: &random) ?? .empty, texts: texts(), time: time)
    }
  }

  private mutating func texts() -> [SystemProperty: String] {
    guard random.chance(50) else { return [:] }
    var texts: [SystemProperty: String] = [:]
    for property in SystemProperty.allCases where random.chance(25) {
      texts[property] = random.chance(10) ? "" : "v\(UInt8.random(in: 0...9, using: &random))é"
    }
    return texts
  }
}

@Suite struct BatchCodingTests {
  private func expectEqual(
    _ decoded: DecodedBatch, _ events: [SampleEvent], _ context: Comment
  ) {
    #expect(decoded.count == events.count, context)
    guard decoded.count == events.count else { return }
    for (index, event) in events.enumerated() {
      let isEqual =
        decoded.deviceBytes(at: index) == event.device.utf8
        && decoded.body(at: index) == event.body
        && decoded.bodySize(at: index) == event.body.count
        && decoded.time(at: index).microseconds == event.time
        && decoded.properties(at: index) == event.properties
        && decoded.propertyTexts(at: index) == event.properties.flatMap { [$0.name, $0.value] }
        && decoded.systemProperties(at: index) == event.systemProperties
      guard isEqual else {
        Issue.record("record \(index) differs: \(context)")
        return
      }
    }
  }

  @Test(arguments: [1, 2, 3, 17, 255, 256, 257, 1_000, 5_000])
  func `random batches come back as they went in`(count: Int) throws {
    let encoder = BatchEncoder(targetSize: 4_096)
    for round in 0..<(count > 500 ? 1 : 6) {
      let seed = UInt64(count * 100 + round)
      var generator = try BatchGenerator(
        seed: seed, deviceCount: [1, 3, 300, 3_000][(count + round) % 4])
      let events = generator.events(count)
      let batch = SealedBatch(events, using: encoder)
      let identity = Fixed.segmentHeader.identity
      let frame = batch.frame(
        baseNumber: 1 << 40, watermark: 5, epoch: 3, chain: 9, identity: identity, at: 640)
      var scanner = FrameScanner(
        MemorySource(bytes: [UInt8](repeating: 0, count: 640) + frame.bytes), identity: identity)
      let scanned = try #require(scanner.scan(from: 640).frames.first, "seed \(seed)")
      let isIntact = scanner.isIntact(scanned)
      #expect(isIntact, "seed \(seed)")
      let bodyStart = FrameHeader.size + Int(scanned.header.clearSize)
      let decoded = try decodeBatch(
        header: scanned.header, clear: Array(frame.bytes[FrameHeader.size..<bodyStart]),
        blocks: Array(frame.bytes[bodyStart..<bodyStart + Int(scanned.header.storedSize)]))
      #expect(decoded.baseOffset == 1 << 40)
      expectEqual(decoded, events, "seed \(seed)")
    }
  }

  @Test func `the clear section tells devices, time span and event size`() throws {
    let seed: UInt64 = 77
    var generator = try BatchGenerator(seed: seed, deviceCount: 500)
    let events = generator.events(700)
    let batch = SealedBatch(events)
    let span = batch.clear.span
    let section = try BatchClearSection(decoding: span.bytes, header: batch.header)
    let devices = try BatchClearSection.devices(span.bytes, count: section.deviceCount)
    #expect(devices == Set(events.map(\.device)).sorted(), "seed \(seed)")
    let size = events.reduce(0) { sum, event in
      sum + event.body.count + event.properties.size + event.device.size
        + event.systemProperties.size
    }
    #expect(section.eventSize == UInt64(size) && batch.eventSize == UInt64(size), "seed \(seed)")
    #expect(section.timeSpan == UInt64(bitPattern: events[699].time &- events[0].time))
  }

  @Test func `device ids that share long prefixes come back in the order of their bytes`() throws {
    let stem = String(repeating: "a", count: 120)
    let names = [stem, stem + "b", stem + "bcdefgh", "a", "b", stem + "bcdefgg", "A", "aaaaaaa"]
    let devices = try names.map { try DeviceID($0) }
    let batch = SealedBatch(
      devices.map {
        SampleEvent(device: $0, body: [], properties: .empty, texts: [:], time: 0)
      })
    let span = batch.clear.span
    #expect(try BatchClearSection.devices(span.bytes, count: 8) == devices.sorted())
    let decoded = try decodeBatch(
      header: batch.header, clear: batch.clear, blocks: batch.columns + batch.payload)
    for (index, device) in devices.enumerated() {
      #expect(decoded.deviceBytes(at: index) == device.utf8)
    }
  }

  @Test func `device ids shorter and longer than what is put together at once come back`() throws {
    let names = (1...20).flatMap { size in
      ["", "a", "bc"].map { String(repeating: "p", count: size) + $0 }
    }
    let devices = try names.map { try DeviceID($0) }
    // The last of them are read where fewer bytes follow than are read at once.
    for count in 1...devices.count {
      let batch = SealedBatch(
        devices.prefix(count).map {
          SampleEvent(device: $0, body: [], properties: .empty, texts: [:], time: 0)
        })
      let decoded = try decodeBatch(
        header: batch.header, clear: batch.clear, blocks: batch.columns + batch.payload)
      for (index, device) in devices.prefix(count).enumerated() {
        #expect(decoded.deviceBytes(at: index) == device.utf8)
      }
    }
  }

  @Test func `a batch of the most records and devices comes back`() throws {
    let count = Limits.batchRecordCountMax
    let devices = try (0..<count).map { try DeviceID(String($0, radix: 32)) }
    let events = devices.map {
      SampleEvent(device: $0, body: [7], properties: .empty, texts: [:], time: 5)
    }
    let batch = SealedBatch(events)
    let decoded = try decodeBatch(
      header: batch.header, clear: batch.clear, blocks: batch.columns + batch.payload)
    #expect(decoded.count == count)
    for index in stride(from: 0, to: count, by: 997) {
      #expect(decoded.deviceBytes(at: index) == devices[index].utf8)
    }
  }

  @Test(arguments: 0...64)
  func `integers of every width come back`(width: Int) throws {
    let seed: UInt64 = 78
    var random = SeededRandom(seed)
    let device: DeviceID = "d"
    for count in [1, 2, 7, 8, 9, 63, 64, 65, 300] {
      // The first distance is 0 and the second one large, so that the column has just this width.
      var distances = (0..<count).map { _ in width == 0 ? 0 : random.next() >> UInt64(64 - width) }
      distances[0] = 0
      if count > 1, width > 0 { distances[1] |= 1 << UInt64(width - 1) }
      var time: Int64 = 0
      let events = distances.map { distance in
        time &+= Int64(bitPattern: distance)
        return SampleEvent(device: device, body: [], properties: .empty, texts: [:], time: time)
      }
      let batch = SealedBatch(events)
      // Behind the device column, which has the width 0.
      #expect(batch.columns[2] == (count == 1 ? 0 : width), "\(count) records")
      let decoded = try decodeBatch(
        header: batch.header, clear: batch.clear, blocks: batch.columns + batch.payload)
      for (index, event) in events.enumerated() {
        #expect(
          decoded.time(at: index).microseconds == event.time,
          "seed \(seed), \(count) records, record \(index)")
      }
    }
  }

  /// The address sanitizer sees a load beyond it.
  @Test func `a column that ends where its memory does is read to its end and no further`() throws {
    let types = ["text/plain", "application/json", "application/octet-stream"]
    for count in 1...80 {
      let events = (0..<count).map {
        SampleEvent(
          device: "d", body: [], properties: .empty, texts: [.contentType: types[$0 % 3]],
          time: Int64($0))
      }
      let batch = SealedBatch(events)
      var blocks = ByteBuffer(unalignedCapacity: batch.columns.count)
      blocks.append(batch.columns)
      let clear = batch.clear.span
      let section = try BatchClearSection(decoding: clear.bytes, header: batch.header)
      let decoded = try DecodedBatch(
        header: batch.header, section: section, clear: clear.bytes, blocks: blocks)
      for index in 0..<count {
        #expect(decoded.text(.contentType, at: index) == types[index % 3], "\(count) records")
      }
    }
  }
}
