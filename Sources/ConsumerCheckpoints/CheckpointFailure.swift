package import LogFormat
package import StorageIO
package import SystemPackage

/// Why consumer checkpoints could not be read or kept.
package enum CheckpointFailure: Error, Hashable, Sendable {
  case io(IOFailure)
  case format(FilePath, position: Int, FormatError)
  /// A sync failed: nothing is known about the last commit, and no more is taken (I8).
  case poisoned(IOFailure)
}

extension CheckpointFailure: CustomStringConvertible {
  package var description: String {
    switch self {
    case .io(let failure): "\(failure)"
    case .format(let path, let position, let error): "\(path) at \(position): \(error)"
    case .poisoned(let failure): "commits stopped after a failure: \(failure)"
    }
  }
}
