import EventModel
import StorageIO
import Synchronization
import SystemPackage

/// Stands before a file system and remembers what was asked of it.
final class ObservedFileSystem: FileSystem {
  /// A call that changes something or makes it durable.
  struct Call: Hashable, Sendable, CustomStringConvertible {
    let operation: IOFailure.Operation
    let path: FilePath

    var description: String { "\(operation.rawValue) \(path)" }
  }

  private struct Seen {
    var calls: [Call] = []
    var bytesRead = 0
    var mappings: [WeakMapping] = []
    /// Whether files answer as if none of their bytes were in memory.
    var isCold = false
    /// Called once, when a file has been synced.
    var onSync: (@Sendable () -> Void)?
    /// Called once, when a file has been read from a place on.
    var onRead: (path: FilePath, position: FilePosition, body: @Sendable () -> Void)?
  }

  private struct WeakMapping {
    weak var mapping: FileMapping?
  }

  private let real: any FileSystem
  private let seen = Mutex(Seen())

  init(_ real: any FileSystem) { self.real = real }

  var calls: [Call] { seen.withLock { $0.calls } }
  var bytesRead: Int { seen.withLock { $0.bytesRead } }
  /// Maps that somebody still holds.
  var mappingCount: Int { seen.withLock { $0.mappings.count { $0.mapping != nil } } }

  /// Whether files answer as if none of their bytes were in memory.
  var isCold: Bool {
    get { seen.withLock { $0.isCold } }
    set { seen.withLock { $0.isCold = newValue } }
  }

  /// Does something once, between the next sync of a file and whatever is asked behind it.
  func afterNextSync(_ body: @escaping @Sendable () -> Void) { seen.withLock { $0.onSync = body } }

  fileprivate func synced() {
    let body = seen.withLock { $0.onSync.take() }
    body?()
  }

  /// Does something once, between the next read of a file from a place on and whatever is asked
  /// behind it.
  func afterNextRead(
    of path: FilePath, at position: FilePosition, _ body: @escaping @Sendable () -> Void
  ) {
    seen.withLock { $0.onRead = (path, position, body) }
  }

  func forget() { seen.withLock { $0 = Seen() } }

  fileprivate func note(_ operation: IOFailure.Operation, _ path: FilePath) {
    seen.withLock { $0.calls.append(Call(operation: operation, path: path)) }
  }

  fileprivate func noteRead(_ count: Int, of path: FilePath, at position: FilePosition) {
    let body = seen.withLock { seen -> (@Sendable () -> Void)? in
      seen.bytesRead += count
      guard let next = seen.onRead, next.path == path, next.position == position else { return nil }
      seen.onRead = nil
      return next.body
    }
    body?()
  }

  fileprivate func note(_ mapping: FileMapping) {
    seen.withLock { seen in
      seen.mappings.removeAll { $0.mapping == nil }
      seen.mappings.append(WeakMapping(mapping: mapping))
    }
  }

  func open(_ path: FilePath, _ access: FileAccess) throws(IOFailure) -> any StorageFile {
    if access == .create { note(.create, path) }
    return ObservedFile(try real.open(path, access), self)
  }

  func kind(of path: FilePath) throws(IOFailure) -> FileKind? { try real.kind(of: path) }
  func list(_ path: FilePath) throws(IOFailure) -> [DirectoryEntry] { try real.list(path) }

  func createDirectory(_ path: FilePath) throws(IOFailure) {
    note(.createDirectory, path)
    try real.createDirectory(path)
  }

  func rename(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    note(.rename, target)
    try real.rename(path, to: target)
  }

  func link(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    note(.link, target)
    try real.link(path, to: target)
  }

  func remove(_ path: FilePath) throws(IOFailure) {
    note(.remove, path)
    try real.remove(path)
  }

  func removeDirectory(_ path: FilePath) throws(IOFailure) {
    note(.remove, path)
    try real.removeDirectory(path)
  }

  func synchronizeDirectory(_ path: FilePath) throws(IOFailure) {
    note(.synchronizeDirectory, path)
    try real.synchronizeDirectory(path)
  }

  func openVolume(of path: FilePath) throws(IOFailure) -> any StorageVolume {
    try real.openVolume(of: path)
  }

  func lock(_ path: FilePath) throws(IOFailure) -> LockAttempt { try real.lock(path) }
  func lockHolder(of path: FilePath) throws(IOFailure) -> LockHolder? {
    try real.lockHolder(of: path)
  }
}

private final class ObservedFile: StorageFile {
  private let real: any StorageFile
  private let owner: ObservedFileSystem

  init(_ real: any StorageFile, _ owner: ObservedFileSystem) {
    self.real = real
    self.owner = owner
  }

  var path: FilePath { real.path }
  func size() throws(IOFailure) -> ByteCount { try real.size() }

  func read(into buffer: inout MutableRawSpan, at position: FilePosition) throws(IOFailure) -> Int {
    let count = try real.read(into: &buffer, at: position)
    owner.noteRead(count, of: path, at: position)
    return count
  }

  func readResident(
    into buffer: inout MutableRawSpan, at position: FilePosition
  ) throws(IOFailure) -> Int? {
    owner.isCold ? nil : try read(into: &buffer, at: position)
  }

  func write(_ bytes: RawSpan, at position: FilePosition) throws(IOFailure) {
    owner.note(.write, path)
    try real.write(bytes, at: position)
  }

  func reserve(_ size: ByteCount) throws(IOFailure) { try real.reserve(size) }

  func truncate(to size: ByteCount) throws(IOFailure) {
    owner.note(.truncate, path)
    try real.truncate(to: size)
  }

  func synchronize() throws(IOFailure) {
    owner.note(.synchronize, path)
    try real.synchronize()
    owner.synced()
  }

  func map(_ size: ByteCount) throws(IOFailure) -> FileMapping {
    let mapping = try real.map(size)
    owner.note(mapping)
    return mapping
  }

  func allocatedSize() throws(IOFailure) -> ByteCount { try real.allocatedSize() }
}
