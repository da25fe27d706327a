import EventModel
import StorageIO
import SystemPackage

/// Stands before a file system and swallows some of its syncs: a campaign that does not notice is
/// blind.
final class LyingFileSystem: FileSystem {
  enum Lie: String, CaseIterable, Sendable {
    case files, directories, segments, manifest
  }

  private let real: any FileSystem
  private let lie: Lie

  init(_ real: any FileSystem, _ lie: Lie) {
    self.real = real
    self.lie = lie
  }

  func open(_ path: FilePath, _ access: FileAccess) throws(IOFailure) -> any StorageFile {
    let file = try real.open(path, access)
    let isSegment = path.string.hasSuffix(".segment")
    let lies =
      switch lie {
      case .files: true
      case .directories: false
      case .segments: isSegment
      case .manifest: path.string.contains("MANIFEST")
      }
    return lies ? LyingFile(file) : file
  }

  func synchronizeDirectory(_ path: FilePath) throws(IOFailure) {
    if lie != .directories { try real.synchronizeDirectory(path) }
  }

  func kind(of path: FilePath) throws(IOFailure) -> FileKind? { try real.kind(of: path) }
  func list(_ path: FilePath) throws(IOFailure) -> [DirectoryEntry] { try real.list(path) }
  func createDirectory(_ path: FilePath) throws(IOFailure) { try real.createDirectory(path) }
  func rename(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    try real.rename(path, to: target)
  }
  func link(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    try real.link(path, to: target)
  }
  func remove(_ path: FilePath) throws(IOFailure) { try real.remove(path) }
  func removeDirectory(_ path: FilePath) throws(IOFailure) { try real.removeDirectory(path) }
  func lock(_ path: FilePath) throws(IOFailure) -> LockAttempt { try real.lock(path) }
  func lockHolder(of path: FilePath) throws(IOFailure) -> LockHolder? {
    try real.lockHolder(of: path)
  }
}

/// A file whose syncs return at once.
final class LyingFile: StorageFile {
  private let real: any StorageFile

  init(_ real: any StorageFile) { self.real = real }

  var path: FilePath { real.path }
  func size() throws(IOFailure) -> ByteCount { try real.size() }
  func read(into buffer: inout MutableRawSpan, at position: FilePosition) throws(IOFailure) -> Int {
    try real.read(into: &buffer, at: position)
  }
  func write(_ bytes: RawSpan, at position: FilePosition) throws(IOFailure) {
    try real.write(bytes, at: position)
  }
  func reserve(_ size: ByteCount) throws(IOFailure) { try real.reserve(size) }
  func truncate(to size: ByteCount) throws(IOFailure) { try real.truncate(to: size) }
  func synchronize() throws(IOFailure) {}
  func startWriteback(from position: FilePosition, count: Int) {}
  func map(_ size: ByteCount) throws(IOFailure) -> FileMapping { try real.map(size) }
  func allocatedSize() throws(IOFailure) -> ByteCount { try real.allocatedSize() }
}
