import EventModel
import LogFormat
import Testing

/// Damage that no checksum stopped (I11): typed errors or bounded values, never a trap.
@Suite struct BatchDamageTests {
  /// Reads everything a reader could ask for, and checks its bounds.
  private func readEverything(_ batch: DecodedBatch, _ context: Comment) {
    var bodySize = 0
    for index in 0..<batch.count {
      bodySize += batch.body(at: index).count
      _ = batch.time(at: index)
      let device = batch.deviceBytes(at: index)
      #expect((1...Limits.identifierSizeMax).contains(device.count), context)
      #expect(batch.properties(at: index).count <= Limits.propertyCountMax, context)
      #expect(batch.propertyTexts(at: index).count <= 2 * Limits.propertyCountMax, context)
      #expect(batch.systemProperties(at: index).size <= Limits.blockSizeMax, context)
    }
    #expect(bodySize == batch.payloadSize, context)
  }

  private func check(header: FrameHeader, clear: [UInt8], blocks: [UInt8], _ context: Comment) {
    do {
      readEverything(try decodeBatch(header: header, clear: clear, blocks: blocks), context)
      let span = clear.span
      let section = try BatchClearSection(decoding: span.bytes, header: header)
      _ = try BatchClearSection.devices(span.bytes, count: section.deviceCount)
    } catch {
      // A typed error is an answer; the compiler proves that there is no other kind.
      let failure: FormatError = error
      #expect(!failure.description.isEmpty, context)
    }
  }

  private func mutate(_ bytes: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
    var bytes = bytes
    guard !bytes.isEmpty else { return bytes }
    for _ in 0..<Int.random(in: 1...3, using: &random) {
      let index = Int.random(in: 0..<bytes.count, using: &random)
      switch Int.random(in: 0..<4, using: &random) {
      case 0: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 1: bytes[index] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &random) ?? 0
      case 2:
        let end = min(bytes.count, index + Int.random(in: 1...12, using: &random))
        for place in index..<end { bytes[place] = 0xff }
      default: bytes[index] = UInt8.random(in: 0...255, using: &random)
      }
    }
    return bytes
  }

  @Test(arguments: 1...24)
  func `mutated columns and clear sections give errors or values within bounds`(
    seed: Int
  ) throws {
    var generator = try BatchGenerator(seed: UInt64(seed), deviceCount: 1 + seed * 3)
    let batch = SealedBatch(generator.events(1 + seed * 2))
    for round in 0..<300 {
      let context: Comment = "seed \(seed), round \(round)"
      let target = Int.random(in: 0..<4, using: &generator.random)
      let clear = target == 0 || target == 3 ? mutate(batch.clear, &generator.random) : batch.clear
      let columns =
        target == 1 || target == 3 ? mutate(batch.columns, &generator.random) : batch.columns
      var header = batch.header
      if target == 2 {
        header.recordCount = UInt32.random(in: 0...70_000, using: &generator.random)
      }
      check(header: header, clear: clear, blocks: columns + batch.payload, context)
    }
  }

  @Test(arguments: 1...6)
  func `cut and stretched columns give errors`(seed: Int) throws {
    var generator = try BatchGenerator(seed: UInt64(seed + 100), deviceCount: 5)
    let batch = SealedBatch(generator.events(seed * 2))
    for count in 0..<batch.columns.count {
      var clear = batch.clear
      for index in 0..<4 {
        clear[index] = UInt8(truncatingIfNeeded: count >> (8 * index))
        clear[4 + index] = clear[index]
      }
      var header = batch.header
      header.storedSize = UInt32(count + batch.payload.count)
      let blocks = Array(batch.columns[..<count]) + batch.payload
      #expect(throws: FormatError.self, "seed \(seed), \(count) bytes") {
        try decodeBatch(header: header, clear: clear, blocks: blocks)
      }
    }
    for count in 0..<batch.clear.count {
      #expect(throws: FormatError.self, "seed \(seed), \(count) bytes") {
        try decodeBatch(
          header: batch.header, clear: Array(batch.clear[..<count]),
          blocks: batch.columns + batch.payload)
      }
    }
  }

  /// A batch of one record without a body whose columns are given.
  private func decode(columns: [UInt8]) throws(FormatError) -> DecodedBatch {
    let batch = SealedBatch([
      SampleEvent(device: "d", body: [], properties: .empty, texts: [:], time: 0)
    ])
    var clear = batch.clear
    for index in 0..<4 {
      clear[index] = UInt8(truncatingIfNeeded: columns.count >> (8 * index))
      clear[4 + index] = clear[index]
    }
    var header = batch.header
    header.storedSize = UInt32(columns.count)
    return try decodeBatch(header: header, clear: clear, blocks: columns)
  }

  /// Device, time and size columns of one record: all zero.
  private static let columns: [UInt8] = [0, 0, 0, 0, 0, 0]

  @Test func `a property set that refers to an empty table of texts is damage`() {
    #expect(throws: FormatError.self) {
      try decode(columns: Self.columns + [1, 0, 1, 0, 0, 0, 1, 0, 0])
    }
  }

  @Test func `property sets that would fill the memory are damage`() throws {
    // One value of 200 KiB that sixty names share: twelve megabytes from two hundred kilobytes.
    let size = 200 << 10
    var buffer = ByteBuffer()
    buffer.append(Self.columns)
    buffer.append(UInt8(1))
    buffer.appendVariableLength(61)
    buffer.appendText(String(repeating: "x", count: size))
    for number in 0..<60 { buffer.appendText("n\(number)") }
    buffer.append(UInt8(60))
    for number in 0..<60 {
      buffer.append(UInt8(1 + number))
      buffer.append(UInt8(0))
    }
    buffer.append([0, 1, 0, 0])
    let columns = buffer.array(0..<buffer.count)
    #expect(throws: FormatError.self) { try decode(columns: columns) }
  }

  @Test func `unknown system properties and encodings are unsupported and not damage`() throws {
    #expect(try decode(columns: Self.columns + [0, 0, 0]).count == 1)
    #expect(throws: FormatError.unsupportedFeatures(0x1000)) {
      try decode(columns: Self.columns + [0, 0x00, 0x10])
    }
    #expect(throws: FormatError.unsupportedFeatures(3)) {
      try decode(columns: Self.columns + [0, 1, 0, 3, 0, 0])
    }
  }

  @Test func `a value that is none of its dictionary's texts is damage`() throws {
    let text: [UInt8] = [1, 0, 1, 1, 1, 0x61, 0]
    #expect(try decode(columns: Self.columns + [0] + text + [1]).text(.moduleID, at: 0) == "a")
    #expect(try decode(columns: Self.columns + [0] + text + [0]).text(.moduleID, at: 0) == nil)
    #expect(throws: FormatError.self) { try decode(columns: Self.columns + [0] + text + [2]) }
  }

  @Test func `sizes beyond the limits are refused before anything is allocated`() {
    let batch = SealedBatch([
      SampleEvent(device: "d", body: [1], properties: .empty, texts: [:], time: 0)
    ])
    for place in [0, 8] {
      var clear = batch.clear
      for index in 0..<4 { clear[place + index] = 0xff }
      #expect(throws: FormatError.self) {
        try decodeBatch(header: batch.header, clear: clear, blocks: [])
      }
    }
  }
}
