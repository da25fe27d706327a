package import SystemPackage

/// Tells when something changes in some directories or in their files.
///
/// A hint: it may come without a change, and what it comes for is found by looking.
package protocol DirectoryWatch: AnyObject, Sendable {
  /// Blocks until something has changed since the last call, so much time has passed, or the watch
  /// was stopped; one thread at a time.
  func wait(_ patience: Duration)

  /// Ends the present wait and every later one at once.
  func stop()
}

extension FileSystem {
  /// Nothing is told unless a file system says otherwise.
  package func watch(_ directories: [FilePath]) -> (any DirectoryWatch)? { nil }
}
