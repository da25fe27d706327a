internal import EventModel
internal import Synchronization

/// The property sets of a decoded batch: checked for their bounds when the batch is decoded, made
/// into sets when somebody asks for one.
struct PropertySetsView: ~Copyable, Sendable {
  /// Where the properties of all sets stand in the columns.
  private let places: [PropertyPlace]
  /// Where each set's places begin, and where the last set's end.
  private let starts: [UInt32]
  /// The sets that somebody has asked for; empty before that.
  private let made = Mutex<[Properties?]>([])

  var count: Int { starts.count - 1 }

  @_lifetime(reader: copy reader)
  init(from reader: inout ByteReader, recordCount: Int) throws(FormatError) {
    let setCount = try reader.count(atMost: recordCount)
    guard setCount > 0 else {
      (places, starts) = ([], [0])
      return
    }
    let textCount = try reader.count(atMost: reader.remaining)
    var texts: [Range<UInt32>] = []
    texts.reserveCapacity(textCount)
    for _ in 0..<textCount {
      let size = try reader.count(atMost: Limits.eventSizeMax)
      let range = try reader.range(size)
      // The columns are no larger than a block.
      texts.append(UInt32(range.lowerBound)..<UInt32(range.upperBound))
    }
    var places: [PropertyPlace] = []
    places.reserveCapacity(setCount * 4)
    var starts: [UInt32] = [0]
    starts.reserveCapacity(setCount + 1)
    var size = 0
    for _ in 0..<setCount {
      let pairCount = try reader.count(atMost: Limits.propertyCountMax)
      guard pairCount > 0 else { throw .corrupt("an empty property set is stored") }
      for _ in 0..<pairCount {
        let name = texts[try reader.count(atMost: textCount - 1)]
        let value = texts[try reader.count(atMost: textCount - 1)]
        guard !name.isEmpty else { throw .corrupt("a property has an empty name") }
        size &+= name.count &+ value.count
        places.append(PropertyPlace(name: name, value: value))
      }
      // Sets share texts, so a few damaged bytes could stand for gigabytes; no writer lets the
      // sets of a batch grow beyond a block.
      guard size <= Limits.blockSizeMax else {
        throw .corrupt("the property sets of a batch exceed \(Limits.blockSizeMax) bytes")
      }
      starts.append(UInt32(places.count))
    }
    self.places = places
    self.starts = starts
  }

  /// Where a set's properties stand; valid as long as this view.
  @unsafe
  @inline(__always)
  func unsafePlaces(of set: Int) -> UnsafeBufferPointer<PropertyPlace> {
    let range = Int(starts[set])..<Int(starts[set + 1])
    // SAFETY: an array that never changes keeps its elements where they are, and this view keeps
    // the array.
    return unsafe places.withUnsafeBufferPointer { unsafe UnsafeBufferPointer(rebasing: $0[range]) }
  }

  /// A set by its place; made at its first use.
  func set(_ place: Int, in columns: borrowing ByteBuffer) -> Properties {
    let known = made.withLock { made -> Properties? in
      if made.isEmpty { made = Array(repeating: nil, count: count) }
      return made[place]
    }
    if let known { return known }
    let places = places[Int(starts[place])..<Int(starts[place + 1])]
    var flat: [UInt8] = []
    flat.reserveCapacity(places.reduce(0) { $0 + 8 + $1.name.count + $1.value.count })
    for text in places.flatMap({ [$0.nameRange, $0.valueRange] }) {
      Properties.append(count: text.count, to: &flat)
      // SAFETY: the bytes are copied while the buffer is borrowed.
      unsafe flat.append(contentsOf: columns.unsafeBytes(text))
    }
    let fresh = Properties(trusted: flat, count: places.count)
    return made.withLock { made in
      if let known = made[place] { return known }
      made[place] = fresh
      return fresh
    }
  }
}
