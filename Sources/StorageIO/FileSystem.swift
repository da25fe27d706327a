package import SystemPackage

/// The seam between the engine and the disk, at the granularity of system calls (style 2.7).
///
/// The engine reaches files through this protocol only, so that a test can put a memory file
/// system or a simulated disk in place of the real one. Every call may block; none may be made
/// from a thread of Swift's cooperative pool.
package protocol FileSystem: AnyObject, Sendable {
  /// Opens a file. `.create` fails if the path exists; the others fail if it does not.
  func open(_ path: FilePath, _ access: FileAccess) throws(IOFailure) -> any StorageFile

  /// What is at a path, or nil where there is nothing. Follows no link at the last component.
  func kind(of path: FilePath) throws(IOFailure) -> FileKind?

  /// The entries of a directory, without `.` and `..`, sorted by name.
  func list(_ directory: FilePath) throws(IOFailure) -> [DirectoryEntry]

  /// Makes one directory; its parent must exist and the path must not.
  func createDirectory(_ path: FilePath) throws(IOFailure)

  /// Renames a file, replacing what `target` named before. Durable once both directories are
  /// synced.
  func rename(_ path: FilePath, to target: FilePath) throws(IOFailure)

  /// Gives a file a second name. Durable once the directory is synced.
  func link(_ path: FilePath, to target: FilePath) throws(IOFailure)

  /// Removes a file's name. Open files and maps of it stay usable.
  func remove(_ path: FilePath) throws(IOFailure)

  /// Removes an empty directory.
  func removeDirectory(_ path: FilePath) throws(IOFailure)

  /// Returns when every entry of the directory as it now is would survive a crash.
  func synchronizeDirectory(_ path: FilePath) throws(IOFailure)

  /// Opens the volume that holds a directory, to make many changes durable with one call.
  func openVolume(of directory: FilePath) throws(IOFailure) -> any StorageVolume

  /// Takes the exclusive advisory lock on a file, made if absent, or says who holds it.
  ///
  /// The lock goes with the process: a crash releases it. The holder's process id is written into
  /// the file so that others can name it.
  func lock(_ path: FilePath) throws(IOFailure) -> LockAttempt

  /// Watches some directories; nil where the file system, or what is left of its resources, does
  /// not allow it.
  func watch(_ directories: [FilePath]) -> (any DirectoryWatch)?

  /// The process that holds the exclusive lock on a file, nil if none does. Changes nothing.
  func lockHolder(of path: FilePath) throws(IOFailure) -> LockHolder?
}

/// Everything that is stored together with a directory.
///
/// Closed when released.
package protocol StorageVolume: AnyObject, Sendable {
  /// Returns when every byte and every name written before the call would survive a crash.
  ///
  /// Tells of failures since the volume was opened; after one nothing is known about what was
  /// written since then, as with `StorageFile.synchronize`.
  func synchronize() throws(IOFailure)
}

package enum FileAccess: Sendable {
  case readOnly
  case readWrite
  /// Makes a new file, readable and writable; an existing one is an error.
  case create
}

package enum FileKind: Sendable, Hashable {
  case file
  case directory
  /// A link, a device, a socket: nothing a store is made of.
  case other
}

package struct DirectoryEntry: Sendable, Hashable {
  package let name: String
  package let kind: FileKind

  package init(name: String, kind: FileKind) {
    self.name = name
    self.kind = kind
  }
}

/// Releases its lock when released itself.
package protocol FileLock: AnyObject, Sendable {}

package enum LockAttempt: Sendable {
  case acquired(any FileLock)
  case held(by: LockHolder)
}

package struct LockHolder: Sendable, Hashable {
  /// Nil if the lock file names nobody.
  package let processID: Int32?

  package init(processID: Int32?) {
    self.processID = processID
  }
}
