package import EventModel
package import SystemPackage

/// An open file.
///
/// Safe to use from several threads; closed when released.
package protocol StorageFile: AnyObject, Sendable {
  var path: FilePath { get }

  /// The file's length now. A hint, never evidence of what was written.
  func size() throws(IOFailure) -> ByteCount

  /// Reads into the whole buffer and returns the number of bytes read: fewer than asked for only
  /// at the end of the file.
  func read(into buffer: inout MutableRawSpan, at position: FilePosition) throws(IOFailure) -> Int

  /// As `read` where that waits for no disk, because the bytes are in memory; nil where it may.
  func readResident(
    into buffer: inout MutableRawSpan, at position: FilePosition
  ) throws(IOFailure) -> Int?

  /// Where the next bytes stand that may be other than zero, from a position on; the end of the
  /// file if there are none.
  func dataStart(from position: FilePosition) throws(IOFailure) -> FilePosition

  /// Writes all of the bytes or throws; after an error any part of them may be in the file.
  func write(_ bytes: RawSpan, at position: FilePosition) throws(IOFailure)

  /// Reserves space for the first `size` bytes without changing the file's length, so that later
  /// writes below it cannot meet a full disk where the file system can promise that. Where it
  /// cannot reserve (not supported), does nothing.
  func reserve(_ size: ByteCount) throws(IOFailure)

  /// Sets the length and gives back space reserved beyond it.
  func truncate(to size: ByteCount) throws(IOFailure)

  /// Returns when every byte written before the call, and the length, would survive a crash.
  ///
  /// After an error nothing is known about bytes written since the last success; calling again
  /// proves nothing (invariant I8).
  func synchronize() throws(IOFailure)

  /// A read-only view of the first `size` bytes. The bytes must not be truncated while it lives.
  func map(_ size: ByteCount) throws(IOFailure) -> FileMapping

  /// The space the file takes on the disk.
  func allocatedSize() throws(IOFailure) -> ByteCount
}

extension StorageFile {
  /// A file that never waits.
  package func readResident(
    into buffer: inout MutableRawSpan, at position: FilePosition
  ) throws(IOFailure) -> Int? {
    try read(into: &buffer, at: position)
  }

  /// A file that knows of no holes.
  package func dataStart(from position: FilePosition) throws(IOFailure) -> FilePosition { position }
}
