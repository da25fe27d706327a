/// How a batch is compressed.
///
/// The raw value is the number on disk (format-spec §4).
public enum CompressionCodec: UInt8, CaseIterable, Hashable, Sendable {
  /// Stored as it is.
  case none = 0
  /// LZ4 block format: the default; the fastest to read.
  case lz4 = 1
  /// Zstandard at level 1: half the space of LZ4 on telemetry, at half the speed.
  case zstd = 2
}
