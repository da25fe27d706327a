import EventModel
import LogFormat
import Testing

@Suite struct ChecksumTests {
  @Test func `CRC32C agrees with its published check values`() {
    #expect(crc32c(Array("123456789".utf8)) == 0xe306_9283)
    #expect(crc32c([UInt8](repeating: 0, count: 32)) == 0x8a91_36aa)
    #expect(crc32c([UInt8](repeating: 0xff, count: 32)) == 0x62a8_ab43)
    #expect(crc32c((0..<32).map { UInt8($0) }) == 0x46dd_794e)
  }

  @Test func `a checksum goes on where the one before it ended`() {
    var random = SeededRandom(1)
    let bytes = random.bytes(333)
    for split in 0...bytes.count {
      let head = crc32c(Array(bytes[..<split]))
      #expect(
        crc32c(Array(bytes[split...]), seed: head)
          == crc32c(bytes))
    }
  }

  @Test func `the content checksum tells apart where parts end`() {
    func sum(_ parts: [[UInt8]]) -> UInt32 {
      var checksum = ContentChecksum()
      for part in parts { checksum.add(part.span.bytes) }
      return checksum.value
    }
    #expect(sum([[]]) == 0x38d3_94c2)
    #expect(sum([[1, 2], [3]]) != sum([[1], [2, 3]]))
    #expect(sum([[], [1]]) != sum([[1], []]))
  }

  @Test func `a store id is shown with 32 digits`() {
    #expect(StoreID(high: 0x1f, low: 2).description == "000000000000001f0000000000000002")
  }
}

@Suite struct BitHealingTests {
  @Test func `every flipped bit of a section of 4 KiB is found from its checksums`() {
    var random = SeededRandom(2)
    let bytes = random.bytes(4_096)
    let seed = Fixed.segmentHeader.identity.seed(at: FilePosition(128))
    let expected = crc32c(bytes, seed: seed)
    // A flip changes the checksum of a section by the same amount as that of zeros.
    let blank = [UInt8](repeating: 0, count: bytes.count)
    let zero = crc32c(blank)
    for bit in stride(from: 0, to: bytes.count * 8, by: 61) {
      let found = crc32c(bytes.flippingBit(bit), seed: seed)
      #expect(
        found ^ expected == crc32c(blank.flippingBit(bit)) ^ zero)
      let healed = BitHealing.flippedBit(
        found: found, expected: expected, byteCount: bytes.count)
      #expect(healed?.byte == bit / 8 && healed?.bit == UInt8(bit % 8), "bit \(bit)")
    }
    // The search compares effects from the last bit back, so that it finds every bit if no two
    // effects are equal; the ones at the ends and every 17th are looked up as well.
    let effects = Self.effects(byteCount: bytes.count)
    #expect(Set(effects).count == effects.count)
    for (bit, effect) in effects.enumerated()
    where bit < 128 || bit % 17 == 0 || bit >= effects.count - 128 {
      let healed = BitHealing.flippedBit(
        found: expected ^ effect, expected: expected, byteCount: bytes.count)
      #expect(healed?.byte == bit / 8 && healed?.bit == UInt8(bit % 8), "bit \(bit)")
    }
  }

  /// What each bit's flip does to the checksum, from the last bit back: dividing by x once more for
  /// each step.
  private static func effects(byteCount: Int) -> [UInt32] {
    var effects: [UInt32] = []
    var effect: UInt32 = 0x82f6_3b78
    for _ in 0..<byteCount * 8 {
      effects.append(effect)
      effect = effect >> 1 ^ (effect & 1 == 1 ? 0x82f6_3b78 : 0)
    }
    // Within a byte the reflected CRC takes the lowest bit first.
    return effects.reversed()
  }

  @Test func `two flipped bits are not taken for one`() {
    var random = SeededRandom(3)
    let bytes = random.bytes(512)
    let expected = crc32c(bytes)
    for _ in 0..<500 {
      let first = Int.random(in: 0..<4_096, using: &random)
      let second = Int.random(in: 0..<4_096, using: &random)
      guard first != second else { continue }
      let found = crc32c(bytes.flippingBit(first).flippingBit(second))
      let healed = BitHealing.flippedBit(found: found, expected: expected, byteCount: 512)
      #expect(healed == nil, "bits \(first) and \(second)")
    }
  }

  @Test func `sections that agree need no healing`() {
    #expect(BitHealing.flippedBit(found: 5, expected: 5, byteCount: 100) == nil)
    #expect(BitHealing.flippedBit(found: 5, expected: 6, byteCount: 0) == nil)
  }
}
