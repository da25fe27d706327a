package import SystemPackage

extension IOFailure {
  /// Whether there is no room: on the disk, or in the user's quota.
  public var isStorageFull: Bool { reason == .noSpace || reason == .diskQuotaExceeded }

  /// What reading throws that may not wait for the disk and might have to.
  package static func mightWait(for path: FilePath) -> IOFailure {
    IOFailure(.read, path, .wouldBlock)
  }

  /// Whether the file system is mounted read-only.
  public var isReadOnly: Bool { reason == .readOnlyFileSystem }

  /// Whether the process may not do this.
  public var isAccessDenied: Bool { reason == .permissionDenied || reason == .notPermitted }

  /// Whether this one file cannot be had now, and others may: the disk does not read it, or the
  /// system does not let this process.
  ///
  /// What it holds may be there tomorrow: it counts as neither damaged nor gone.
  package var isUnreadable: Bool {
    isAccessDenied || reason == .ioError || reason == .staleNFSFileHandle
  }

  /// Whether a file cannot have one more name, or not there: on another disk, or at all.
  package var isLinkRefused: Bool {
    [.improperLink, .tooManyLinks, .notPermitted, .notSupported]
      .contains(reason)
  }

  /// Whether there is nothing at the path.
  public var isMissing: Bool { reason == .noSuchFileOrDirectory || reason == .notDirectory }

  /// Whether there is no file at the path: nothing at all, or a folder, a pipe, a circle of links.
  package var isNoFile: Bool {
    isMissing
      || [.isDirectory, .tooManySymbolicLinkLevels, .noSuchAddressOrDevice].contains(reason)
  }
}

extension IOFailure: CustomStringConvertible {
  /// One line for people, such as `cannot write /x/y: No space left on device`.
  public var description: String {
    "cannot \(operation.phrase) \(path): \(reason)\(isInjected ? " (injected by a test)" : "")"
  }
}

extension IOFailure.Operation {
  fileprivate var phrase: String {
    switch self {
    case .createDirectory: "create directory"
    case .reserve: "reserve space for"
    case .synchronizeDirectory: "synchronize directory"
    case .synchronizeVolume: "synchronize the file system of"
    case .mappedRead: "read mapped"
    default: rawValue
    }
  }
}
