import BlockCompression
import EventModel
import Testing

/// SplitMix64: the same numbers for the same seed on every machine.
private struct SeededRandom: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }

  mutating func noise(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
  }

  /// Text that repeats itself as telemetry does.
  mutating func telemetry(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      bytes += Array("{\"temperature\":\(UInt8(truncatingIfNeeded: next())),\"unit\":\"C\"}".utf8)
    }
    return Array(bytes[..<count])
  }
}

@Suite struct BlockCompressionTests {
  private func compress(
    _ block: [UInt8], _ compressor: BlockCompressor, of kind: BlockKind = .bodies
  ) -> [UInt8]? {
    var room = [UInt8](repeating: 0, count: compressor.bound(block.count))
    let source = block.span
    var target = room.mutableSpan
    var bytes = target.mutableBytes
    guard let count = compressor.compress(source.bytes, of: kind, into: &bytes) else { return nil }
    return Array(room[..<count])
  }

  private func decompress(
    _ stored: [UInt8], _ codec: CompressionCodec, size: Int,
    of contentSize: Int? = nil, _ decompressor: BlockDecompressor = BlockDecompressor()
  ) throws(CompressionFailure) -> [UInt8] {
    var room = [UInt8](repeating: 0xee, count: size)
    let source = stored.span
    var target = room.mutableSpan
    var bytes = target.mutableBytes
    try decompressor.decompress(source.bytes, codec: codec, into: &bytes, of: contentSize)
    return room
  }

  @Test(arguments: [CompressionCodec.lz4, .zstd], [BlockKind.columns, .bodies])
  func `blocks of every size come back`(codec: CompressionCodec, kind: BlockKind) throws {
    let seed: UInt64 = 21
    var random = SeededRandom(state: seed)
    let compressor = try BlockCompressor(codec)
    let decompressor = BlockDecompressor()
    for size in [100, 1_000, 65_535, 65_536, 65_537, 1 << 20, 8 << 20] {
      let block = random.telemetry(size)
      let stored = try #require(
        compress(block, compressor, of: kind), "seed \(seed), \(size) bytes")
      #expect(stored.count < block.count)
      #expect(try decompress(stored, codec, size: size, of: nil, decompressor) == block)
    }
  }

  @Test(arguments: CompressionCodec.allCases)
  func `what does not get smaller is to be stored as it is`(codec: CompressionCodec) throws {
    var random = SeededRandom(state: 22)
    let compressor = try BlockCompressor(codec)
    for size in [0, 1, 2, 10, 4_096, 70_000] {
      let block = random.noise(size)
      #expect(compress(block, compressor) == nil, "\(size) bytes")
      #expect(try decompress(block, codec, size: size) == block)
    }
  }

  @Test func `without a codec nothing is compressed`() throws {
    let compressor = try BlockCompressor(.none)
    #expect(compress([UInt8](repeating: 0, count: 5_000), compressor) == nil)
    #expect(throws: CompressionFailure.corrupt(.none)) {
      try decompress([1, 2, 3], .none, size: 4)
    }
  }

  @Test(arguments: [CompressionCodec.lz4, .zstd])
  func `a block of another size than stated is an error`(codec: CompressionCodec) throws {
    var random = SeededRandom(state: 23)
    let block = random.telemetry(5_000)
    let stored = try #require(compress(block, try BlockCompressor(codec)))
    for size in [0, 1, 4_999, 5_001, 50_000] {
      #expect(throws: CompressionFailure.corrupt(codec), "\(size) bytes") {
        try decompress(stored, codec, size: size)
      }
    }
  }

  @Test(arguments: [CompressionCodec.lz4, .zstd])
  func `every cut of a block is an error`(codec: CompressionCodec) throws {
    var random = SeededRandom(state: 24)
    let block = random.telemetry(2_000)
    let stored = try #require(compress(block, try BlockCompressor(codec)))
    for count in 0..<stored.count {
      #expect(throws: CompressionFailure.corrupt(codec), "\(count) bytes") {
        try decompress(Array(stored[..<count]), codec, size: block.count)
      }
    }
  }

  @Test func `every beginning of a block comes back`() throws {
    var random = SeededRandom(state: 26)
    let block = random.telemetry(2_000)
    let stored = try #require(compress(block, try BlockCompressor(.lz4)))
    for size in 0...block.count {
      for (stored, codec) in [(stored, CompressionCodec.lz4), (block, .lz4), (block, .none)] {
        let beginning = try decompress(stored, codec, size: size, of: block.count)
        #expect(beginning == Array(block[..<size]))
      }
    }
    #expect(throws: CompressionFailure.corrupt(.lz4)) {
      try decompress(Array(stored.prefix(20)), .lz4, size: 1_000, of: block.count)
    }
  }

  @Test(arguments: [CompressionCodec.lz4, .zstd])
  func `damaged blocks give errors or blocks of the stated size`(codec: CompressionCodec) throws {
    let seed: UInt64 = 25
    var random = SeededRandom(state: seed)
    let block = random.telemetry(3_000)
    let stored = try #require(compress(block, try BlockCompressor(codec)))
    let decompressor = BlockDecompressor()
    for round in 0..<3_000 {
      var damaged = stored
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        damaged[Int.random(in: 0..<damaged.count, using: &random)] = UInt8.random(
          in: 0...255, using: &random)
      }
      do {
        let bytes = try decompress(damaged, codec, size: block.count, of: nil, decompressor)
        #expect(bytes.count == block.count)
      } catch {
        #expect(error == .corrupt(codec), "seed \(seed), round \(round)")
      }
    }
    // A decompressor that met damage is as good as new.
    #expect(try decompress(stored, codec, size: block.count, of: nil, decompressor) == block)
  }

  @Test func `a compressor can be used again and again`() throws {
    for codec in CompressionCodec.allCases where codec != .none {
      let compressor = try BlockCompressor(codec)
      let block = [UInt8](repeating: 7, count: 10_000)
      let first = compress(block, compressor)
      #expect(first != nil && compress(block, compressor) == first)
    }
  }
}
