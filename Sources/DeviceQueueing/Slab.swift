/// The place of nothing in a ``Slab``.
let noPlace = UInt32.max

/// Elements at places that stay theirs, in pieces of a fixed size: growing copies nothing, and a
/// million elements take little more than their own size.
///
/// Memory of its own and not arrays of arrays, whose references would be counted at every look.
// SAFETY, for every use below: the pieces are owned by the value alone and freed with it; places
// below `end` lie in a piece and are initialised, and every access is checked to be to one of them.
@safe
struct Slab<Element: Sendable>: ~Copyable, @unchecked Sendable {
  private static var pieceSize: Int { 256 }

  private var pieces: [UnsafeMutablePointer<Element>] = unsafe []
  private var free: [UInt32] = []
  /// Places below have been given out at some time and hold an element.
  private var end = 0
  private(set) var count = 0

  deinit {
    for place in 0..<end { unsafe pointer(to: UInt32(place)).deinitialize(count: 1) }
    for index in unsafe pieces.indices { unsafe pieces[index].deallocate() }
  }

  /// The places that are taken, and others that have been.
  var places: Range<UInt32> { 0..<UInt32(end) }

  /// Puts an element in a place that is free.
  mutating func insert(_ element: Element) -> UInt32 {
    count += 1
    if let place = free.popLast() {
      self[place] = element
      return place
    }
    let capacity = unsafe pieces.count * Self.pieceSize
    if end == capacity { unsafe pieces.append(.allocate(capacity: Self.pieceSize)) }
    let place = UInt32(end)
    end += 1
    unsafe pointer(to: place).initialize(to: element)
    return place
  }

  /// Gives a place back.
  mutating func remove(_ place: UInt32) {
    count -= 1
    guard count == 0 else {
      free.append(place)
      return
    }
    // An idle store holds next to no memory, and a queue that is filled and emptied again and again
    // does not ask for it each time.
    for place in 0..<end { unsafe pointer(to: UInt32(place)).deinitialize(count: 1) }
    free.removeAll(keepingCapacity: end <= Self.pieceSize)
    end = 0
    for index in unsafe pieces.indices.dropFirst() { unsafe pieces[index].deallocate() }
    unsafe pieces.removeLast(max(0, pieces.count - 1))
  }

  subscript(place: UInt32) -> Element {
    get { unsafe pointer(to: place).pointee }
    _modify { yield unsafe &pointer(to: place).pointee }
  }

  @inline(__always)
  private func pointer(to place: UInt32) -> UnsafeMutablePointer<Element> {
    precondition(Int(place) < end, "place \(place) of \(end)")
    return unsafe pieces[Int(place) / Self.pieceSize] + Int(place) % Self.pieceSize
  }
}
