/// The locks that receivers hold, by the sequence number of their message.
///
/// Not a dictionary: every delivery looks here several times, and numbers need no hash that
/// withstands an adversary, since no device chooses them.
struct LockTable: ~Copyable, Sendable {
  struct Lock {
    let sequence: UInt64
    /// Where its message stands.
    let place: UInt32
    let nonce: UInt64
    /// By the steady clock.
    var deadline: Int64
  }

  private var locks = Slab<Lock>()
  private var index = SlotIndex()

  var count: Int { locks.count }

  subscript(sequence: UInt64) -> Lock? {
    find(sequence).map { locks[$0] }
  }

  /// Adds a lock of a message that has none.
  mutating func insert(_ lock: Lock) {
    index.insert(locks.insert(lock), hash: Self.hash(lock.sequence))
  }

  mutating func remove(_ sequence: UInt64) {
    guard let place = find(sequence) else { return }
    index.remove(place, hash: Self.hash(sequence))
    locks.remove(place)
  }

  mutating func setDeadline(_ deadline: Int64, of sequence: UInt64) {
    if let place = find(sequence) { locks[place].deadline = deadline }
  }

  /// The numbers of all messages that are locked, in no order.
  var sequences: [UInt64] {
    var sequences: [UInt64] = []
    sequences.reserveCapacity(count)
    index.forEach { sequences.append(locks[$0].sequence) }
    return sequences
  }

  private func find(_ sequence: UInt64) -> UInt32? {
    index.find(hash: Self.hash(sequence)) { locks[$0].sequence == sequence }
  }

  /// Spreads neighbours over the index (Knuth, The Art of Computer Programming, volume 3, 6.4:
  /// multiplicative hashing).
  private static func hash(_ sequence: UInt64) -> UInt64 {
    (sequence &* 0x9E37_79B9_7F4A_7C15) >> 32
  }
}
