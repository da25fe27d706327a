import EventModel
import LogFormat
import SimulationKit
import Testing

/// What a record's body holds: one entry that stands alone, or a run of others (format-spec §14.1).
@Suite("Records of the journal")
struct JournalRecordTests {
  private static let others: [JournalEntry] = [
    .locked(.init(sequence: Limits.numberMax, deliveryCount: 65_535, duration: .max)),
    .locked(.init(sequence: 0, deliveryCount: 1, duration: 0)),
    .returned(.init(sequence: 300, deliveryCount: 2)),
    .returned(
      .init(sequence: 300, deliveryCount: 0, availableFrom: Timestamp(microseconds: 12))),
    .settled(
      .init(
        sequence: 7, status: .success, givesFeedback: false, deliveryCount: 1,
        description: "Success")),
    .settled(
      .init(
        sequence: 200, status: .purged, givesFeedback: false, deliveryCount: 0, description: "")),
  ]
  private static let alone: [JournalEntry] = [
    .enqueued(.init(expiry: Timestamp(microseconds: -1), feedback: .full)),
    .enqueued(.init(expiry: Timestamp(microseconds: 5), feedback: .full, deadLetter: 300)),
    .settled(
      .init(
        sequence: 7, status: .success, givesFeedback: true, deliveryCount: 1,
        description: "Success")),
    .settled(
      .init(
        sequence: 7, status: .rejected, givesFeedback: false, deliveryCount: 10,
        description: "zu heiß",
        deadLetter: .init(
          enqueued: Timestamp(microseconds: 1), expiry: Timestamp(microseconds: 2),
          feedback: .negative))),
    .deviceRemoved,
  ]

  private static func bytes(_ entries: [JournalEntry]) -> [UInt8] {
    var buffer = ByteBuffer()
    for entry in entries { entry.encode(into: &buffer) }
    return buffer.array(0..<buffer.count)
  }

  private func decode(_ bytes: [UInt8]) throws -> (entries: [JournalEntry], size: Int) {
    // What was there before is gone.
    var entries = Self.others
    let size = try JournalEntry.decodeAll(bytes.span.bytes, into: &entries)
    return (entries, size)
  }

  private func isCorrupt(_ bytes: [UInt8]) -> Bool {
    guard case .corrupt = #expect(throws: FormatError.self, performing: { try decode(bytes) })
    else { return false }
    return true
  }

  @Test("An entry that stands alone leaves the message's body alone", arguments: alone)
  func single(entry: JournalEntry) throws {
    let bytes = Self.bytes([entry])
    for body in entry.carriesBody ? ["", "the body", "\u{0}"] : [""] {
      let decoded = try decode(bytes + Array(body.utf8))
      #expect(decoded.entries == [entry] && decoded.size == bytes.count)
      let alone = try JournalEntry.decodeAlone((bytes + Array(body.utf8)).span.bytes)
      #expect(alone.entry == entry && alone.size == bytes.count)
    }
  }

  @Test("Where no message follows an entry nothing does", arguments: alone)
  func bytesBehind(entry: JournalEntry) {
    guard !entry.carriesBody else { return }
    let bytes = Self.bytes([entry])
    for rest in [[0], [5], Array("the body".utf8), bytes, Self.bytes(Self.others)] {
      #expect(isCorrupt(bytes + rest), "\(rest)")
      #expect(throws: FormatError.self) { try JournalEntry.decodeAlone((bytes + rest).span.bytes) }
    }
  }

  @Test("An entry of a run is none that stands alone", arguments: others)
  func runOfOne(entry: JournalEntry) {
    #expect(throws: FormatError.self) {
      try JournalEntry.decodeAlone(Self.bytes([entry]).span.bytes)
    }
  }

  @Test("Entries of a run are decoded in their order, up to the end", arguments: 0..<20 as Range)
  func runs(seed: Int) throws {
    var random = SeededRandom(seed: UInt64(seed))
    let count = seed == 0 ? Limits.journalRunCountMax : Int.random(in: 1...20, using: &random)
    let run = (0..<count).map { _ in
      Self.others[Int.random(in: 0..<Self.others.count, using: &random)]
    }
    let bytes = Self.bytes(run)
    let decoded = try decode(bytes)
    #expect(decoded.entries == run && decoded.size == bytes.count)
  }

  @Test("A run that is cut is corrupt, unless it is cut between entries")
  func cuts() throws {
    let run = Self.others + Self.others.reversed()
    let bytes = Self.bytes(run)
    let ends = (1...run.count).map { Self.bytes(Array(run.prefix($0))).count }
    for cut in 0..<bytes.count {
      if let count = ends.firstIndex(of: cut) {
        #expect(try decode(Array(bytes.prefix(cut))).entries == Array(run.prefix(count + 1)))
      } else {
        #expect(isCorrupt(Array(bytes.prefix(cut))), "cut at \(cut)")
      }
    }
  }

  @Test("Every byte changed gives other entries or an error, and what is decoded can be written")
  func damage() throws {
    let original = Self.bytes(Self.others)
    for position in original.indices {
      for value in UInt8.min...UInt8.max where value != original[position] {
        var bytes = original
        bytes[position] = value
        guard let decoded = try? decode(bytes) else { continue }
        #expect(decoded.entries != Self.others || decoded.size != original.count)
        let again = try decode(
          Self.bytes(decoded.entries) + bytes[decoded.size...])
        #expect(again.entries == decoded.entries)
      }
    }
  }

  @Test("A message is carried by no entry of a run, neither in it nor behind it", arguments: alone)
  func carrying(entry: JournalEntry) {
    for count in 1...Self.others.count {
      let run = Array(Self.others.prefix(count))
      #expect(isCorrupt(Self.bytes(run + [entry])))
      #expect(isCorrupt(Self.bytes(run + [entry] + run)))
    }
  }

  @Test("What is behind a run and no entry is corrupt, what a later program put there is not")
  func trailing() {
    let run = Self.bytes(Self.others)
    for garbage: [UInt8] in [[0], [0, 0, 0], [2], [2, 0x80], [3, 1, 1], [4, 1, 0, 0, 1, 9]] {
      #expect(isCorrupt(run + garbage), "\(garbage)")
    }
    for later: [UInt8] in [[7], [255, 0], [4, 1, 5], [4, 1, 0, 4]] {
      let error = #expect(throws: FormatError.self) { try decode(run + later) }
      guard case .unsupportedFeatures = error else {
        Issue.record("\(later): \(String(describing: error))")
        continue
      }
    }
    #expect(isCorrupt([]))
  }

  @Test("A run of too many entries is refused before they are all in memory")
  func tooMany() {
    let run = Array(repeating: Self.others[1], count: Limits.journalRunCountMax + 1)
    #expect(isCorrupt(Self.bytes(run)))
  }
}
