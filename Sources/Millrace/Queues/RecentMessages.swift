internal import EventModel

/// The messages that were sent last: a device that comes for them soon waits for no disk.
///
/// A table with one place for each number, which a later one takes where they meet; bounded by the
/// bytes that the messages take, the oldest of which go first.
struct RecentMessages: ~Copyable, Sendable {
  private static let pieceCount = 256
  private static let pieceSize = 256
  /// What a message takes beside its bytes, about.
  private static let entrySize = 160

  private struct Entry {
    let body: Payload
    let properties: Properties
    let systemProperties: SystemProperties
    let expiry: Timestamp
    let enqueued: Timestamp
    let feedback: FeedbackMode
  }

  /// What is asked of a message most, apart from it, so that asking touches none.
  private struct Key {
    static let none = Key(number: .max, size: 0, isNeededToSettle: false)

    let number: UInt64
    let size: UInt32
    let isNeededToSettle: Bool
  }

  /// Places of numbers that follow each other; without memory while nothing is there.
  private struct Piece {
    var count = 0
    var keys: [Key] = []
    var entries: [Entry?] = []
  }

  private let sizeMax: Int
  private var pieces = [Piece](repeating: Piece(), count: pieceCount)
  private var count = 0
  private var size = 0
  /// Nothing below it is here.
  private var oldest: UInt64 = 0

  /// An empty table that keeps so many bytes of messages at most.
  init(sizeMax: Int) { self.sizeMax = sizeMax }

  /// The message of a number, if it is here.
  subscript(number: UInt64) -> SentMessage? {
    place(holding: number).flatMap { pieces[$0.piece].entries[$0.index] }
      .map(Self.message)
  }

  func contains(_ number: UInt64) -> Bool { place(holding: number) != nil }

  /// Adds the message of the highest number so far, as it joined its queue.
  mutating func insert(
    _ message: borrowing DeviceMessage, _ number: UInt64, expiry: Timestamp,
    feedback: FeedbackMode, at time: Timestamp
  ) {
    let size = Self.entrySize + message.size
    guard size <= sizeMax else { return }
    if count == 0 { oldest = number }
    let (piece, index) = Self.place(of: number)
    if pieces[piece].count == 0 {
      pieces[piece].keys = Array(repeating: .none, count: Self.pieceSize)
      pieces[piece].entries = Array(repeating: nil, count: Self.pieceSize)
    } else if pieces[piece].keys[index].number != Key.none.number {
      // One more stays in the piece, so that it keeps its memory.
      pieces[piece].count += 1
      _ = clear(piece, index)
      pieces[piece].count -= 1
    }
    pieces[piece].keys[index] = Key(
      number: number, size: UInt32(size), isNeededToSettle: feedback != .none)
    pieces[piece].entries[index] = Entry(
      body: message.body.compact, properties: message.properties,
      systemProperties: message.systemProperties, expiry: expiry, enqueued: time,
      feedback: feedback)
    pieces[piece].count += 1
    count += 1
    self.size += size
    while self.size > sizeMax {
      remove(oldest)
      oldest += 1
    }
  }

  /// Takes a message out: who gets it settles it, mostly.
  ///
  /// One whose settlement will need it stays.
  mutating func take(_ number: UInt64) -> SentMessage? {
    guard let (piece, index) = place(holding: number) else { return nil }
    if pieces[piece].keys[index].isNeededToSettle { return self[number] }
    return clear(piece, index).map(Self.message)
  }

  mutating func remove(_ number: UInt64) {
    if let (piece, index) = place(holding: number) { _ = clear(piece, index) }
  }

  private mutating func clear(_ piece: Int, _ index: Int) -> Entry? {
    size -= Int(pieces[piece].keys[index].size)
    count -= 1
    pieces[piece].keys[index] = .none
    let entry = pieces[piece].entries[index].take()
    pieces[piece].count -= 1
    if pieces[piece].count == 0 { pieces[piece] = Piece() }
    return entry
  }

  private static func message(_ entry: Entry) -> SentMessage {
    SentMessage(
      message: DeviceMessage(
        body: entry.body, properties: entry.properties,
        systemProperties: entry.systemProperties, expiryTime: entry.expiry,
        feedback: entry.feedback), expiry: entry.expiry, enqueued: entry.enqueued)
  }

  private static func place(of number: UInt64) -> (piece: Int, index: Int) {
    let place = Int(truncatingIfNeeded: number) & (pieceCount * pieceSize - 1)
    return (place / pieceSize, place % pieceSize)
  }

  private func place(holding number: UInt64) -> (piece: Int, index: Int)? {
    let (piece, index) = Self.place(of: number)
    guard pieces[piece].count > 0, pieces[piece].keys[index].number == number else { return nil }
    return (piece, index)
  }
}
