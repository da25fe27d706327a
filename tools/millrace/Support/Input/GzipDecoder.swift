import CZlib

/// Decompresses gzip (RFC 1952): one member after another, as `cat a.gz b.gz` makes them.
@safe
final class GzipDecoder: StreamDecoder {
  let format = "gzip"

  // zlib keeps a pointer back to its stream, so the stream must never move.
  private let stream: UnsafeMutablePointer<z_stream>
  /// Between members: a further member, padding of zeros or the end may follow.
  private var betweenMembers = false

  init() throws(DecoderError) {
    unsafe stream = .allocate(capacity: 1)
    // SAFETY: the memory was allocated above for one stream and is freed in `deinit` alone.
    unsafe stream.initialize(to: z_stream())
    // 15 bits of window; 16 more mean gzip's framing and nothing else.
    let status = unsafe inflateInit2_(
      stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    guard status == Z_OK else {
      unsafe stream.deallocate()
      throw DecoderError(detail: "zlib does not start, status \(status)")
    }
  }

  deinit {
    // SAFETY: allocated and initialised in `init`, released nowhere else.
    unsafe inflateEnd(stream)
    unsafe stream.deallocate()
  }

  var isAtBoundary: Bool { betweenMembers }

  func decode(
    _ source: inout SourceBuffer, into output: inout OutputSpan<UInt8>
  ) throws(DecoderError) {
    while true {
      if betweenMembers, try !startMember(&source) { return }
      let before = output.count
      // SAFETY: input and room stay valid during the closures; zlib keeps within the given sizes.
      try unsafe source.consume { input throws(DecoderError) in
        try unsafe inflateOnce(input, &output)
      }
      if output.count > before || !betweenMembers { return }
    }
  }

  private func inflateOnce(
    _ input: UnsafeRawBufferPointer, _ output: inout OutputSpan<UInt8>
  ) throws(DecoderError) -> Int {
    var status = Z_OK
    // SAFETY: the caller keeps the input valid; the output's free space is handed over exactly.
    unsafe stream.pointee.next_in = unsafe UnsafeMutablePointer(
      mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
    unsafe stream.pointee.avail_in = UInt32(input.count)
    unsafe output.withUnsafeMutableBufferPointer { buffer, count in
      unsafe stream.pointee.next_out = buffer.baseAddress.map { unsafe $0 + count }
      let room = buffer.count - count
      unsafe stream.pointee.avail_out = UInt32(clamping: room)
      let offered = unsafe stream.pointee.avail_out
      status = unsafe inflate(stream, Z_NO_FLUSH)
      let left = unsafe stream.pointee.avail_out
      count += Int(offered - left)
    }
    let used = unsafe input.count - Int(stream.pointee.avail_in)
    switch status {
    case Z_STREAM_END: betweenMembers = true
    // Z_BUF_ERROR means that no progress was possible: more input is needed.
    case Z_OK, Z_BUF_ERROR: break
    default:
      let text = unsafe stream.pointee.msg.map { unsafe String(cString: $0) }
      throw DecoderError(detail: text ?? "zlib status \(status)")
    }
    return used
  }

  /// Begins the next member; false while its first bytes are not there.
  ///
  /// Tapes pad with zeros.
  private func startMember(_ source: inout SourceBuffer) throws(DecoderError) -> Bool {
    source.skipZeros()
    guard source.count > 0 else { return false }
    guard source.prefix(1).first == 0x1f else {
      throw DecoderError(detail: "bytes after its end are not gzip")
    }
    // SAFETY: the stream lives from `init` to `deinit`.
    guard unsafe inflateReset(stream) == Z_OK else {
      throw DecoderError(detail: "zlib cannot start over")
    }
    betweenMembers = false
    return true
  }
}
