/// A generator of random numbers that a seed determines (xoshiro256**, seeded by SplitMix64).
///
/// Every random choice of a simulation comes from one of these, so that its seed replays the run.
package struct SeededRandom: RandomNumberGenerator, Sendable {
  package let seed: UInt64
  private var a: UInt64
  private var b: UInt64
  private var c: UInt64
  private var d: UInt64

  package init(seed: UInt64) {
    self.seed = seed
    var state = seed
    func split() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var value = state
      value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
      value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
      return value ^ value >> 31
    }
    (a, b, c, d) = (split(), split(), split(), split())
  }

  package mutating func next() -> UInt64 {
    func rotate(_ value: UInt64, _ count: UInt64) -> UInt64 {
      value << count | value >> (64 - count)
    }
    let result = rotate(b &* 5, 7) &* 9
    let shifted = b << 17
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = rotate(d, 45)
    return result
  }

  /// A number from 0 up to, and without, `bound`.
  package mutating func below(_ bound: Int) -> Int {
    precondition(bound > 0, "no number lies below \(bound)")
    return Int(next(upperBound: UInt64(bound)))
  }

  /// True `percent` times in a hundred.
  package mutating func chance(percent: Int) -> Bool { below(100) < percent }

  package mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
  }
}
