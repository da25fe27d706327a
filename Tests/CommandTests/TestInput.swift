import CZlib
import CZstd
import CommandSupport
import Glibc

/// Random numbers that a seed repeats (SplitMix64).
struct SeededRandom: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}

/// Inputs made of bytes.
enum TestInput {
  /// A stream over bytes, by way of a file without a name.
  static func stream(_ bytes: [UInt8], name: String = "input") -> ByteStream {
    guard let file = tmpfile() else { preconditionFailure("no temporary file: \(errno)") }
    let descriptor = dup(fileno(file))
    fclose(file)
    precondition(write(descriptor, bytes, bytes.count) == bytes.count)
    lseek(descriptor, 0, SEEK_SET)
    return ByteStream(descriptor: descriptor, name: name, closes: true)
  }

  static func stream(_ text: String, name: String = "input") -> ByteStream {
    stream(Array(text.utf8), name: name)
  }

  /// A pipe: the stream reads what is written to the descriptor.
  static func pipe() -> (ByteStream, Int32) {
    var ends: [Int32] = [0, 0]
    precondition(Glibc.pipe(&ends) == 0)
    return (ByteStream(descriptor: ends[0], name: "pipe", closes: true), ends[1])
  }

  static func lines(_ stream: ByteStream) throws -> [String] {
    var reader = LineReader(stream)
    var lines: [String] = []
    while let line = try reader.next() { lines.append(String(decoding: line, as: UTF8.self)) }
    return lines
  }

  static func gzip(_ bytes: [UInt8]) -> [UInt8] {
    var stream = z_stream()
    precondition(
      deflateInit2_(
        &stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
        Int32(MemoryLayout<z_stream>.size)) == Z_OK)
    defer { deflateEnd(&stream) }
    var input = bytes
    var output = [UInt8](repeating: 0, count: bytes.count + bytes.count / 8 + 64)
    let count = input.withUnsafeMutableBufferPointer { from in
      output.withUnsafeMutableBufferPointer { to in
        stream.next_in = from.baseAddress
        stream.avail_in = UInt32(from.count)
        stream.next_out = to.baseAddress
        stream.avail_out = UInt32(to.count)
        precondition(deflate(&stream, Z_FINISH) == Z_STREAM_END)
        return to.count - Int(stream.avail_out)
      }
    }
    return Array(output.prefix(count))
  }

  static func zstd(_ bytes: [UInt8]) -> [UInt8] {
    var output = [UInt8](repeating: 0, count: ZSTD_compressBound(bytes.count))
    let count = ZSTD_compress(&output, output.count, bytes, bytes.count, 3)
    precondition(ZSTD_isError(count) == 0)
    return Array(output.prefix(count))
  }
}
