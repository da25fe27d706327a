import CSystemShims
import Testing

struct ChecksumTests {
  private static func checksum(
    _ function: (UInt32, UnsafeRawPointer?, Int) -> UInt32, _ bytes: [UInt8], seed: UInt32 = 0
  ) -> UInt32 {
    bytes.withUnsafeBytes { function(seed, $0.baseAddress, $0.count) }
  }

  @Test
  func `Known vectors give their known checksums`() {
    let vectors: [([UInt8], UInt32)] = [
      ([], 0),
      (Array("123456789".utf8), 0xE306_9283),
      ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
      ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
      (Array(0..<32), 0x46DD_794E),
      (Array((0..<32).reversed()), 0x113F_DB5C),
    ]
    for (bytes, expected) in vectors {
      #expect(Self.checksum(millrace_crc32c, bytes) == expected)
      #expect(Self.checksum(millrace_crc32c_portable, bytes) == expected)
    }
  }

  @Test(.enabled(if: millrace_crc32c_has_hardware()))
  func `The processor and the tables agree on every length, alignment and seed`() {
    let seed = UInt64.random(in: .min ... .max)
    var random = TestRandom(state: seed)
    let bytes = (0..<80_000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    bytes.withUnsafeBytes { bytes in
      func check(start: Int, count: Int, crc: UInt32) -> Bool {
        let base = bytes.baseAddress! + start
        let expected = millrace_crc32c_portable(crc, base, count)
        return millrace_crc32c_hardware(crc, base, count) == expected
          && millrace_crc32c(crc, base, count) == expected
      }
      let short = (0...5000).allSatisfy { count in
        check(start: count % 16, count: count, crc: UInt32(truncatingIfNeeded: random.next()))
      }
      #expect(short, "seed \(seed)")
      let any = (0..<500).allSatisfy { _ in
        let start = Int(random.next() % 64)
        let count = Int(random.next() % 79_000)
        return check(start: start, count: count, crc: UInt32(truncatingIfNeeded: random.next()))
      }
      #expect(any, "seed \(seed)")
    }
  }

  @Test
  func `A checksum continues from the one before it`() {
    let seed = UInt64.random(in: .min ... .max)
    var random = TestRandom(state: seed)
    let bytes = (0..<30_000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    let whole = Self.checksum(millrace_crc32c, bytes)
    for _ in 0..<50 {
      let cut = Int(random.next() % 30_001)
      let first = Self.checksum(millrace_crc32c, Array(bytes[..<cut]))
      let both = Self.checksum(millrace_crc32c, Array(bytes[cut...]), seed: first)
      #expect(both == whole, "seed \(seed), cut \(cut)")
    }
  }
}

/// SplitMix64: a generator of the tests' own, so that they do not depend on the kit they test.
struct TestRandom: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }
}
