import Glibc

/// Values that are each made once and recognised by the bytes they were made from: a producer that
/// keeps its ids and property sets hands the store the same ones again.
struct InternTable<Value>: ~Copyable {
  /// Not copyable, so that its value is lent to the store without a retain.
  private struct Entry: ~Copyable {
    let value: Value

    @inline(__always)
    borrowing func lend<Result>(_ body: (borrowing Value) throws -> Result) rethrows -> Result {
      try body(value)
    }
  }

  /// The upper half of a hash and the value's place plus one.
  ///
  /// 0 is free; never more than half of them are taken.
  private var slots = [UInt64](repeating: 0, count: 1 << 10)
  private var keys: [UInt8] = []
  private var ends: [Int] = []
  private var values: UnsafeMutablePointer<Entry>
  private var capacity = 1 << 9

  init() { values = .allocate(capacity: capacity) }

  deinit {
    values.deinitialize(count: ends.count)
    values.deallocate()
  }

  /// A copy of a value, by its place.
  subscript(place: Int) -> Value { values[place].value }

  /// Lends a value, by its place.
  @inline(__always)
  func lend<Result>(
    _ place: Int, _ body: (borrowing Value) throws -> Result
  ) rethrows -> Result {
    try values[place].lend(body)
  }

  /// The place of the value that these bytes stand for; `make` is asked for a new one.
  @inline(__always)
  mutating func place(
    of bytes: UnsafeRawBufferPointer, make: (UnsafeRawBufferPointer) throws -> Value
  ) rethrows -> Int {
    let tag = Self.hash(bytes) & 0xffff_ffff_0000_0000
    var slot = Int(tag >> 32) & (slots.count - 1)
    while slots[slot] != 0 {
      let place = Int(slots[slot] & 0xffff_ffff) - 1
      if slots[slot] & 0xffff_ffff_0000_0000 == tag, holds(bytes, at: place) { return place }
      slot = (slot + 1) & (slots.count - 1)
    }
    return insert(try make(bytes), key: bytes, tag: tag, slot: slot)
  }

  @inline(__always)
  private func holds(_ bytes: UnsafeRawBufferPointer, at place: Int) -> Bool {
    let start = place == 0 ? 0 : ends[place - 1]
    guard ends[place] - start == bytes.count else { return false }
    return keys.withUnsafeBytes { keys in
      guard let key = keys.baseAddress, let base = bytes.baseAddress else { return false }
      return Self.areEqual(key + start, base, count: bytes.count)
    }
  }

  /// Compares eight bytes a step, as ``hash(_:)`` reads them: without a call for a few dozen.
  @inline(__always)
  private static func areEqual(
    _ left: UnsafeRawPointer, _ right: UnsafeRawPointer, count: Int
  ) -> Bool {
    guard count >= 8 else { return memcmp(left, right, count) == 0 }
    func differ(at place: Int) -> Bool {
      left.loadUnaligned(fromByteOffset: place, as: UInt64.self)
        != right.loadUnaligned(fromByteOffset: place, as: UInt64.self)
    }
    var place = 0
    while place < count - 8 {
      if differ(at: place) { return false }
      place += 8
    }
    return !differ(at: count - 8)
  }

  @inline(never)
  private mutating func insert(
    _ value: Value, key: UnsafeRawBufferPointer, tag: UInt64, slot: Int
  ) -> Int {
    let place = ends.count
    if place == capacity { grow() }
    (values + place).initialize(to: Entry(value: value))
    keys.append(contentsOf: key)
    ends.append(keys.count)
    put(tag | UInt64(place + 1))
    return place
  }

  private mutating func put(_ entry: UInt64) {
    var slot = Int(entry >> 32) & (slots.count - 1)
    while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
    slots[slot] = entry
  }

  private mutating func grow() {
    let wider = UnsafeMutablePointer<Entry>.allocate(capacity: capacity * 2)
    wider.moveInitialize(from: values, count: capacity)
    values.deallocate()
    values = wider
    capacity *= 2
    let entries = slots.filter { $0 != 0 }
    slots = Array(repeating: 0, count: slots.count * 2)
    for entry in entries { put(entry) }
  }

  /// Mixes eight bytes a step; the last eight overlap those before them.
  @inline(__always)
  private static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var state = UInt64(bytes.count)
    guard bytes.count >= 8 else {
      for byte in bytes { state = mixed(state, UInt64(byte)) }
      return state
    }
    var position = 0
    while position < bytes.count - 8 {
      state = mixed(state, bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))
      position += 8
    }
    return mixed(state, bytes.loadUnaligned(fromByteOffset: bytes.count - 8, as: UInt64.self))
  }

  @inline(__always)
  private static func mixed(_ state: UInt64, _ word: UInt64) -> UInt64 {
    let product = (state ^ word).multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
    return product.high ^ product.low
  }
}
