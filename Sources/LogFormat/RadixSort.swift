/// Sorts integers byte by byte, the lowest first: for keys that differ in few of their bytes, such
/// as numbered device ids, several times as fast as comparing them.
package enum RadixSort {
  /// From this number on the counting pays.
  private static let countMin = 32

  /// Sorts by the bits from `bit` on; those below ascend from value to value as they come.
  package static func sort(_ values: inout [UInt64], fromBit bit: UInt64) {
    guard values.count >= countMin else {
      values.sort()
      return
    }
    var differing: UInt64 = 0
    for value in values { differing |= value ^ values[0] }
    var other = values
    for shift in stride(from: bit, to: 64, by: 8) where differing >> shift & 0xff != 0 {
      pass(from: values, to: &other, shift: shift)
      swap(&values, &other)
    }
  }

  private static func pass(from values: [UInt64], to sorted: inout [UInt64], shift: UInt64) {
    var places = InlineArray<256, UInt32>(repeating: 0)
    for value in values { places[Int(value >> shift & 0xff)] &+= 1 }
    var next: UInt32 = 0
    for byte in 0..<256 {
      let count = places[byte]
      places[byte] = next
      next &+= count
    }
    for value in values {
      let byte = Int(value >> shift & 0xff)
      sorted[Int(places[byte])] = value
      places[byte] &+= 1
    }
  }
}
