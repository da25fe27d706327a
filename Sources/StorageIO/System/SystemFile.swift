package import EventModel
internal import Glibc
package import SystemPackage

/// An open file of the operating system.
///
/// Closes its descriptor when released.
package final class SystemFile: StorageFile {
  package let path: FilePath
  private let descriptor: Int32

  /// Takes over an open descriptor.
  init(path: FilePath, descriptor: Int32) {
    self.path = path
    self.descriptor = descriptor
  }

  deinit {
    SystemCalls.close(descriptor)
  }

  /// Makes a call and says in the seam's words why it failed.
  private func call<Value>(
    _ operation: IOFailure.Operation, _ body: () throws(Errno) -> Value
  ) throws(IOFailure) -> Value {
    do throws(Errno) {
      return try body()
    } catch {
      throw IOFailure(operation, path, error)
    }
  }

  /// Refuses what cannot be read at a place: a directory, a pipe.
  ///
  /// Opening them succeeds.
  func checkKind() throws(Errno) {
    switch try SystemCalls.status(of: descriptor).st_mode & S_IFMT {
    case S_IFREG, S_IFBLK: return
    case S_IFDIR: throw .isDirectory
    default: throw .noSuchAddressOrDevice
    }
  }

  /// A sparse file can be said to end near the last place that a number holds: it is refused here,
  /// so that who reads need not think of sums that overflow.
  package func size() throws(IOFailure) -> ByteCount {
    ByteCount(
      try call(.inspect) { () throws(Errno) in
        let status = try SystemCalls.status(of: descriptor)
        // A disk has no length, only an end.
        let isDisk = status.st_mode & S_IFMT == S_IFBLK
        let size = isDisk ? try SystemCalls.end(of: descriptor) : Int(status.st_size)
        guard size <= Limits.fileSizeMax else { throw .fileTooLarge }
        return size
      })
  }

  package func read(
    into buffer: inout MutableRawSpan, at position: FilePosition
  ) throws(IOFailure) -> Int {
    do throws(Errno) {
      // SAFETY: the span keeps its bytes valid for the closure and tells their exact number.
      return try unsafe buffer.withUnsafeMutableBytes { bytes throws(Errno) in
        try unsafe SystemCalls.read(descriptor, into: bytes, at: position.bytes)
      }
    } catch {
      throw IOFailure(.read, path, error)
    }
  }

  package func readResident(
    into buffer: inout MutableRawSpan, at position: FilePosition
  ) throws(IOFailure) -> Int? {
    do throws(Errno) {
      // SAFETY: the span keeps its bytes valid for the closure and tells their exact number.
      return try unsafe buffer.withUnsafeMutableBytes { bytes throws(Errno) in
        try unsafe SystemCalls.readResident(descriptor, into: bytes, at: position.bytes)
      }
    } catch {
      throw IOFailure(.read, path, error)
    }
  }

  package func dataStart(from position: FilePosition) throws(IOFailure) -> FilePosition {
    do throws(Errno) {
      return FilePosition(try SystemCalls.dataStart(of: descriptor, from: position.bytes))
    } catch .noSuchAddressOrDevice {
      return FilePosition(max(position.bytes, try size().bytes))
    } catch .invalidArgument, .notSupported {
      // A disk, or a file system that knows of no holes.
      return position
    } catch {
      throw IOFailure(.read, path, error)
    }
  }

  package func write(_ bytes: RawSpan, at position: FilePosition) throws(IOFailure) {
    do throws(Errno) {
      // SAFETY: the span keeps its bytes valid for the closure and tells their exact number.
      try unsafe bytes.withUnsafeBytes { bytes throws(Errno) in
        try unsafe SystemCalls.write(descriptor, bytes, at: position.bytes)
      }
    } catch {
      throw IOFailure(.write, path, error)
    }
  }

  package func reserve(_ size: ByteCount) throws(IOFailure) {
    guard size > .zero else { return }
    do throws(Errno) {
      try SystemCalls.reserve(descriptor, from: 0, count: size.bytes)
    } catch .notSupported, .noFunction, .invalidArgument {
      // This file system cannot reserve; a full disk will then show at the write.
    } catch {
      throw IOFailure(.reserve, path, error)
    }
  }

  /// `ftruncate` to the length a file has already gives back reserved space on some file systems
  /// only, so that case goes by way of one byte more.
  package func truncate(to size: ByteCount) throws(IOFailure) {
    try call(.truncate) { () throws(Errno) in
      let before = try SystemCalls.status(of: descriptor)
      try SystemCalls.truncate(descriptor, to: size.bytes)
      guard Int(before.st_size) == size.bytes else { return }
      let after = try SystemCalls.status(of: descriptor)
      let page = max(4096, Int(after.st_blksize))
      if Int(after.st_blocks) * 512 > (size.bytes + page - 1) / page * page {
        giveBackReserve(beyond: size.bytes)
      }
    }
  }

  /// Reserved space is not data: that it could not be given back is no failure of the truncation.
  private func giveBackReserve(beyond size: Int) {
    do throws(Errno) {
      let start = (size + 4095) / 4096 * 4096
      try SystemCalls.punchHole(descriptor, from: start, count: Int(Int64.max) - start)
    } catch {
      return
    }
  }

  package func synchronize() throws(IOFailure) {
    try call(.synchronize) { () throws(Errno) in
      // fdatasync also makes the length durable: without it the bytes could not be found.
      try SystemCalls.synchronizeData(descriptor)
    }
  }

  package func map(_ size: ByteCount) throws(IOFailure) -> FileMapping {
    // The system refuses to map nothing.
    if size == .zero { return FileMapping(path: path, size: size, snapshot: PagedBytes()) }
    do throws(Errno) {
      // SAFETY: the mapping object takes the region over and unmaps it when released.
      let region = try unsafe SystemCalls.map(descriptor, size: size.bytes)
      return unsafe FileMapping(path: path, size: size, unmapping: region)
    } catch {
      throw IOFailure(.map, path, error)
    }
  }

  package func allocatedSize() throws(IOFailure) -> ByteCount {
    let status = try call(.inspect) { () throws(Errno) in
      try SystemCalls.status(of: descriptor)
    }
    return ByteCount(Int(status.st_blocks) * 512)
  }
}
