import EventModel
import FuzzHarness
import LogFormat

/// The header of a file, and that of a frame, made of any bytes: what decodes is the same again
/// when it is written and read once more.
///
/// Their checksums are put right first, since no fuzzer guesses one.
enum Headers {
  static let target = FuzzTarget("headers", seeds: seeds) { input in
    do throws(FormatError) {
      try examineFile(input)
      try examineFrame(input)
    } catch {
      // Damage that was noticed, or a later version.
    }
  }

  private static func examineFile(_ input: [UInt8]) throws(FormatError) {
    var bytes = Array(input.prefix(FileHeader.size))
    Mending.apply(&bytes, control: 1)
    let header: FileHeader
    do throws(FormatError) {
      header = try FileHeader(decoding: bytes.span.bytes)
    } catch .corrupt {
      // It may be the header of a frame.
      return
    }
    var buffer = ByteBuffer()
    header.encode(into: &buffer)
    let again = try buffer.withBytes { (bytes) throws(FormatError) in
      try FileHeader(decoding: bytes)
    }
    precondition(again == header, "a file's header changes when it is written again")
  }

  private static func examineFrame(_ input: [UInt8]) throws(FormatError) {
    let identity = Mending.fallback.identity
    var bytes = [UInt8](repeating: 0, count: FileHeader.size) + input.prefix(FrameHeader.size)
    Mending.apply(&bytes, control: 2)
    let seed = identity.seed(at: FilePosition(FileHeader.size))
    let decoded = try FrameHeader.decode(bytes.span.bytes, at: FileHeader.size, seed: seed)
    guard let decoded else { return }
    precondition(
      decoded.header.watermark <= decoded.header.baseNumber, "a watermark ahead of its frame")
    let found = try FrameHeader.seed(
      of: bytes.span.bytes.extracting(FileHeader.size..<FileHeader.size + FrameHeader.size))
    precondition(found == seed, "a header's seed is not found")
    var buffer = ByteBuffer()
    buffer.appendZeros(FrameHeader.size)
    let checksum = decoded.header.encode(over: &buffer, at: 0, seed: seed)
    precondition(checksum == decoded.checksum, "a frame's header changes when it is written again")
    Fuzzing.landmark()
  }

  private static func seeds() -> [[UInt8]] {
    var file = ByteBuffer()
    Mending.fallback.encode(into: &file)
    var frame = ByteBuffer()
    frame.appendZeros(FrameHeader.size)
    let header = FrameHeader(
      type: FrameHeader.FrameType.batch, codec: .zstd, epoch: 1, recordCount: 3, baseNumber: 9,
      baseTime: Mending.fallback.created, watermark: 9, chain: 7)
    _ = header.encode(over: &frame, at: 0, seed: 0)
    return [file.array(0..<file.count), frame.array(0..<frame.count)]
  }
}
