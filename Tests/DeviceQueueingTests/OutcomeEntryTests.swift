import EventModel
import LogFormat
import Testing

/// What the records of the feedback and the dead letters are (format-spec §14.3).
@Suite("Records of the feedback and the dead letters")
struct OutcomeEntryTests {
  private static func settled(
    givesFeedback: Bool, _ letter: JournalEntry.DeadLetter? = nil
  ) -> JournalEntry {
    .settled(
      .init(
        sequence: 7, status: .rejected, givesFeedback: givesFeedback, deliveryCount: 1,
        description: "not mine", deadLetter: letter))
  }

  private static let letter = JournalEntry.DeadLetter(
    enqueued: Timestamp(microseconds: 1), expiry: Timestamp(microseconds: 2), feedback: .full)
  private static let entries: [JournalEntry] = [
    settled(givesFeedback: false), settled(givesFeedback: true),
    settled(givesFeedback: false, letter), settled(givesFeedback: true, letter),
    .enqueued(.init(expiry: Timestamp(microseconds: 5), feedback: .full)),
    .enqueued(.init(expiry: Timestamp(microseconds: 5), feedback: .full, deadLetter: 300)),
    .locked(.init(sequence: 0, deliveryCount: 1, duration: 0)),
    .returned(.init(sequence: 300, deliveryCount: 2)), .deviceRemoved,
  ]

  private static func bytes(_ entry: JournalEntry, number: UInt64 = 300) -> [UInt8] {
    var buffer = ByteBuffer()
    buffer.appendVariableLength(number)
    entry.encode(into: &buffer)
    return buffer.array(0..<buffer.count)
  }

  private func decode(
    _ bytes: [UInt8], _ stream: FileHeader.Stream
  ) throws(FormatError) -> OutcomeEntry {
    try OutcomeEntry(decoding: bytes.span.bytes, in: stream)
  }

  @Test(
    "Each stream takes its own and nothing else",
    arguments: [FileHeader.Stream.feedback, .deadLetter])
  func kinds(stream: FileHeader.Stream) throws {
    let isFeedback = stream == .feedback
    var taken: [JournalEntry] = []
    for entry in Self.entries {
      let bytes = Self.bytes(entry)
      do throws(FormatError) {
        let outcome = try decode(bytes, stream)
        #expect(outcome.number == 300 && outcome.entry == entry && outcome.size == bytes.count)
        taken.append(entry)
      } catch {
        guard case .corrupt = error else {
          Issue.record("\(error)")
          continue
        }
      }
    }
    #expect(
      taken
        == (isFeedback ? [Self.entries[1]] : [Self.entries[2], Self.entries[3], Self.entries[5]]))
  }

  @Test("A message follows a dead letter, and nothing follows any other record")
  func bodies() throws {
    let letter = Self.bytes(Self.entries[2])
    #expect(try decode(letter + [1, 2, 3], .deadLetter).size == letter.count)
    for (entry, stream) in [
      (Self.entries[1], FileHeader.Stream.feedback), (Self.entries[5], .deadLetter),
    ] {
      #expect(throws: FormatError.self) { try decode(Self.bytes(entry) + [0], stream) }
    }
  }

  @Test("What is cut, or has no possible number, is corrupt")
  func damage() {
    let bytes = Self.bytes(Self.entries[1])
    for cut in 0..<bytes.count {
      #expect(throws: FormatError.self) { try decode(Array(bytes.prefix(cut)), .feedback) }
    }
    let beyond = Self.bytes(Self.entries[1], number: Limits.numberMax + 1)
    #expect(throws: FormatError.self) { try decode(beyond, .feedback) }
  }
}
