internal import EventModel
package import SystemPackage

/// Replaces a whole file so that a crash leaves the old bytes or the new ones, never a mixture.
package enum AtomicReplace {
  /// Writes `<path>.new`, syncs it, renames it over `path` and syncs the directory.
  ///
  /// A left-over of an earlier attempt is removed first. Returns when the new bytes would survive a
  /// crash.
  package static func replace(
    _ path: FilePath, with bytes: RawSpan, in fileSystem: any FileSystem
  ) throws(IOFailure) {
    try prepare(path, with: bytes, in: fileSystem)
    try commit(path, in: fileSystem)
  }

  /// The same for a file that its writer puts together.
  package static func replace(
    _ path: FilePath, in fileSystem: any FileSystem,
    write: (any StorageFile) throws(IOFailure) -> Void
  ) throws(IOFailure) {
    try prepare(path, in: fileSystem, write: write)
    try commit(path, in: fileSystem)
  }

  /// The first half: the new bytes stand, synced, beside the file, which is as it was.
  ///
  /// After an error nothing is left of them, so that attempts on a full disk do not fill it more.
  package static func prepare(
    _ path: FilePath, with bytes: RawSpan, in fileSystem: any FileSystem
  ) throws(IOFailure) {
    try prepare(path, in: fileSystem) { (file) throws(IOFailure) in
      try file.write(bytes, at: .start)
    }
  }

  private static func prepare(
    _ path: FilePath, in fileSystem: any FileSystem,
    write: (any StorageFile) throws(IOFailure) -> Void
  ) throws(IOFailure) {
    let temporary = sibling(of: path)
    if try fileSystem.kind(of: temporary) != nil { try fileSystem.remove(temporary) }
    let file = try fileSystem.open(temporary, .create)
    do throws(IOFailure) {
      try write(file)
      try file.synchronize()
    } catch {
      discard(temporary, in: fileSystem)
      throw error
    }
  }

  private static func discard(_ temporary: FilePath, in fileSystem: any FileSystem) {
    do throws(IOFailure) {
      try fileSystem.remove(temporary)
    } catch {
      // It means nothing unless it is renamed, and the next attempt begins by removing it.
      return
    }
  }

  /// The second half: the new bytes take the file's name.
  ///
  /// After an error nobody knows which of the two a crash will leave.
  package static func commit(
    _ path: FilePath, in fileSystem: any FileSystem
  ) throws(IOFailure) {
    try fileSystem.rename(sibling(of: path), to: path)
    try fileSystem.synchronizeDirectory(path.removingLastComponent())
  }

  private static func sibling(of path: FilePath) -> FilePath { FilePath(path.string + ".new") }
}
