public import SystemPackage

/// A call to the operating system that failed: what was tried, on which file, and why.
public struct IOFailure: Error, Hashable, Sendable {
  /// The calls of the storage seam, as people know them.
  public enum Operation: String, Hashable, Sendable {
    case open, create, inspect, list, createDirectory, rename, link, remove, lock
    case read, write, reserve, truncate, map, mappedRead
    case synchronize, synchronizeDirectory, synchronizeVolume
  }

  /// What was tried.
  public let operation: Operation
  /// The file or directory it was tried on.
  public let path: FilePath
  /// The operating system's reason.
  public let reason: Errno
  /// Whether a test's file system made the failure up.
  public let isInjected: Bool

  /// Makes a failure.
  public init(_ operation: Operation, _ path: FilePath, _ reason: Errno, isInjected: Bool = false) {
    self.operation = operation
    self.path = path
    self.reason = reason
    self.isInjected = isInjected
  }
}
