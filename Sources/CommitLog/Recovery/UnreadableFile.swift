internal import EventModel
package import LogFormat
package import StorageIO
package import SystemPackage

/// Stands in for an active segment's file that cannot be read, or not be opened, now: it takes
/// nothing and shows nothing.
///
/// What the file holds is not known, so nothing of it is concluded: no gap, no end, no cut. Its log
/// shows its other segments and throws where this one begins.
final class UnreadableFile: ReadOnlyFile {
  let path: FilePath
  /// What kept it from being read.
  let cause: IOFailure
  var refusal: Errno { cause.reason }

  init(_ path: FilePath, _ cause: IOFailure) {
    self.path = path
    self.cause = cause
  }

  func size() throws(IOFailure) -> ByteCount { throw cause }
  func read(into buffer: inout MutableRawSpan, at position: FilePosition) throws(IOFailure) -> Int {
    throw cause
  }
}

/// The place where a log cannot be read now.
package struct UnreadablePlace: Hashable, Sendable {
  package let cause: IOFailure
  /// The segment's file.
  package let path: FilePath
  /// Where in the file; nil where none of it can be had.
  package let filePosition: Int?
  package let log: ManifestEdit.LogID
  /// The first number that could not be read.
  package let number: UInt64
  /// The number from which on a later segment can be tried; nil where this is the last one.
  package let nextSegment: UInt64?

  package init(
    cause: IOFailure, path: FilePath, filePosition: Int?, log: ManifestEdit.LogID, number: UInt64,
    nextSegment: UInt64?
  ) {
    self.cause = cause
    self.path = path
    self.filePosition = filePosition
    self.log = log
    self.number = number
    self.nextSegment = nextSegment
  }

  /// A file that the manifest does not name, or a folder that is not listed: behind all that is
  /// named.
  init(unnamed cause: IOFailure, in log: ManifestEdit.LogID, behind number: UInt64) {
    self.init(
      cause: cause, path: cause.path, filePosition: nil, log: log, number: number,
      nextSegment: nil)
  }
}

extension UnreadablePlace: CustomStringConvertible {
  package var description: String {
    let place = filePosition.map { "\(path) at \($0)" } ?? "\(path)"
    let rest = nextSegment.map { "; reading can go on from number \($0)" } ?? ""
    return "\(log.text) cannot be read from number \(number) on, in \(place): \(cause)\(rest)"
  }
}

extension CommitLogFailure {
  /// What kept one of these files from being read, if nothing else went wrong.
  func cause(ofNotReading paths: FilePath...) -> IOFailure? {
    switch self {
    case .io(let failure), .poisoned(let failure):
      failure.isUnreadable && paths.contains(failure.path) ? failure : nil
    default: nil
    }
  }
}
