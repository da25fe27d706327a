internal import EventModel
package import SystemPackage

/// The folder where recovery keeps what it takes out of a store (I7): a copy is synced before the
/// original goes.
package struct Quarantine: Sendable {
  private let directory: FilePath
  private let fileSystem: any FileSystem

  private static var copySize: Int { 256 << 10 }

  package init(_ directory: FilePath, fileSystem: any FileSystem) {
    self.directory = directory
    self.fileSystem = fileSystem
  }

  /// Copies a range of a file and returns the copy's name.
  ///
  /// The copy would survive a crash then. What an attempt before this one has kept under the name
  /// is not kept twice.
  @discardableResult
  package func keep(
    _ range: Range<Int>, of file: any StorageFile, name: String
  ) throws(IOFailure) -> String {
    try prepare()
    let (name, isKept) = try freeName(name) { (path) throws(IOFailure) in
      try renew(path, with: range, of: file)
    }
    if isKept { return name }
    let path = directory.appending(name)
    let copy = try fileSystem.open(path, .create)
    do throws(IOFailure) {
      try Self.copy(range, of: file, to: copy)
      try copy.synchronize()
      try fileSystem.synchronizeDirectory(directory)
    } catch {
      discard(path)
      throw error
    }
    return name
  }

  /// Makes sure of a copy that is there already; returns whether it is one of these bytes.
  ///
  /// They are written over themselves: the attempt that made the copy may have stopped at a failed
  /// sync, and the system then keeps bytes as clean that never reached the disk.
  private func renew(
    _ path: FilePath, with range: Range<Int>, of file: any StorageFile
  ) throws(IOFailure) -> Bool {
    do throws(IOFailure) {
      guard try fileSystem.kind(of: path) == .file else { return false }
      let copy = try fileSystem.open(path, .readWrite)
      guard try Self.isCopy(copy, of: range, of: file) else { return false }
      try Self.copy(range, of: file, to: copy)
      try copy.synchronize()
    } catch {
      guard error.isUnreadable, error.path == path else { throw error }
      return false
    }
    try fileSystem.synchronizeDirectory(directory)
    return true
  }

  /// Whether a file holds the bytes of a range of another one and nothing else.
  private static func isCopy(
    _ copy: any StorageFile, of range: Range<Int>, of file: any StorageFile
  ) throws(IOFailure) -> Bool {
    let end = min(range.upperBound, try file.size().bytes)
    guard try copy.size().bytes == end - range.lowerBound else { return false }
    var position = range.lowerBound
    while position < end {
      let count = min(end - position, copySize)
      let kept = try bytes(count, of: copy, at: position - range.lowerBound)
      guard kept.count == count, try kept == bytes(count, of: file, at: position) else {
        return false
      }
      position += count
    }
    return true
  }

  private static func bytes(
    _ count: Int, of file: any StorageFile, at position: Int
  ) throws(IOFailure) -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: count)
    var span = buffer.mutableSpan
    // SAFETY: bytes have no padding; the span does not outlive the array's access.
    var bytes = unsafe span.mutableBytes
    let found = try file.read(into: &bytes, at: FilePosition(position))
    buffer.removeLast(count - found)
    return buffer
  }

  /// Removes a copy that is not whole, so that attempts on a full disk do not fill it further.
  private func discard(_ path: FilePath) {
    do throws(IOFailure) {
      try fileSystem.remove(path)
    } catch {
      // It means nothing: no edit names it.
      return
    }
  }

  /// Writes a range of a file into another one, from its start.
  ///
  /// A hole stays one where it goes on behind more zeros than a writer leaves unsynced: file
  /// systems have called data a hole that had just been written, and a copy must not rest on that.
  package static func copy(
    _ range: Range<Int>, of file: any StorageFile, to copy: any StorageFile
  ) throws(IOFailure) {
    var buffer = [UInt8](repeating: 0, count: min(range.count, copySize))
    var position = range.lowerBound
    var end = position
    var zeroCount = 0
    while position < range.upperBound {
      if zeroCount >= Limits.unsyncedSizeMax {
        position = max(position, try file.dataStart(from: FilePosition(position)).bytes)
        guard position < range.upperBound else { break }
      }
      let wanted = min(range.upperBound - position, buffer.count)
      if wanted < buffer.count { buffer.removeLast(buffer.count - wanted) }
      var span = buffer.mutableSpan
      // SAFETY: bytes have no padding; the span does not outlive the array's access.
      var bytes = unsafe span.mutableBytes
      let count = try file.read(into: &bytes, at: FilePosition(position))
      guard count > 0 else { break }
      // SAFETY: as above.
      try unsafe copy.write(
        buffer.span.extracting(0..<count).bytes,
        at: FilePosition(position - range.lowerBound))
      zeroCount = buffer[..<count].allSatisfy { $0 == 0 } ? zeroCount + count : 0
      position += count
      end = position
    }
    // The range may end with a hole.
    let last = min(range.upperBound, try file.size().bytes)
    if end < last { try copy.truncate(to: ByteCount(last - range.lowerBound)) }
  }

  /// Moves a whole file that belongs to nothing.
  package func take(_ path: FilePath, name: String) throws(IOFailure) {
    try prepare()
    let (name, _) = try freeName(name) { _ in false }
    try fileSystem.rename(path, to: directory.appending(name))
    try fileSystem.synchronizeDirectory(directory)
    try fileSystem.synchronizeDirectory(path.removingLastComponent())
  }

  private func prepare() throws(IOFailure) {
    guard try fileSystem.kind(of: directory) == nil else { return }
    try fileSystem.createDirectory(directory)
    try fileSystem.synchronizeDirectory(directory.removingLastComponent())
  }

  /// A name that nothing has, or that of what will do.
  ///
  /// A crash inside recovery may have left a part of a copy: it stays, the next one gets a number.
  private func freeName(
    _ base: String, _ isKept: (FilePath) throws(IOFailure) -> Bool
  ) throws(IOFailure) -> (name: String, isKept: Bool) {
    var name = base
    var number = 1
    while try fileSystem.kind(of: directory.appending(name)) != nil {
      if try isKept(directory.appending(name)) { return (name, true) }
      name = "\(base).\(number)"
      number += 1
    }
    return (name, false)
  }
}
