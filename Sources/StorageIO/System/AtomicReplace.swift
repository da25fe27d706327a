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
    let temporary = FilePath(path.string + ".new")
    if try fileSystem.kind(of: temporary) != nil { try fileSystem.remove(temporary) }
    let file = try fileSystem.open(temporary, .create)
    try file.write(bytes, at: .start)
    try file.synchronize()
    try fileSystem.rename(temporary, to: path)
    try fileSystem.synchronizeDirectory(path.removingLastComponent())
  }
}
