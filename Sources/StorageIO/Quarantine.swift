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
  /// The copy would survive a crash then.
  @discardableResult
  package func keep(
    _ range: Range<Int>, of file: any StorageFile, name: String
  ) throws(IOFailure) -> String {
    try prepare()
    let name = try freeName(name)
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
    try fileSystem.rename(path, to: directory.appending(try freeName(name)))
    try fileSystem.synchronizeDirectory(directory)
    try fileSystem.synchronizeDirectory(path.removingLastComponent())
  }

  private func prepare() throws(IOFailure) {
    guard try fileSystem.kind(of: directory) == nil else { return }
    try fileSystem.createDirectory(directory)
    try fileSystem.synchronizeDirectory(directory.removingLastComponent())
  }

  /// A crash inside recovery may have left a copy: it stays, the next one gets a number.
  private func freeName(_ base: String) throws(IOFailure) -> String {
    var name = base
    var number = 1
    while try fileSystem.kind(of: directory.appending(name)) != nil {
      name = "\(base).\(number)"
      number += 1
    }
    return name
  }
}
