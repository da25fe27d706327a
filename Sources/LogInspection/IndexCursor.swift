internal import EventModel
internal import LogFormat

/// Goes through the entries of an index file, which may be wrong in any way (I6).
struct IndexCursor: ~Copyable {
  struct Found {
    let position: Int
    /// Nil where the entry's checksum does not hold.
    let entry: IndexEntry?
  }

  private let source: InspectedSource
  private let identity: FrameIdentity
  private var position = FileHeader.size
  private var window = ByteBuffer(capacity: Self.windowSize)
  private var windowStart = 0

  private static var windowSize: Int { 64 << 10 }

  init(_ source: InspectedSource, identity: FrameIdentity) {
    self.source = source
    self.identity = identity
  }

  /// Bytes at the end that make no whole entry.
  var restSize: Int { max(0, source.size - position) }

  mutating func next() -> Found? {
    let place = position
    guard place + IndexEntry.size <= source.size else { return nil }
    if place < windowStart || place + IndexEntry.size > windowStart + window.count {
      // A hole of any size is one wrong entry.
      let skipped = (source.dataStart(from: place) - place) / IndexEntry.size
      if skipped > 0 {
        position += skipped * IndexEntry.size
        return Found(position: place, entry: nil)
      }
      window.removeAll()
      windowStart = place
      let count = min(Self.windowSize, source.size - place)
      guard source.append(place..<place + count, to: &window) else { return nil }
    }
    position += IndexEntry.size
    let start = place - windowStart
    let identity = identity
    do throws(FormatError) {
      let entry = try window.withBytes(start..<start + IndexEntry.size) {
        (bytes) throws(FormatError) in
        try IndexEntry(decoding: bytes, identity: identity, at: FilePosition(place))
      }
      return Found(position: place, entry: entry)
    } catch {
      return Found(position: place, entry: nil)
    }
  }
}

/// Compares an index with the batches of its segment, while these go by in their order.
struct IndexComparison: ~Copyable {
  private let name: String
  private var cursor: IndexCursor
  private var expected: IndexCursor.Found?
  private var lastPosition: UInt64?
  /// Entries seen.
  private(set) var count = 0
  private(set) var damages: [Damage] = []
  private var records: UInt64 = 0
  private var batches: UInt64 = 0
  private var eventSize: UInt64 = 0
  /// What came before is not known exactly once a batch could not be read.
  private var isExact = true

  /// One index is rebuilt as a whole, so a few findings say all there is to say.
  private static var damageMax: Int { 16 }

  init(_ source: InspectedSource, header: FileHeader) {
    name = source.name
    cursor = IndexCursor(source, identity: header.identity)
    expected = nil
    advance()
  }

  private mutating func note(_ kind: DamageKind, _ position: Int, _ detail: String) {
    guard damages.count < Self.damageMax else { return }
    damages.append(Damage(kind, file: name, position: position, detail: detail))
  }

  /// Goes to the next entry whose checksum holds and that lies behind the one before.
  private mutating func advance() {
    expected = nil
    while let found = cursor.next() {
      count += 1
      guard let entry = found.entry else {
        note(.badIndex, found.position, "the entry's checksum does not hold")
        continue
      }
      if let lastPosition, entry.position <= lastPosition {
        note(.badIndex, found.position, "the entry does not lie behind the one before it")
        continue
      }
      lastPosition = entry.position
      expected = found
      return
    }
    if cursor.restSize > 0 {
      note(.badIndex, 0, "\(cursor.restSize) bytes at the end make no entry")
    }
  }

  /// Takes notice of a batch frame that stands.
  mutating func pass(_ frame: ScannedFrame, eventSize size: UInt64?) {
    while let found = expected, let entry = found.entry, entry.position < UInt64(frame.position) {
      note(.staleIndex, found.position, "no batch stands at position \(entry.position)")
      advance()
    }
    if let found = expected, let entry = found.entry, entry.position == UInt64(frame.position) {
      if !matches(entry, frame) {
        note(.staleIndex, found.position, "the entry is not about the batch at \(frame.position)")
      }
      advance()
    }
    records &+= UInt64(frame.header.recordCount)
    batches &+= 1
    if let size { eventSize &+= size } else { isExact = false }
  }

  /// Something before the next batch is lost: what stood there cannot be counted.
  mutating func passLoss() { isExact = false }

  private func matches(_ entry: IndexEntry, _ frame: ScannedFrame) -> Bool {
    guard entry.frameChecksum == frame.checksum, entry.baseNumber == frame.header.baseNumber,
      entry.baseTime == frame.header.baseTime, entry.epoch == frame.header.epoch
    else { return false }
    return !isExact
      || (entry.recordCount == records && entry.batchCount == batches
        && entry.eventSize == eventSize)
  }

  /// Ends the comparison behind the segment's last batch.
  mutating func finish() {
    while let found = expected, let entry = found.entry {
      note(.staleIndex, found.position, "no batch stands at position \(entry.position)")
      advance()
    }
  }
}
