/// The place of nothing in a ``Slab``.
let noPlace = UInt32.max

/// Elements at places that stay theirs, in pieces of a fixed size: growing copies nothing, and a
/// million elements take little more than their own size.
struct Slab<Element: Sendable>: ~Copyable, Sendable {
  private static var pieceSize: Int { 4_096 }

  private var pieces: [[Element]] = []
  private var free: [UInt32] = []
  private(set) var count = 0

  /// The places that have ever been taken.
  var places: Range<UInt32> {
    0..<UInt32(max(0, pieces.count - 1) * Self.pieceSize + (pieces.last?.count ?? 0))
  }

  /// Puts an element in a place that is free.
  mutating func insert(_ element: Element) -> UInt32 {
    count += 1
    if let place = free.popLast() {
      self[place] = element
      return place
    }
    if pieces.last?.count ?? Self.pieceSize == Self.pieceSize {
      var piece: [Element] = []
      piece.reserveCapacity(Self.pieceSize)
      pieces.append(piece)
    }
    pieces[pieces.count - 1].append(element)
    return UInt32((pieces.count - 1) * Self.pieceSize + pieces[pieces.count - 1].count - 1)
  }

  /// Gives a place back.
  mutating func remove(_ place: UInt32) {
    count -= 1
    guard count > 0 else {
      // An idle store holds no memory.
      pieces = []
      free = []
      return
    }
    free.append(place)
  }

  subscript(place: UInt32) -> Element {
    get { pieces[Int(place) / Self.pieceSize][Int(place) % Self.pieceSize] }
    _modify { yield &pieces[Int(place) / Self.pieceSize][Int(place) % Self.pieceSize] }
  }
}
