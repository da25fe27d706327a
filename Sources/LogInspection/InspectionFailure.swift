package import StorageIO
package import SystemPackage

/// A path that cannot be looked at as what it was said to be.
///
/// What is wrong inside a file is no failure but ``Damage``: inspection goes on behind it.
package enum InspectionFailure: Error, Hashable, Sendable {
  /// There is nothing at the path.
  case missing(FilePath)
  /// A folder that holds nothing a store is made of.
  case notAStore(FilePath)
  /// A file where a store's folder was wanted.
  case notAFolder(FilePath)
  /// A file that does not begin as files of a store do, and whose name and place say nothing else.
  case notAFileOfAStore(FilePath)
  /// The operating system refused.
  case unreadable(IOFailure)
}

extension InspectionFailure: CustomStringConvertible {
  package var description: String {
    switch self {
    case .missing(let path): "there is nothing at \(path)"
    case .notAStore(let path):
      "\(path) is not a store: it holds neither MANIFEST nor partitions/"
    case .notAFolder(let path): "\(path) is a file, and a store is a folder"
    case .notAFileOfAStore(let path): "\(path) is not a file of a store"
    case .unreadable(let failure): "\(failure)"
    }
  }
}
