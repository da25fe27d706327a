package import EventModel
package import StorageIO
package import SystemPackage

/// Stands before a file system and swallows some of its syncs: a campaign that does not notice is
/// blind.
package final class LyingFileSystem: FileSystem {
  package enum Lie: String, CaseIterable, Sendable {
    case files, directories, segments, manifest, checkpoints
  }

  private let real: any FileSystem
  private let lie: Lie

  package init(_ real: any FileSystem, _ lie: Lie) {
    self.real = real
    self.lie = lie
  }

  package func open(_ path: FilePath, _ access: FileAccess) throws(IOFailure) -> any StorageFile {
    let file = try real.open(path, access)
    let isSegment = [".segment", ".journal"].contains { path.string.hasSuffix($0) }
    let lies =
      switch lie {
      case .files: true
      case .directories: false
      case .segments: isSegment
      case .manifest: path.string.contains("MANIFEST")
      case .checkpoints: path.string.contains("CHECKPOINTS")
      }
    return lies ? LyingFile(file) : file
  }

  package func synchronizeDirectory(_ path: FilePath) throws(IOFailure) {
    if lie != .directories { try real.synchronizeDirectory(path) }
  }

  package func openVolume(of path: FilePath) throws(IOFailure) -> any StorageVolume {
    let volume = try real.openVolume(of: path)
    return lie == .files || lie == .directories ? LyingVolume() : volume
  }

  package func kind(of path: FilePath) throws(IOFailure) -> FileKind? { try real.kind(of: path) }
  package func list(_ path: FilePath) throws(IOFailure) -> [DirectoryEntry] { try real.list(path) }
  package func createDirectory(_ path: FilePath) throws(IOFailure) {
    try real.createDirectory(path)
  }
  package func rename(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    try real.rename(path, to: target)
  }
  package func link(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    try real.link(path, to: target)
  }
  package func remove(_ path: FilePath) throws(IOFailure) { try real.remove(path) }
  package func removeDirectory(_ path: FilePath) throws(IOFailure) {
    try real.removeDirectory(path)
  }
  package func lock(_ path: FilePath) throws(IOFailure) -> LockAttempt { try real.lock(path) }
  package func lockHolder(of path: FilePath) throws(IOFailure) -> LockHolder? {
    try real.lockHolder(of: path)
  }
}

private final class LyingVolume: StorageVolume {
  func synchronize() {}
}

/// A file whose syncs return at once.
package final class LyingFile: StorageFile {
  private let real: any StorageFile

  init(_ real: any StorageFile) { self.real = real }

  package var path: FilePath { real.path }
  package func size() throws(IOFailure) -> ByteCount { try real.size() }
  package func read(into buffer: inout MutableRawSpan, at position: FilePosition) throws(IOFailure)
    -> Int
  {
    try real.read(into: &buffer, at: position)
  }
  package func write(_ bytes: RawSpan, at position: FilePosition) throws(IOFailure) {
    try real.write(bytes, at: position)
  }
  package func reserve(_ size: ByteCount) throws(IOFailure) { try real.reserve(size) }
  package func truncate(to size: ByteCount) throws(IOFailure) { try real.truncate(to: size) }
  package func synchronize() throws(IOFailure) {}
  package func map(_ size: ByteCount) throws(IOFailure) -> FileMapping { try real.map(size) }
  package func allocatedSize() throws(IOFailure) -> ByteCount { try real.allocatedSize() }
}
