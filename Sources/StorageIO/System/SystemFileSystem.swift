internal import Glibc
package import SystemPackage

/// The operating system's files.
package final class SystemFileSystem: FileSystem {
  package init() {}

  /// Makes a call and says in the seam's words why it failed.
  private func call<Value>(
    _ operation: IOFailure.Operation, _ path: FilePath, _ body: () throws(Errno) -> Value
  ) throws(IOFailure) -> Value {
    do throws(Errno) {
      return try body()
    } catch {
      throw IOFailure(operation, path, error)
    }
  }

  package func watch(_ directories: [FilePath]) -> (any DirectoryWatch)? {
    SystemDirectoryWatch(directories)
  }

  package func open(_ path: FilePath, _ access: FileAccess) throws(IOFailure) -> any StorageFile {
    try call(access == .create ? .create : .open, path) { () throws(Errno) in
      switch access {
      case .create:
        let flags = O_RDWR | O_CREAT | O_EXCL
        return SystemFile(
          path: path, descriptor: try SystemCalls.open(path, flags, mode: 0o644))
      case .readOnly, .readWrite:
        // Without waiting: a pipe in a file's place would keep the call from returning.
        let flags = (access == .readOnly ? O_RDONLY : O_RDWR) | O_NONBLOCK
        let file = SystemFile(path: path, descriptor: try SystemCalls.open(path, flags))
        try file.checkKind()
        return file
      }
    }
  }

  package func kind(of path: FilePath) throws(IOFailure) -> FileKind? {
    do throws(Errno) {
      return Self.kind(try SystemCalls.status(of: path).st_mode)
    } catch .noSuchFileOrDirectory, .notDirectory {
      return nil
    } catch {
      throw IOFailure(.inspect, path, error)
    }
  }

  static func kind(_ mode: mode_t) -> FileKind {
    switch mode & S_IFMT {
    case S_IFREG: .file
    case S_IFDIR: .directory
    default: .other
    }
  }

  package func list(_ directory: FilePath) throws(IOFailure) -> [DirectoryEntry] {
    var entries: [DirectoryEntry] = []
    let names = try call(.list, directory) { () throws(Errno) in
      try SystemCalls.names(in: directory)
    }
    for name in names.sorted() {
      // An entry removed since the directory was read is no entry any more.
      guard let kind = try kind(of: directory.appending(name)) else { continue }
      entries.append(DirectoryEntry(name: name, kind: kind))
    }
    return entries
  }

  package func createDirectory(_ path: FilePath) throws(IOFailure) {
    try call(.createDirectory, path) { () throws(Errno) in try SystemCalls.makeDirectory(path) }
  }

  package func rename(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    try call(.rename, path) { () throws(Errno) in try SystemCalls.rename(path, to: target) }
  }

  package func link(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    try call(.link, path) { () throws(Errno) in try SystemCalls.link(path, to: target) }
  }

  package func remove(_ path: FilePath) throws(IOFailure) {
    try call(.remove, path) { () throws(Errno) in try SystemCalls.unlink(path) }
  }

  package func removeDirectory(_ path: FilePath) throws(IOFailure) {
    try call(.remove, path) { () throws(Errno) in try SystemCalls.removeDirectory(path) }
  }

  package func synchronizeDirectory(_ path: FilePath) throws(IOFailure) {
    try call(.synchronizeDirectory, path) { () throws(Errno) in
      let directory = try SystemCalls.open(path, O_RDONLY | O_DIRECTORY)
      defer { SystemCalls.close(directory) }
      try SystemCalls.synchronize(directory)
    }
  }

  package func openVolume(of directory: FilePath) throws(IOFailure) -> any StorageVolume {
    try call(.open, directory) { () throws(Errno) in
      SystemVolume(directory, try SystemCalls.open(directory, O_RDONLY | O_DIRECTORY))
    }
  }
}

/// The file system that holds a directory.
private final class SystemVolume: StorageVolume {
  private let path: FilePath
  private let descriptor: Int32

  init(_ path: FilePath, _ descriptor: Int32) {
    self.path = path
    self.descriptor = descriptor
  }

  deinit { SystemCalls.close(descriptor) }

  func synchronize() throws(IOFailure) {
    do throws(Errno) {
      try SystemCalls.synchronizeFileSystem(of: descriptor)
    } catch {
      throw IOFailure(.synchronizeVolume, path, error)
    }
  }
}

extension SystemFileSystem {
  private final class Lock: FileLock {
    /// Closing it releases the lock.
    private let file: SystemFile

    init(file: SystemFile) {
      self.file = file
    }
  }

  package func lock(_ path: FilePath) throws(IOFailure) -> LockAttempt {
    try call(.lock, path) { () throws(Errno) in
      let flags = O_RDWR | O_CREAT | O_NONBLOCK
      let descriptor = try SystemCalls.open(path, flags, mode: 0o644)
      let lock = Lock(file: SystemFile(path: path, descriptor: descriptor))
      guard try SystemCalls.lockExclusively(descriptor) else {
        return .held(by: LockHolder(processID: try Self.processID(in: descriptor)))
      }
      try Self.sign(descriptor)
      return .acquired(lock)
    }
  }

  /// Writes the process's number into a lock file, over what is there.
  ///
  /// Cutting that first would give its space to others, on a disk that is full.
  private static func sign(_ descriptor: Int32) throws(Errno) {
    let text = Array("\(SystemCalls.processID)\n".utf8)
    do throws(Errno) {
      // SAFETY: the array keeps its bytes valid for the closure and tells their exact number.
      try unsafe text.span.bytes.withUnsafeBytes { bytes throws(Errno) in
        try unsafe SystemCalls.write(descriptor, bytes, at: 0)
      }
    } catch {
      // The lock holds without a name; the one of its last holder must not stay.
      guard error == .noSpace || error == .diskQuotaExceeded else { throw error }
      try SystemCalls.truncate(descriptor, to: 0)
      return
    }
    try SystemCalls.truncate(descriptor, to: text.count)
  }

  package func lockHolder(of path: FilePath) throws(IOFailure) -> LockHolder? {
    do throws(Errno) {
      let descriptor = try SystemCalls.open(path, O_RDONLY | O_NONBLOCK)
      defer { SystemCalls.close(descriptor) }
      guard try SystemCalls.isLocked(descriptor) else { return nil }
      return LockHolder(processID: try Self.processID(in: descriptor))
    } catch .noSuchFileOrDirectory, .notDirectory {
      return nil
    } catch {
      throw IOFailure(.lock, path, error)
    }
  }

  /// The process a lock file names: a decimal number and a line end, nil for anything else.
  private static func processID(in file: Int32) throws(Errno) -> Int32? {
    var text = [UInt8](repeating: 0, count: 16)
    // SAFETY: the array keeps its bytes valid for the closure and tells their exact number.
    var span = text.mutableSpan
    var buffer = unsafe span.mutableBytes
    let count = try unsafe buffer.withUnsafeMutableBytes { bytes throws(Errno) in
      try unsafe SystemCalls.read(file, into: bytes, at: 0)
    }
    return Int32(String(decoding: text.prefix(count).prefix { $0 != 0x0A }, as: UTF8.self))
  }
}
