/// From the hash of something to its place in a slab, such as from that of a device to its slot: an
/// open table of eight bytes a place, of which at most three quarters are taken.
struct SlotIndex: ~Copyable, Sendable {
  private struct Entry {
    var slot = noPlace
    /// A part of the hash, so that most others are passed over without a look at their slot, and
    /// the table grows without one.
    var part: UInt32 = 0
  }

  /// Places that an idle store keeps, 8 KiB.
  private static var idleSizeMax: Int { 1_024 }

  private var entries: [Entry] = []
  private var count = 0

  @inline(__always)
  func find(hash: UInt64, _ isEqual: (UInt32) -> Bool) -> UInt32? {
    guard count > 0 else { return nil }
    let part = UInt32(truncatingIfNeeded: hash)
    var position = Int(part) & (entries.count - 1)
    while true {
      let entry = entries[position]
      if entry.slot == noPlace { return nil }
      if entry.part == part, isEqual(entry.slot) { return entry.slot }
      position = (position + 1) & (entries.count - 1)
    }
  }

  mutating func insert(_ slot: UInt32, hash: UInt64) {
    if (count + 1) * 4 > entries.count * 3 { grow() }
    put(Entry(slot: slot, part: UInt32(truncatingIfNeeded: hash)))
    count += 1
  }

  private mutating func put(_ entry: Entry) {
    var position = Int(entry.part) & (entries.count - 1)
    while entries[position].slot != noPlace { position = (position + 1) & (entries.count - 1) }
    entries[position] = entry
  }

  private mutating func grow() {
    let old = entries
    entries = [Entry](repeating: Entry(), count: max(16, old.count * 2))
    for entry in old where entry.slot != noPlace { put(entry) }
  }

  mutating func remove(_ slot: UInt32, hash: UInt64) {
    var hole = Int(UInt32(truncatingIfNeeded: hash)) & (entries.count - 1)
    while entries[hole].slot != slot {
      precondition(entries[hole].slot != noPlace, "a slot is not in the index")
      hole = (hole + 1) & (entries.count - 1)
    }
    count -= 1
    if count == 0, entries.count > Self.idleSizeMax {
      entries = []
      return
    }
    // Knuth, The Art of Computer Programming, volume 3, 6.4, algorithm R: those that were pushed
    // on by what is gone move up.
    let mask = entries.count - 1
    var position = hole
    while true {
      position = (position + 1) & mask
      guard entries[position].slot != noPlace else { break }
      let home = Int(entries[position].part) & mask
      if (position - home) & mask >= (position - hole) & mask {
        entries[hole] = entries[position]
        hole = position
      }
    }
    entries[hole] = Entry()
  }

  func forEach(_ body: (UInt32) -> Void) {
    for entry in entries where entry.slot != noPlace { body(entry.slot) }
  }
}
