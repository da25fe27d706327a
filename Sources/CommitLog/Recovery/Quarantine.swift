internal import EventModel
package import LogFormat
package import StorageIO
package import SystemPackage

/// A piece of a file that recovery takes out of the log.
package struct QuarantinedTail: Hashable, Sendable {
  package let range: Range<Int>
  package let verdict: TailVerdict
  /// Its file's name in the quarantine.
  package let name: String
}

/// Where recovery keeps what it cuts (I7): copied and synced before the original goes.
package struct Quarantine: Sendable {
  private let root: FilePath
  private let fileSystem: any FileSystem

  package init(root: FilePath, fileSystem: any FileSystem) {
    self.root = root
    self.fileSystem = fileSystem
  }

  private var directory: FilePath { root.appending(FileNames.quarantine) }

  /// Copies a range of a file. Returns when the copy would survive a crash.
  package func keep(
    _ range: Range<Int>, of file: any StorageFile, name: String, verdict: TailVerdict
  ) throws(IOFailure) -> QuarantinedTail {
    try prepare()
    let base = "\(name).\(verdict.label).\(range.lowerBound)"
    let name = try freeName(base)
    let copy = try fileSystem.open(directory.appending(name), .create)
    var buffer = ByteBuffer(capacity: 256 << 10)
    var position = range.lowerBound
    while position < range.upperBound {
      buffer.removeAll()
      let wanted = min(range.upperBound - position, 256 << 10)
      let count = try buffer.appendUpTo(wanted) { (span) throws(IOFailure) in
        try file.read(into: &span, at: FilePosition(position))
      }
      guard let count, count > 0 else { break }
      try buffer.withBytes { (bytes) throws(IOFailure) in
        try copy.write(bytes, at: FilePosition(position - range.lowerBound))
      }
      position += count
    }
    try copy.synchronize()
    try fileSystem.synchronizeDirectory(directory)
    return QuarantinedTail(range: range, verdict: verdict, name: name)
  }

  /// Cuts what was kept from its file, and makes that durable.
  package func remove(_ tail: QuarantinedTail, from file: any StorageFile) throws(IOFailure) {
    try file.truncate(to: ByteCount(tail.range.lowerBound))
    try file.synchronize()
  }

  /// Moves a whole file that belongs to nothing.
  package func take(_ path: FilePath, name: String) throws(IOFailure) {
    try prepare()
    let target = directory.appending(try freeName(name))
    try fileSystem.rename(path, to: target)
    try fileSystem.synchronizeDirectory(directory)
    try fileSystem.synchronizeDirectory(path.removingLastComponent())
  }

  private func prepare() throws(IOFailure) {
    guard try fileSystem.kind(of: directory) == nil else { return }
    try fileSystem.createDirectory(directory)
    try fileSystem.synchronizeDirectory(root)
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

extension TailVerdict {
  /// The verdict in file names and reports.
  package var label: String {
    switch self {
    case .clean: "clean"
    case .tornTail: "torn-tail"
    case .reorderedTail: "reordered-tail"
    case .undecidableTail: "undecidable-tail"
    case .lostSuffix: "lost-suffix"
    }
  }
}
