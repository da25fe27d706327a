import BlockCompression
import EventModel
import LogFormat
import StorageIO
import SystemPackage

/// What the processor and the disk of this machine allow, without a store.
struct BenchLimits: Sendable {
  /// As much as a batch holds.
  private static let blockSize = 64 << 10
  /// As much as a small frame takes on the disk.
  private static let smallSize = 4_096

  /// Bytes a second that one thread copies from block to block.
  let memoryCopy: Double
  /// Bytes a second of CRC32C.
  let checksum: Double
  /// Bytes of readings a second.
  let compression: Double
  let decompression: Double
  /// Bytes a second, written one behind the other and synced once.
  let sequentialWrite: Double
  /// Small writes a second, each synced.
  let syncs: Double

  /// Measures with the bytes of readings and with a file; blocks.
  ///
  /// - Parameters:
  ///   - bytes: what is copied, checked and compressed.
  ///   - path: of the file; there must be nothing.
  ///   - scale: how much is written.
  /// - Throws: what the disk refuses.
  init(_ bytes: [UInt8], file path: FilePath, scale: BenchScale) throws {
    let blocks = stride(from: 0, through: bytes.count - Self.blockSize, by: Self.blockSize)
      .map { Array(bytes[$0..<$0 + Self.blockSize]) }
    let compressor = try BlockCompressor(.lz4)
    let decompressor = BlockDecompressor()
    var room = [UInt8](repeating: 0, count: compressor.bound(Self.blockSize))
    var plain = [UInt8](repeating: 0, count: Self.blockSize)
    var stored: [[UInt8]] = []
    for block in blocks { stored.append(try Self.compressed(block, with: compressor, &room)) }

    var copy = ByteBuffer(capacity: Self.blockSize)
    memoryCopy = Self.rate(blocks, &plain) { block, _ in
      copy.removeAll()
      copy.append(block)
    }
    var sum: UInt32 = 0
    checksum = Self.rate(blocks, &plain) { block, _ in sum ^= CRC32C.checksum(block) }
    compression = Self.rate(blocks, &room) { block, target in
      sum &+= UInt32(compressor.compress(block, of: .bodies, into: &target) ?? 0)
    }
    decompression = try Self.rate(stored, &plain) { block, target in
      try decompressor.decompress(block, codec: .lz4, into: &target)
    }
    let file = try SystemFileSystem().open(path, .create)
    sequentialWrite = try Self.sequentialWrite(plain, to: file, size: scale.writtenSize)
    syncs = try Self.syncs(plain, to: file, count: scale.singleCount)
  }

  /// Bytes of whole blocks a second that a work gets through.
  private static func rate(
    _ blocks: [[UInt8]], _ room: inout [UInt8],
    _ work: (RawSpan, inout MutableRawSpan) throws -> Void
  ) rethrows -> Double {
    let start = ContinuousClock.now
    for block in blocks {
      // SAFETY: bytes have no padding.
      var span = room.mutableSpan
      var target = unsafe span.mutableBytes
      try work(unsafe block.span.bytes, &target)
    }
    return Double(blocks.count * blockSize) / ((ContinuousClock.now - start) / .seconds(1))
  }

  private static func compressed(
    _ block: [UInt8], with compressor: BlockCompressor, _ room: inout [UInt8]
  ) throws -> [UInt8] {
    // SAFETY: bytes have no padding.
    var span = room.mutableSpan
    var target = unsafe span.mutableBytes
    let size = compressor.compress(unsafe block.span.bytes, of: .bodies, into: &target)
    return size.map { Array(room[..<$0]) } ?? block
  }

  private static func sequentialWrite(
    _ block: [UInt8], to file: any StorageFile, size: Int
  ) throws -> Double {
    let seconds = try BenchClock.seconds {
      for position in stride(from: 0, to: size, by: block.count) {
        // SAFETY: bytes have no padding.
        try file.write(unsafe block.span.bytes, at: FilePosition(position))
      }
      try file.synchronize()
    }
    return Double(size) / seconds
  }

  /// Writes over what is there, so that no sync has to allocate.
  private static func syncs(
    _ block: [UInt8], to file: any StorageFile, count: Int
  ) throws -> Double {
    let seconds = try BenchClock.seconds {
      for turn in 0..<count {
        // SAFETY: bytes have no padding.
        let bytes = unsafe block.span.bytes.extracting(0..<smallSize)
        try file.write(bytes, at: FilePosition(turn * smallSize))
        try file.synchronize()
      }
    }
    return Double(count) / seconds
  }
}
