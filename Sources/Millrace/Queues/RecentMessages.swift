internal import CSystemShims
internal import EventModel

/// The messages that were sent last: a device that comes for them soon waits for no disk.
///
/// A table with one place for each number, which a later one takes where they meet; bounded by the
/// bytes that the messages take, the oldest of which go first.
///
/// Memory of its own and not arrays, so that a message is moved out and not copied.
// SAFETY, for every use below: the pieces are owned by the value alone and freed with it; all keys
// of a piece are initialised, and a message is wherever the key of its place has a number.
@safe
struct RecentMessages: ~Copyable, @unchecked Sendable {
  private static let pieceCount = 256
  private static let pieceSize = 256
  /// What a message takes beside its bytes, about.
  private static let entrySize = 160

  /// What is asked of a message most, apart from it, so that asking touches none.
  private struct Key {
    static let none = Key(number: .max, size: 0, isNeededToSettle: false)

    let number: UInt64
    let size: UInt32
    let isNeededToSettle: Bool
  }

  /// Places of numbers that follow each other; without memory while nothing is there.
  @safe
  private struct Piece {
    var count = 0
    var keys: UnsafeMutablePointer<Key>?
    var messages: UnsafeMutablePointer<SentMessage>?
  }

  /// Where a message is.
  @safe
  private struct Place {
    let piece: Int
    let key: UnsafeMutablePointer<Key>
    let message: UnsafeMutablePointer<SentMessage>
  }

  private let sizeMax: Int
  private var pieces = [Piece](repeating: Piece(), count: pieceCount)
  private var count = 0
  private var size = 0
  /// Nothing below it is here.
  private var oldest: UInt64 = 0

  /// An empty table that keeps so many bytes of messages at most.
  init(sizeMax: Int) { self.sizeMax = sizeMax }

  deinit {
    for piece in pieces {
      guard let keys = unsafe piece.keys, let messages = unsafe piece.messages else { continue }
      for index in 0..<Self.pieceSize where unsafe keys[index].number != Key.none.number {
        unsafe (messages + index).deinitialize(count: 1)
      }
      unsafe keys.deallocate()
      unsafe messages.deallocate()
    }
  }

  /// The message of a number, if it is here.
  subscript(number: UInt64) -> SentMessage? {
    place(holding: number).map { unsafe $0.message.pointee }
  }

  func contains(_ number: UInt64) -> Bool { place(holding: number) != nil }

  /// Has the processor fetch a message that is taken soon: those of one device lie far apart, and
  /// each would be waited for alone.
  func prefetch(_ number: UInt64) {
    guard let place = place(of: number) else { return }
    unsafe millrace_prefetch(place.key, MemoryLayout<Key>.size)
    unsafe millrace_prefetch(place.message, MemoryLayout<SentMessage>.size)
  }

  /// Adds the message of the highest number so far, as it joined its queue.
  mutating func insert(
    _ message: consuming DeviceMessage, size messageSize: Int, _ number: UInt64,
    expiry: Timestamp, feedback: FeedbackMode, at time: Timestamp
  ) {
    let size = Self.entrySize + messageSize
    guard size <= sizeMax else { return }
    if count == 0 { oldest = number }
    let place = placeToFill(number)
    unsafe place.key.pointee = Key(
      number: number, size: UInt32(size), isNeededToSettle: feedback != .none)
    message.body.makeCompact()
    (message.expiryTime, message.timeToLive) = (expiry, nil)
    message.feedback = feedback
    unsafe place.message.initialize(
      to: SentMessage(message: message, expiry: expiry, enqueued: time))
    pieces[place.piece].count += 1
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
    guard let place = place(holding: number) else { return nil }
    if unsafe place.key.pointee.isNeededToSettle { return unsafe place.message.pointee }
    let message = unsafe place.message.move()
    noteEmpty(place)
    return message
  }

  mutating func remove(_ number: UInt64) {
    guard let place = place(holding: number) else { return }
    unsafe place.message.deinitialize(count: 1)
    noteEmpty(place)
  }

  /// A message has been taken out of its place.
  private mutating func noteEmpty(_ place: Place) {
    size -= Int(unsafe place.key.pointee.size)
    count -= 1
    unsafe place.key.pointee = .none
    pieces[place.piece].count -= 1
    guard pieces[place.piece].count == 0 else { return }
    unsafe pieces[place.piece].keys?.deallocate()
    unsafe pieces[place.piece].messages?.deallocate()
    pieces[place.piece] = Piece()
  }

  /// The place of a number, with nothing in it.
  private mutating func placeToFill(_ number: UInt64) -> Place {
    if let place = place(of: number) {
      guard unsafe place.key.pointee.number != Key.none.number else { return place }
      // One more stays in the piece, so that it keeps its memory.
      pieces[place.piece].count += 1
      unsafe place.message.deinitialize(count: 1)
      noteEmpty(place)
      pieces[place.piece].count -= 1
      return place
    }
    let (piece, index) = Self.position(of: number)
    let keys = UnsafeMutablePointer<Key>.allocate(capacity: Self.pieceSize)
    unsafe keys.initialize(repeating: .none, count: Self.pieceSize)
    let messages = UnsafeMutablePointer<SentMessage>.allocate(capacity: Self.pieceSize)
    pieces[piece] = unsafe Piece(count: 0, keys: keys, messages: messages)
    return unsafe Place(piece: piece, key: keys + index, message: messages + index)
  }

  private static func position(of number: UInt64) -> (piece: Int, index: Int) {
    let place = Int(truncatingIfNeeded: number) & (pieceCount * pieceSize - 1)
    return (place / pieceSize, place % pieceSize)
  }

  /// The place of a number, whatever is there; nil where its piece has no memory.
  private func place(of number: UInt64) -> Place? {
    let (piece, index) = Self.position(of: number)
    guard let keys = unsafe pieces[piece].keys, let messages = unsafe pieces[piece].messages
    else { return nil }
    return unsafe Place(piece: piece, key: keys + index, message: messages + index)
  }

  private func place(holding number: UInt64) -> Place? {
    guard let place = place(of: number), unsafe place.key.pointee.number == number
    else { return nil }
    return place
  }
}
