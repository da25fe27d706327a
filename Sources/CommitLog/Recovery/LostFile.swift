internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// Stands in for an active segment's file that is not there: an empty one that takes nothing.
///
/// Its log shows what its other segments hold and says what is gone; nothing is made in the file's
/// place, because it may be found again.
final class LostFile: ReadOnlyFile {
  let path: FilePath
  var refusal: Errno { .noSuchFileOrDirectory }

  init(_ path: FilePath) { self.path = path }

  func size() -> ByteCount { .zero }
  func read(into buffer: inout MutableRawSpan, at position: FilePosition) -> Int { 0 }
}
