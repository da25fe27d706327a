internal import EventModel

/// The distinct devices of a batch under construction, numbered by first appearance.
///
/// Copies the ids' bytes instead of keeping the ids, so that appending retains nothing.
struct DeviceTable: ~Copyable {
  private var slots: [UInt32]
  private var hashes: [UInt64] = []
  private var ends: [UInt32] = []
  private var bytes = ByteBuffer(capacity: 8 << 10)

  init() { slots = Array(repeating: 0, count: 1_024) }

  var count: Int { hashes.count }

  /// Bytes of all ids.
  var size: Int { bytes.count }

  mutating func removeAll() {
    guard count > 0 else { return }
    for index in slots.indices { slots[index] = 0 }
    hashes.removeAll(keepingCapacity: true)
    ends.removeAll(keepingCapacity: true)
    bytes.removeAll()
  }

  /// The number of the device with this id, given on its first appearance.
  @inline(__always)
  mutating func number(of id: borrowing RawSpan, hash: UInt64) -> UInt32 {
    let mask = slots.count &- 1
    var slot = Int(truncatingIfNeeded: hash) & mask
    while slots[slot] != 0 {
      let number = slots[slot] &- 1
      if hashes[Int(number)] == hash, matches(id, number) { return number }
      slot = (slot &+ 1) & mask
    }
    return insert(id, hash: hash, slot: slot)
  }

  private func matches(_ id: borrowing RawSpan, _ number: UInt32) -> Bool {
    let id = copy id
    return bytes.withBytes(range(of: Int(number))) { $0.hasSameBytes(as: id) }
  }

  @inline(never)
  private mutating func insert(_ id: borrowing RawSpan, hash: UInt64, slot: Int) -> UInt32 {
    let number = UInt32(hashes.count)
    hashes.append(hash)
    bytes.append(id)
    ends.append(UInt32(bytes.count))
    slots[slot] = number + 1
    if hashes.count * 2 > slots.count { grow() }
    return number
  }

  private mutating func grow() {
    slots = Array(repeating: 0, count: slots.count * 2)
    let mask = slots.count - 1
    for (number, hash) in hashes.enumerated() {
      var slot = Int(truncatingIfNeeded: hash) & mask
      while slots[slot] != 0 { slot = (slot + 1) & mask }
      slots[slot] = UInt32(number + 1)
    }
  }

  @inline(__always)
  private func range(of number: Int) -> Range<Int> {
    (number == 0 ? 0 : Int(ends[number &- 1]))..<Int(ends[number])
  }

  /// Appends the ids in the order of their bytes, each without what it shares with the one before
  /// (format-spec §6.1), and returns the place of each number in that order.
  func appendSorted(to buffer: inout ByteBuffer) -> [UInt32] {
    var places = [UInt32](repeating: 0, count: count)
    bytes.withBytes { all in
      var previous = all.extracting(0..<0)
      for (place, number) in sortedNumbers(all).enumerated() {
        let id = all.extracting(range(of: number))
        Self.appendFrontCoded(id, after: previous, to: &buffer)
        previous = id
        places[number] = UInt32(place)
      }
    }
    return places
  }

  @inline(__always)
  private static func appendFrontCoded(
    _ id: RawSpan, after previous: RawSpan, to buffer: inout ByteBuffer
  ) {
    // At least one byte is always written.
    let shared = min(id.sharedPrefix(with: previous), id.byteCount - 1)
    let rest = id.byteCount - shared
    if shared < 16, rest < 16 {
      buffer.append(UInt8(shared << 4 | rest))
    } else {
      buffer.append(UInt8(0))
      buffer.append(UInt8(shared))
      buffer.append(UInt8(rest))
    }
    buffer.append(id.extracting(shared..<id.byteCount))
  }

  /// Sorts by the six bytes behind the prefix that all ids share, held in one integer with the
  /// number; the rare ties are settled by whole ids.
  private func sortedNumbers(_ all: RawSpan) -> [Int] {
    guard count > 0 else { return [] }
    let first = all.extracting(range(of: 0))
    var prefix = first.byteCount
    for number in 1..<max(count, 1) {
      let id = all.extracting(range(of: number))
      prefix = first.extracting(0..<prefix).sharedPrefix(with: id)
    }
    var keys = (0..<count).map { number in
      Self.leadingBytes(of: range(of: number), behind: prefix, in: all) << 16 | UInt64(number)
    }
    RadixSort.sort(&keys, fromBit: 16)
    var order = keys.map { Int($0 & 0xffff) }
    settleTies(&order, keys)
    return order
  }

  /// Up to six bytes of an id behind its first `prefix`, the first of them the highest.
  @inline(__always)
  private static func leadingBytes(
    of id: Range<Int>, behind prefix: Int, in all: RawSpan
  ) -> UInt64 {
    let start = id.lowerBound + prefix
    let size = min(id.upperBound - start, 6)
    guard start + 8 <= all.byteCount else {
      var key: UInt64 = 0
      for index in 0..<6 {
        // SAFETY: the position is checked to lie inside the id, which lies inside the bytes.
        let byte =
          index < size
          ? unsafe all.unsafeLoad(fromUncheckedByteOffset: start + index, as: UInt8.self) : 0
        key = key << 8 | UInt64(byte)
      }
      return key
    }
    // SAFETY: the guard has shown that eight bytes are there.
    let word = unsafe all.unsafeLoadUnaligned(fromUncheckedByteOffset: start, as: UInt64.self)
    // The bytes behind the id's own are another's.
    return (word.bigEndian >> 16) & (UInt64.max << UInt64(48 - size * 8))
  }

  private func settleTies(_ order: inout [Int], _ keys: [UInt64]) {
    var start = 0
    while start < keys.count {
      var end = start + 1
      while end < keys.count, keys[end] >> 16 == keys[start] >> 16 { end += 1 }
      if end - start > 1 {
        order[start..<end].sort {
          bytes.array(range(of: $0)).lexicographicallyPrecedes(bytes.array(range(of: $1)))
        }
      }
      start = end
    }
  }
}
