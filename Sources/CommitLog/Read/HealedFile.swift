internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// A file read as it was before bits in it flipped, by a process that must not write: it shows what
/// the next writer will recover.
final class HealedFile: ReadOnlyFile {
  private let below: any StorageFile
  private let repairs: [BitRepair]

  init(_ below: any StorageFile, _ repairs: [BitRepair]) {
    self.below = below
    self.repairs = repairs
  }

  var path: FilePath { below.path }
  var refusal: Errno { .readOnlyFileSystem }
  func size() throws(IOFailure) -> ByteCount { try below.size() }
  func dataStart(from position: FilePosition) throws(IOFailure) -> FilePosition {
    let data = try below.dataStart(from: position)
    let repaired = repairs.lazy.map { FilePosition($0.position) }.filter { $0 >= position }
    return repaired.reduce(data, min)
  }

  func read(into buffer: inout MutableRawSpan, at position: FilePosition) throws(IOFailure) -> Int {
    let count = try below.read(into: &buffer, at: position)
    repairs.apply(to: &buffer, at: position.bytes)
    return count
  }
}
