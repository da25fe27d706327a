import EventModel
import LogFormat
import Testing

@Suite struct IndexEntryTests {
  private static let identity = Fixed.indexHeader.identity

  private static let entry = IndexEntry(
    position: 1 << 33, baseNumber: Limits.numberMax, baseTime: Timestamp(microseconds: .min),
    recordCount: 1, batchCount: 2, eventSize: 3, epoch: 4, frameChecksum: 5)

  private static func encode(_ entry: IndexEntry = entry, at position: Int) -> [UInt8] {
    var buffer = ByteBuffer()
    entry.encode(into: &buffer, identity: identity, at: FilePosition(position))
    return buffer.array(0..<buffer.count)
  }

  private static func decode(_ bytes: [UInt8], at position: Int) throws -> IndexEntry? {
    let span = bytes.span
    return try IndexEntry(
      decoding: span.bytes, identity: identity, at: FilePosition(position))
  }

  @Test func `an index entry comes back as it was written`() throws {
    let bytes = Self.encode(at: 192)
    #expect(bytes.count == IndexEntry.size)
    #expect(try Self.decode(bytes, at: 192) == Self.entry)
  }

  @Test func `an entry that no segment can have is none, whatever its checksum says`() throws {
    let changes: [(inout IndexEntry) -> Void] = [
      { $0.position = 0 }, { $0.position = 200 }, { $0.position = 1 << 41 },
      { $0.position = 1 << 63 - 64 }, { $0.position = .max }, { $0.baseNumber = 1 << 63 },
      { $0.recordCount = $0.baseNumber + 1 }, { $0.recordCount = .max },
      { $0.batchCount = $0.position / 64 + 1 }, { $0.batchCount = .max },
    ]
    for (index, change) in changes.enumerated() {
      var entry = Self.entry
      change(&entry)
      let bytes = Self.encode(entry, at: 192)
      #expect(try Self.decode(bytes, at: 192) == nil, "\(index)")
    }
  }

  @Test func `I5: an index entry holds at its own position alone`() throws {
    #expect(try Self.decode(Self.encode(at: 192), at: 256) == nil)
    #expect(try Self.decode([UInt8](repeating: 0, count: IndexEntry.size), at: 192) == nil)
  }

  @Test func `every flipped bit and every cut of an index entry is found`() throws {
    let bytes = Self.encode(at: 192)
    for bit in 0..<bytes.count * 8 {
      #expect(try Self.decode(bytes.flippingBit(bit), at: 192) == nil, "bit \(bit)")
    }
    for count in 0..<bytes.count {
      #expect(throws: FormatError.self) { try Self.decode(Array(bytes[..<count]), at: 192) }
    }
  }
}

@Suite struct FileNameTests {
  @Test func `names have fixed widths`() {
    #expect(FileNames.partition(3) == "003")
    #expect(FileNames.partition(1_023) == "1023")
    #expect(
      FileNames.segmentStem(baseNumber: 18_204, segmentID: 42) == "00000000000000018204-0000002a")
    #expect(
      FileNames.segmentStem(baseNumber: .max, segmentID: 0x1_ffff_fff0)
        == "18446744073709551615-fffffff0")
  }

  @Test func `a folder's name tells the partition, if a store can have it`() {
    for number in [0, 7, 999, 1_000, 1_023] as [UInt32] {
      #expect(FileNames.parsePartition(FileNames.partition(number)) == number)
    }
    for name in ["", "7", "0007", "+07", "1024", "2024", "4294967295", "4294967296", "notes"] {
      #expect(FileNames.parsePartition(name) == nil, "\(name)")
    }
  }

  @Test func `a segment's name tells its base number and id`() throws {
    for suffix in [".segment", ".journal", ".index", ".footer"] {
      let name = FileNames.segmentStem(baseNumber: 18_204, segmentID: 42) + suffix
      let parsed = try #require(FileNames.parseSegmentStem(name))
      #expect(parsed.baseNumber == 18_204 && parsed.segmentID == 42)
    }
  }

  @Test func `each log has a folder, and its segments a kind and a suffix`() {
    let logs =
      [ManifestEdit.LogID(stream: .events, partition: 3)]
      + [FileHeader.Stream.feedback, .deadLetter, .journal].map { .only(of: $0) }
    #expect(
      logs.map(\.folder) == [
        "partitions/003", "feedback/000", "dead-letter/000", "queues/journal",
      ])
    #expect(logs.map(\.stream.segmentKind) == [.segment, .segment, .segment, .journal])
    #expect(
      logs.map(\.stream.segmentSuffix) == [".segment", ".segment", ".segment", ".journal"])
    #expect(logs.map(\.stream.rawValue) == [0, 1, 2, 3])
    #expect(!ManifestEdit.LogID(stream: .journal, partition: 1).isPossible)
  }

  @Test func `other names are no segments`() {
    let names = [
      "", ".segment", "MANIFEST", "00000000000000018204-0000002a",
      "0000000000000018204-0000002a.segment", "00000000000000018204-000002a.segment",
      "+0000000000000018204-0000002a.segment", "00000000000000018204-0000002A.segment",
      "00000000000000018204-+000002a.segment", "99999999999999999999-0000002a.segment",
      "09223372036854775808-0000002a.segment",
      "00000000000000018204-0000002a-1.segment", "00000000000000018204-0000002a.segment.new",
    ]
    for name in names { #expect(FileNames.parseSegmentStem(name) == nil, "\(name)") }
  }
}

@Suite struct VariableLengthIntegerTests {
  private func decode(_ bytes: [UInt8]) throws -> UInt64 {
    let span = bytes.span
    var reader = ByteReader(span.bytes)
    return try reader.variableLengthInteger()
  }

  @Test func `numbers of every size come back`() throws {
    var values: [UInt64] = [0, .max]
    for shift in 0..<64 { values += [1 << shift, 1 << shift - 1, ~(1 << shift)] }
    for value in values {
      var buffer = ByteBuffer()
      buffer.appendVariableLength(value)
      let bytes = buffer.array(0..<buffer.count)
      #expect(try decode(bytes) == value)
      #expect(bytes.count == max(1, (64 - value.leadingZeroBitCount + 6) / 7))
      for count in 0..<bytes.count {
        #expect(throws: FormatError.self) { try decode(Array(bytes[..<count])) }
      }
    }
  }

  @Test func `more than 64 bits are damage, needless zero groups are not`() throws {
    #expect(throws: FormatError.self) { try decode([UInt8](repeating: 0xff, count: 9) + [0x02]) }
    #expect(throws: FormatError.self) { try decode([UInt8](repeating: 0x80, count: 10) + [0x00]) }
    #expect(try decode([0x81, 0x80, 0x00]) == 1)
  }
}
