package import EventModel
internal import Synchronization
package import SystemPackage

/// The bytes behind one or more names and open files of a ``MemoryFileSystem``.
final class MemoryInode: Sendable {
  struct Contents {
    var bytes: PagedBytes
    var reserved = 0
  }

  private let contents: Mutex<Contents>

  init(_ bytes: PagedBytes = PagedBytes()) {
    contents = Mutex(Contents(bytes: bytes))
  }

  /// A copy that shares its pages with the file.
  var snapshot: PagedBytes { contents.withLock { $0.bytes } }

  var size: Int { contents.withLock { $0.bytes.count } }

  /// What the file would take on a disk: whole pages, and the reserve.
  var allocatedSize: Int {
    contents.withLock { contents in
      let page = PagedBytes.pageSize
      return (max(contents.bytes.count, contents.reserved) + page - 1) / page * page
    }
  }

  func write(_ bytes: borrowing RawSpan, at position: Int) {
    contents.withLock { $0.bytes.write(bytes, at: position) }
  }

  func replace(with bytes: [UInt8]) {
    contents.withLock { $0.bytes = PagedBytes(bytes) }
  }

  func reserve(_ size: Int) {
    contents.withLock { $0.reserved = max($0.reserved, size) }
  }

  func truncate(to size: Int) {
    contents.withLock { contents in
      contents.bytes.resize(to: size)
      contents.reserved = 0
    }
  }
}

/// An open file of a ``MemoryFileSystem``.
///
/// Stays usable when its name is removed.
package final class MemoryFile: StorageFile {
  package let path: FilePath
  private let inode: MemoryInode
  private let isWritable: Bool

  init(path: FilePath, inode: MemoryInode, isWritable: Bool) {
    self.path = path
    self.inode = inode
    self.isWritable = isWritable
  }

  package func size() throws(IOFailure) -> ByteCount { ByteCount(inode.size) }

  package func read(
    into buffer: inout MutableRawSpan, at position: FilePosition
  ) throws(IOFailure) -> Int {
    inode.snapshot.read(into: &buffer, at: position.bytes)
  }

  package func write(_ bytes: RawSpan, at position: FilePosition) throws(IOFailure) {
    guard isWritable else { throw IOFailure(.write, path, .badFileDescriptor) }
    inode.write(bytes, at: position.bytes)
  }

  package func reserve(_ size: ByteCount) throws(IOFailure) {
    guard isWritable else { throw IOFailure(.reserve, path, .badFileDescriptor) }
    inode.reserve(size.bytes)
  }

  package func truncate(to size: ByteCount) throws(IOFailure) {
    guard isWritable else { throw IOFailure(.truncate, path, .invalidArgument) }
    inode.truncate(to: size.bytes)
  }

  package func synchronize() throws(IOFailure) {}

  package func map(_ size: ByteCount) throws(IOFailure) -> FileMapping {
    FileMapping(path: path, size: size, snapshot: inode.snapshot)
  }

  package func allocatedSize() throws(IOFailure) -> ByteCount { ByteCount(inode.allocatedSize) }
}
