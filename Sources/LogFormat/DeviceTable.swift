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

  /// The number of a device, given on its first appearance.
  @inline(__always)
  mutating func number(of device: borrowing DeviceID) -> UInt32 {
    let hash = device.hash
    let mask = slots.count &- 1
    var slot = Int(truncatingIfNeeded: hash) & mask
    while slots[slot] != 0 {
      let number = slots[slot] &- 1
      if hashes[Int(number)] == hash, matches(device, number) { return number }
      slot = (slot &+ 1) & mask
    }
    return insert(device, hash: hash, slot: slot)
  }

  private func matches(_ device: borrowing DeviceID, _ number: UInt32) -> Bool {
    bytes.withBytes(range(of: Int(number))) { device.hasBytes($0) }
  }

  @inline(never)
  private mutating func insert(_ device: borrowing DeviceID, hash: UInt64, slot: Int) -> UInt32 {
    let number = UInt32(hashes.count)
    hashes.append(hash)
    // SAFETY: the id's bytes are valid for the closure and copied.
    unsafe device.withUTF8 { unsafe bytes.append(RawSpan(_unsafeBytes: $0)) }
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

  private func range(of number: Int) -> Range<Int> {
    (number == 0 ? 0 : Int(ends[number - 1]))..<Int(ends[number])
  }

  /// Appends the ids in the order of their bytes, each without what it shares with the one before
  /// (format-spec §6.1), and returns the place of each number in that order.
  func appendSorted(to buffer: inout ByteBuffer) -> [UInt32] {
    let order = sortedNumbers()
    var places = [UInt32](repeating: 0, count: order.count)
    var previous = 0..<0
    for (place, number) in order.enumerated() {
      let range = range(of: number)
      appendFrontCoded(range, after: previous, to: &buffer)
      previous = range
      places[number] = UInt32(place)
    }
    return places
  }

  private func appendFrontCoded(
    _ range: Range<Int>, after previous: Range<Int>, to buffer: inout ByteBuffer
  ) {
    bytes.withBytes { all in
      var shared = 0
      while shared < previous.count, shared < range.count - 1,
        byte(all, previous.lowerBound + shared) == byte(all, range.lowerBound + shared)
      {
        shared += 1
      }
      let rest = range.count - shared
      if shared < 16, rest < 16 {
        buffer.append(UInt8(shared << 4 | rest))
      } else {
        buffer.append(UInt8(0))
        buffer.append(UInt8(shared))
        buffer.append(UInt8(rest))
      }
      buffer.append(all.extracting(range.lowerBound + shared..<range.upperBound))
    }
  }

  private func byte(_ bytes: RawSpan, _ index: Int) -> UInt8 {
    // SAFETY: callers pass positions inside ranges of ids, all of which lie inside the buffer.
    unsafe bytes.unsafeLoad(fromUncheckedByteOffset: index, as: UInt8.self)
  }

  /// Sorts by the six bytes behind the prefix that all ids share, held in one integer with the
  /// number; the rare ties are settled by whole ids.
  private func sortedNumbers() -> [Int] {
    guard count > 0 else { return [] }
    return bytes.withBytes { all in
      let first = range(of: 0)
      var prefix = first.count
      for number in 1..<max(count, 1) {
        let range = range(of: number)
        var shared = 0
        while shared < min(prefix, range.count),
          byte(all, first.lowerBound + shared) == byte(all, range.lowerBound + shared)
        {
          shared += 1
        }
        prefix = shared
      }
      var keys = (0..<count).map { number -> UInt64 in
        let range = range(of: number)
        var key: UInt64 = 0
        for index in 0..<6 {
          let position = range.lowerBound + prefix + index
          key = key << 8 | (position < range.upperBound ? UInt64(byte(all, position)) : 0)
        }
        return key << 16 | UInt64(number)
      }
      keys.sort()
      var order = keys.map { Int($0 & 0xffff) }
      settleTies(&order, keys)
      return order
    }
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
