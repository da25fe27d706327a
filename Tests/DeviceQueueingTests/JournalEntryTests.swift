import EventModel
import LogFormat
import Testing

@Suite("Journal entries")
struct JournalEntryTests {
  private static let entries: [JournalEntry] = [
    .enqueued(.init(expiry: Timestamp(microseconds: -1), feedback: .full)),
    .enqueued(.init(expiry: Timestamp(microseconds: .max), feedback: .none)),
    .enqueued(.init(expiry: Timestamp(microseconds: 5), feedback: .full, deadLetter: 300)),
    .locked(.init(sequence: Limits.numberMax, deliveryCount: 65_535, duration: 60_000_000)),
    .locked(.init(sequence: 0, deliveryCount: 1, duration: 0)),
    .returned(.init(sequence: 300, deliveryCount: 2)),
    .returned(
      .init(sequence: 300, deliveryCount: 0, availableFrom: Timestamp(microseconds: 12))),
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

  @Test("What is encoded is decoded, and a body behind it is left alone", arguments: entries)
  func roundTrip(entry: JournalEntry) throws {
    var buffer = ByteBuffer()
    entry.encode(into: &buffer)
    let size = buffer.count
    buffer.append("the body")
    let decoded = try buffer.withBytes { try JournalEntry.decode($0) }
    #expect(decoded.entry == entry && decoded.size == size)
    for cut in 0..<size {
      #expect(throws: FormatError.self) {
        try buffer.withBytes(0..<cut) { try JournalEntry.decode($0) }
      }
    }
  }

  @Test("Every byte changed gives another entry or an error, never a crash", arguments: entries)
  func damage(entry: JournalEntry) {
    var original = ByteBuffer()
    entry.encode(into: &original)
    let bytes = original.withBytes { bytes in
      (0..<bytes.byteCount).map { bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
    }
    for position in bytes.indices {
      for value in UInt8.min...UInt8.max where value != bytes[position] {
        var changed = bytes
        changed[position] = value
        var buffer = ByteBuffer()
        buffer.append(changed)
        let decoded = try? buffer.withBytes { try JournalEntry.decode($0) }
        #expect(decoded.map { $0.entry != entry || $0.size != bytes.count } ?? true)
      }
    }
  }

  @Test("What a later program wrote is unsupported, not corrupt")
  func unsupported() {
    for bytes: [UInt8] in [[7], [255], [1, 0, 0, 0, 0, 0, 0, 0, 0, 4], [4, 1, 5], [4, 1, 0, 4]] {
      var buffer = ByteBuffer()
      buffer.append(bytes)
      let error = #expect(throws: FormatError.self) {
        try buffer.withBytes { try JournalEntry.decode($0) }
      }
      guard case .unsupportedFeatures = error else {
        Issue.record("\(bytes): \(String(describing: error))")
        continue
      }
    }
  }
}
