internal import EventModel
internal import Synchronization

/// The property sets of a decoded batch: checked for their bounds when the batch is decoded, made
/// into sets when somebody asks for one.
struct PropertySetsView: ~Copyable, Sendable {
  /// Where the distinct names and values stand in the columns.
  private let texts: [TextPlace]
  /// The places of each property's name and value among the texts, set by set.
  private let names: [UInt32]
  private let values: [UInt32]
  /// Where each set's properties begin, and where the last set's end.
  private let starts: [UInt32]
  /// The sets that somebody has asked for; empty before that.
  private let made = Mutex<[Properties?]>([])

  var count: Int { starts.count - 1 }

  @_lifetime(reader: copy reader)
  init(
    from reader: inout ByteReader, in columns: RawSpan, recordCount: Int
  ) throws(FormatError) {
    let setCount = try reader.count(atMost: recordCount)
    let known = setCount == 0 ? nil : try Self.sets(setCount, from: &reader, in: columns)
    (texts, starts, names, values) = known ?? ([], [0], [], [])
  }

  @_lifetime(reader: copy reader)
  private static func sets(
    _ setCount: Int, from reader: inout ByteReader, in columns: RawSpan
  ) throws(FormatError) -> ([TextPlace], [UInt32], [UInt32], [UInt32]) {
    let texts = try texts(from: &reader)
    let starts = try starts(from: &reader, in: columns, count: setCount)
    let count = Int(starts[setCount])
    let nameColumn = try ColumnView(from: &reader, count: count)
    // Names differ within a set, so a few damaged bytes cannot stand for many properties.
    guard count == setCount || !nameColumn.isConstant else {
      throw .corrupt("a property set has the same name twice")
    }
    let valueColumn = try ColumnView(from: &reader, count: count)
    let limit = UInt64(texts.count)
    let names: [UInt32] = try nameColumn.values(count, in: columns, below: limit)
    let values: [UInt32] = try valueColumn.values(count, in: columns, below: limit)
    if let empty = texts.firstIndex(where: { $0.size == 0 }), names.contains(UInt32(empty)) {
      throw .corrupt("a property has an empty name")
    }
    try checkSize(texts, names, values)
    return (texts, starts, names, values)
  }

  /// Sets share texts, so a few damaged bytes could stand for gigabytes; no writer lets the sets of
  /// a batch grow beyond a block.
  private static func checkSize(
    _ texts: [TextPlace], _ names: [UInt32], _ values: [UInt32]
  ) throws(FormatError) {
    let largest = texts.reduce(0) { max($0, $1.size) }
    guard 2 * largest * names.count > Limits.blockSizeMax else { return }
    let size = zip(names, values).reduce(0) { sum, pair in
      sum + texts[Int(pair.0)].size + texts[Int(pair.1)].size
    }
    guard size <= Limits.blockSizeMax else {
      throw .corrupt("the property sets of a batch exceed \(Limits.blockSizeMax) bytes")
    }
  }

  @_lifetime(reader: copy reader)
  private static func texts(from reader: inout ByteReader) throws(FormatError) -> [TextPlace] {
    let count = try reader.count(atMost: reader.remaining)
    var texts: [TextPlace] = []
    texts.reserveCapacity(count)
    for _ in 0..<count {
      let size = try reader.count(atMost: Limits.eventSizeMax)
      // The columns are no larger than a block.
      texts.append(TextPlace(try reader.range(size)))
    }
    return texts
  }

  @_lifetime(reader: copy reader)
  private static func starts(
    from reader: inout ByteReader, in columns: RawSpan, count: Int
  ) throws(FormatError) -> [UInt32] {
    let pairCounts = try ColumnView(from: &reader, count: count)
    var (least, most, sum) = (UInt64.max, UInt64.min, UInt64.min)
    let starts = [UInt32](capacity: count + 1) { starts in
      starts.append(0)
      pairCounts.forEach(count, in: columns) { pairs in
        (least, most, sum) = (min(least, pairs), max(most, pairs), sum &+ pairs)
        starts.append(UInt32(truncatingIfNeeded: sum))
      }
    }
    guard least > 0 else { throw .corrupt("an empty property set is stored") }
    // Each name is of one byte at least.
    guard most <= UInt64(Limits.propertyCountMax), sum <= UInt64(Limits.blockSizeMax) else {
      throw .corrupt("property sets of \(sum) pairs, \(most) in one")
    }
    return starts
  }

  /// The numbers of a set's properties among the texts; valid as long as this view.
  @unsafe
  @inline(__always)
  @_lifetime(immortal)
  func unsafeNumbers(of set: Int) -> PropertyNumbers {
    let range = Int(starts[set])..<Int(starts[set + 1])
    // SAFETY: arrays that never change keep their elements where they are, and this view keeps the
    // arrays.
    return unsafe PropertyNumbers(
      names: _overrideLifetime(names.span.extracting(range), copying: ()),
      values: _overrideLifetime(values.span.extracting(range), copying: ()))
  }

  /// The texts where they lie in the columns; valid as long as this view and they are.
  @unsafe
  @inline(__always)
  @_lifetime(copy columns)
  func unsafeTexts(in columns: RawSpan) -> PropertyTexts {
    // SAFETY: as above.
    unsafe PropertyTexts(_overrideLifetime(texts.span, copying: columns), in: columns)
  }

  /// A set by its place; made at its first use.
  func set(_ place: Int, in columns: borrowing ByteBuffer) -> Properties {
    let known = made.withLock { made -> Properties? in
      if made.isEmpty { made = Array(repeating: nil, count: count) }
      return made[place]
    }
    if let known { return known }
    let range = Int(starts[place])..<Int(starts[place + 1])
    let pairs = range.map { (texts[Int(names[$0])], texts[Int(values[$0])]) }
    var flat: [UInt8] = []
    flat.reserveCapacity(pairs.reduce(0) { $0 + 8 + $1.0.size + $1.1.size })
    for text in pairs.flatMap({ [$0.0, $0.1] }) {
      Properties.append(count: text.size, to: &flat)
      // SAFETY: the bytes are copied while the buffer is borrowed.
      unsafe flat.append(contentsOf: columns.unsafeBytes(text.range))
    }
    let fresh = Properties(trusted: flat, count: pairs.count)
    return made.withLock { made in
      if let known = made[place] { return known }
      made[place] = fresh
      return fresh
    }
  }
}
