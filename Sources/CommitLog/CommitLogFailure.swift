package import BlockCompression
package import LogFormat
package import StorageIO
package import SystemPackage

/// Why the log could not do what it was asked for.
package enum CommitLogFailure: Error, Hashable, Sendable {
  /// A call to the operating system failed and nothing was harmed.
  case io(IOFailure)
  /// A file holds something else than the format says.
  case format(FilePath, position: Int, FormatError)
  /// The path holds no store.
  case notAStore(FilePath, String)
  /// The path holds records of a store, and no manifest that says what they are.
  case lostManifest(FilePath)
  /// A store cannot be created where something is.
  case alreadyExists(FilePath)
  /// Another process writes to the store.
  case locked(FilePath, LockHolder)
  /// A file that the manifest names is not there.
  case missingFile(FilePath)
  /// A part of a log cannot be read now; nothing is known to be lost.
  case unreadable(UnreadablePlace)
  /// The disk has no room; what was accepted stays accepted.
  case storageFull(IOFailure)
  /// A sync or write failed before, so nothing is known about what was written last (I8).
  case poisoned(IOFailure)
  /// A codec failed.
  case compression(CompressionFailure)
  /// The store was closed.
  case closed
}

extension CommitLogFailure {
  /// Wraps what the storage seam throws; a full disk stays apart because people act on it
  /// differently.
  package init(_ failure: IOFailure) {
    self = failure.isStorageFull ? .storageFull(failure) : .io(failure)
  }

  package static func wrapping<Result>(
    _ body: () throws(IOFailure) -> Result
  ) throws(CommitLogFailure) -> Result {
    do throws(IOFailure) {
      return try body()
    } catch {
      throw CommitLogFailure(error)
    }
  }
}

extension CommitLogFailure: CustomStringConvertible {
  package var description: String {
    switch self {
    case .io(let failure), .storageFull(let failure): "\(failure)"
    case .format(let path, let position, let error): "\(path) at \(position): \(error)"
    case .notAStore(let path, let detail): "\(path) is no store: \(detail)"
    case .lostManifest(let path): "\(path) holds records of a store but no \(FileNames.manifest)"
    case .alreadyExists(let path): "\(path) already holds something"
    case .locked(let path, let holder):
      "\(path) is being written by "
        + (holder.processID.map { "process \($0)" } ?? "another process")
    case .missingFile(let path): "\(path) is missing"
    case .unreadable(let place): "\(place)"
    case .poisoned(let failure): "writing stopped after a failure: \(failure)"
    case .compression(let failure): "\(failure)"
    case .closed: "the store is closed"
    }
  }
}
