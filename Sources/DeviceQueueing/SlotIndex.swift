/// From the hash of a device to its slot: an open table of four bytes a place, of which at most
/// three quarters are taken.
struct SlotIndex: ~Copyable, Sendable {
  private var places: [UInt32] = []
  /// A part of each place's hash, so that most others are passed over without a look at their slot,
  /// and the table grows without one.
  private var hashes: [UInt32] = []
  private var count = 0

  func find(hash: UInt64, _ isEqual: (UInt32) -> Bool) -> UInt32? {
    guard count > 0 else { return nil }
    let part = UInt32(truncatingIfNeeded: hash)
    var position = Int(part) & (places.count - 1)
    while places[position] != .max {
      if hashes[position] == part, isEqual(places[position]) { return places[position] }
      position = (position + 1) & (places.count - 1)
    }
    return nil
  }

  mutating func insert(_ slot: UInt32, hash: UInt64) {
    if (count + 1) * 4 > places.count * 3 { grow() }
    put(slot, UInt32(truncatingIfNeeded: hash))
    count += 1
  }

  private mutating func put(_ slot: UInt32, _ part: UInt32) {
    var position = Int(part) & (places.count - 1)
    while places[position] != .max { position = (position + 1) & (places.count - 1) }
    places[position] = slot
    hashes[position] = part
  }

  private mutating func grow() {
    let (oldPlaces, oldHashes) = (places, hashes)
    let size = max(16, places.count * 2)
    places = [UInt32](repeating: .max, count: size)
    hashes = [UInt32](repeating: 0, count: size)
    for (slot, part) in zip(oldPlaces, oldHashes) where slot != .max { put(slot, part) }
  }

  mutating func remove(_ slot: UInt32, hash: UInt64) {
    var hole = Int(UInt32(truncatingIfNeeded: hash)) & (places.count - 1)
    while places[hole] != slot {
      precondition(places[hole] != .max, "a slot is not in the index")
      hole = (hole + 1) & (places.count - 1)
    }
    count -= 1
    guard count > 0 else {
      // An idle store holds no memory.
      places = []
      hashes = []
      return
    }
    // Knuth, The Art of Computer Programming, volume 3, 6.4, algorithm R: those that were pushed
    // on by what is gone move up.
    let mask = places.count - 1
    var position = hole
    while true {
      position = (position + 1) & mask
      guard places[position] != .max else { break }
      let home = Int(hashes[position]) & mask
      if (position - home) & mask >= (position - hole) & mask {
        places[hole] = places[position]
        hashes[hole] = hashes[position]
        hole = position
      }
    }
    places[hole] = .max
  }

  func forEach(_ body: (UInt32) -> Void) {
    for place in places where place != .max { body(place) }
  }
}
