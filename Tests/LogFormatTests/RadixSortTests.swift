import LogFormat
import Testing

@Suite struct RadixSortTests {
  @Test(arguments: [0, 1, 31, 32, 33, 500, 65_536])
  func `keys with their numbers come in the order of both`(count: Int) {
    for differing: UInt64 in [0, 0xff, 0xff00_00ff, 0xffff_ffff_ffff] {
      var random = SeededRandom(UInt64(count) &+ differing)
      var values = (0..<count).map { number in
        (UInt64.random(in: 0...UInt64.max, using: &random) & differing) << 16 | UInt64(number)
      }
      let expected = values.sorted()
      RadixSort.sort(&values, fromBit: 16)
      #expect(values == expected)
    }
  }
}
