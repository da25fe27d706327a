internal import CLZ4
internal import CZstd
package import EventModel

/// A block that a codec could not make or read.
package enum CompressionFailure: Error, Hashable, Sendable, CustomStringConvertible {
  /// The stored bytes are not what the codec wrote, or hold more or less than was said.
  case corrupt(CompressionCodec)
  /// The codec's library has no memory.
  case outOfMemory(CompressionCodec)

  package var description: String {
    switch self {
    case .corrupt(let codec): "the \(codec) block does not decompress to its stated size"
    case .outOfMemory(let codec): "no memory for the \(codec) codec"
    }
  }
}

/// What a block of a batch holds.
package enum BlockKind: Hashable, Sendable {
  case columns, bodies
}

/// Compresses blocks with one codec.
///
/// Owned by one thread at a time; its work space is reused.
@safe
package final class BlockCompressor {
  package let codec: CompressionCodec
  /// Level 1 is both faster and smaller than 3 on telemetry (design 3).
  private static let zstdLevel: Int32 = 1
  /// Set up for bodies: level 1 without matches of fewer than seven bytes, for digits take fewer
  /// bits as they are (bodies become up to a thirtieth smaller, and larger on no data that was
  /// tried).
  private let zstd: OpaquePointer?
  /// A stream is begun anew for each block: without one, LZ4 looks for blocks of up to 64 KiB up by
  /// four bytes instead of five, and what it finds is shorter (on telemetry the result is a seventh
  /// larger, and a fifth slower to read).
  private let lz4: UnsafeMutablePointer<LZ4_stream_t>?

  package init(_ codec: CompressionCodec) throws(CompressionFailure) {
    self.codec = codec
    // SAFETY: the context belongs to this object and is freed in `deinit`.
    unsafe zstd = codec == .zstd ? Self.bodiesContext() : nil
    unsafe lz4 = codec == .lz4 ? LZ4_createStream() : nil
    let isMade =
      switch codec {
      case .none: true
      case .lz4: unsafe lz4 != nil
      case .zstd: unsafe zstd != nil
      }
    if !isMade { throw .outOfMemory(codec) }
  }

  deinit {
    // SAFETY: made in `init`, used by nobody else; freeing nil does nothing.
    unsafe ZSTD_freeCCtx(zstd)
    unsafe LZ4_freeStream(lz4)
  }

  private static func bodiesContext() -> OpaquePointer? {
    // SAFETY: the context is the caller's, who frees it.
    guard let context = unsafe ZSTD_createCCtx() else { return nil }
    let parameters = [
      (ZSTD_c_compressionLevel, zstdLevel), (ZSTD_c_minMatch, 7), (ZSTD_c_hashLog, 12),
    ]
    for (parameter, value) in parameters {
      // SAFETY: the context is valid, and used by nobody else yet.
      let result = unsafe ZSTD_CCtx_setParameter(context, parameter, value)
      precondition(ZSTD_isError(result) == 0, "the zstd library knows its own parameters")
    }
    return unsafe context
  }

  /// The room that `compress` needs for a block of `count` bytes.
  package func bound(_ count: Int) -> Int {
    switch codec {
    case .none: 0
    case .lz4: Int(LZ4_compressBound(Int32(clamping: count)))
    case .zstd: ZSTD_compressBound(count)
    }
  }

  /// Compresses a block; returns nil when the result would not be smaller, and the block is to be
  /// stored as it is.
  package func compress(
    _ block: RawSpan, of kind: BlockKind, into target: inout MutableRawSpan
  ) -> Int? {
    let count = block.byteCount
    guard count > 0 else { return nil }
    // SAFETY: both spans keep their bytes valid for the closures and tell their exact sizes.
    let written = unsafe block.withUnsafeBytes { source in
      unsafe target.withUnsafeMutableBytes { room -> Int in
        switch codec {
        case .none: return 0
        case .lz4:
          unsafe LZ4_resetStream_fast(lz4)
          let size = Int(
            unsafe LZ4_compress_fast_continue(
              lz4, source.baseAddress, room.baseAddress, Int32(clamping: count),
              Int32(clamping: room.count), 1))
          // A stream that has failed is in no state that can be begun anew.
          if size == 0 { unsafe LZ4_initStream(lz4, MemoryLayout<LZ4_stream_t>.size) }
          return size
        case .zstd:
          let size =
            switch kind {
            // SAFETY: as above; both sizes are those of the spans.
            case .bodies:
              unsafe ZSTD_compress2(
                zstd, room.baseAddress, room.count, source.baseAddress, count)
            // SAFETY: likewise.
            case .columns:
              unsafe ZSTD_compressCCtx(
                zstd, room.baseAddress, room.count, source.baseAddress, count, Self.zstdLevel)
            }
          return ZSTD_isError(size) != 0 ? 0 : size
        }
      }
    }
    return written > 0 && written < count ? written : nil
  }
}

/// Decompresses blocks of any codec.
///
/// Owned by one thread at a time.
@safe
package final class BlockDecompressor {
  private var zstd: OpaquePointer?

  package init() {}

  deinit {
    // SAFETY: made by this object, used by nobody else; freeing nil does nothing.
    unsafe ZSTD_freeDCtx(zstd)
  }

  /// Whether the beginning of a block can be read without the rest of it.
  package static func readsBeginnings(_ codec: CompressionCodec) -> Bool { codec != .zstd }

  /// Fills `target` with the contents of a stored block, or with their beginning.
  ///
  /// A block as large as its contents is stored as it is.
  /// `contentSize` is the size of the contents, where `target` is smaller: only for a codec that
  /// reads beginnings.
  package func decompress(
    _ stored: RawSpan, codec: CompressionCodec, into target: inout MutableRawSpan,
    of contentSize: Int? = nil
  ) throws(CompressionFailure) {
    let size = target.byteCount
    let contentSize = contentSize ?? size
    precondition(
      size == contentSize || size < contentSize && Self.readsBeginnings(codec),
      "\(size) of \(contentSize) bytes")
    // SAFETY: the context is made once, owned by this object and used by one thread at a time.
    if codec == .zstd, stored.byteCount != contentSize, unsafe zstd == nil {
      unsafe zstd = ZSTD_createDCtx()
      guard unsafe zstd != nil else { throw .outOfMemory(codec) }
    }
    // SAFETY: both spans keep their bytes valid for the closures and tell their exact sizes; both
    // decoders are told the sizes and stay inside them.
    let written = unsafe stored.withUnsafeBytes { source in
      unsafe target.withUnsafeMutableBytes { room -> Int in
        guard source.count != contentSize else {
          if let start = source.baseAddress {
            unsafe room.baseAddress?.copyMemory(from: start, byteCount: size)
          }
          return size
        }
        switch codec {
        case .none: return -1
        // SAFETY: as above; both sizes are those of the spans.
        case .lz4:
          let (stored, size) = (Int32(clamping: source.count), Int32(clamping: size))
          guard size < contentSize else {
            return Int(
              unsafe LZ4_decompress_safe(source.baseAddress, room.baseAddress, stored, size))
          }
          return Int(
            unsafe LZ4_decompress_safe_partial(
              source.baseAddress, room.baseAddress, stored, size, size))
        case .zstd:
          let count = unsafe ZSTD_decompressDCtx(
            zstd, room.baseAddress, size, source.baseAddress, source.count)
          return ZSTD_isError(count) != 0 ? -1 : count
        }
      }
    }
    guard written == size else { throw .corrupt(codec) }
  }
}
