import CZstd

/// Decompresses zstd (RFC 8878): one frame after another, skippable frames passed over.
@safe
final class ZstdDecoder: StreamDecoder {
  let format = "zstd"

  private let stream: OpaquePointer
  private(set) var isAtBoundary = true

  init() throws(DecoderError) {
    guard let created = unsafe ZSTD_createDStream() else {
      throw DecoderError(detail: "no memory for zstd")
    }
    unsafe stream = created
  }

  deinit {
    // SAFETY: created in `init`, freed nowhere else.
    unsafe ZSTD_freeDStream(stream)
  }

  /// Whether the bytes begin a frame, or a skippable frame, as parallel compressors write first.
  static func recognises(_ magic: ArraySlice<UInt8>) -> Bool {
    let bytes = Array(magic)
    guard bytes.count == 4 else { return false }
    return bytes == [0x28, 0xb5, 0x2f, 0xfd]
      || (bytes[0] & 0xf0 == 0x50 && bytes[1...].elementsEqual([0x2a, 0x4d, 0x18]))
  }

  func decode(
    _ source: inout SourceBuffer, into output: inout OutputSpan<UInt8>
  ) throws(DecoderError) {
    // With no input a decoder between frames has nothing to give, and would report a frame begun.
    while source.count > 0 || !isAtBoundary {
      let before = (output.count, source.count)
      // SAFETY: input and room stay valid during the closures; zstd keeps within the given sizes.
      try unsafe source.consume { input throws(DecoderError) in
        try unsafe decompressOnce(input, &output)
      }
      if output.count > before.0 || source.count == before.1 { return }
    }
  }

  private func decompressOnce(
    _ input: UnsafeRawBufferPointer, _ output: inout OutputSpan<UInt8>
  ) throws(DecoderError) -> Int {
    // SAFETY: the caller keeps the input valid; the output's free space is handed over exactly.
    var from = unsafe ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
    var status = 0
    unsafe output.withUnsafeMutableBufferPointer { buffer, count in
      var to = unsafe ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: count)
      status = unsafe ZSTD_decompressStream(stream, &to, &from)
      count = unsafe to.pos
    }
    guard ZSTD_isError(status) == 0 else {
      throw DecoderError(detail: unsafe String(cString: ZSTD_getErrorName(status)))
    }
    isAtBoundary = status == 0
    return unsafe from.pos
  }
}
