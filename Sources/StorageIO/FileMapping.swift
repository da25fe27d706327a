package import EventModel
package import SystemPackage

/// A read-only view of a file's bytes, kept alive by its readers.
///
/// Its pages are touched by guarded C functions alone: a page that has vanished (the file was
/// truncated, the disk failed) is an error, not a signal. The guarded copy also computes the
/// checksum, so what was verified is what the caller holds.
package final class FileMapping: Sendable {
  package let path: FilePath
  package let size: ByteCount

  init(path: FilePath, size: ByteCount) {
    self.path = path
    self.size = size
  }

  /// Copies `buffer.byteCount` bytes beginning at `position`, which must lie inside the map, and
  /// returns their CRC32C continued from `seed`.
  package func copy(
    into buffer: inout MutableRawSpan, from position: FilePosition, seed: UInt32
  ) throws(IOFailure) -> UInt32 {
    fatalError("written with the system file system")
  }
}
