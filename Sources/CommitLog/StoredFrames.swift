internal import EventModel
internal import LogFormat
package import StorageIO

/// A file's bytes, up to a size, as the scanner reads them.
package struct StoredFrames: FrameSource {
  package let file: any StorageFile
  package let size: Int

  package init(_ file: any StorageFile, size: Int) {
    self.file = file
    self.size = size
  }

  package func read(at position: Int, into buffer: inout MutableRawSpan) throws(IOFailure) -> Int {
    try file.read(into: &buffer, at: FilePosition(position))
  }

  package func dataStart(from position: Int) throws(IOFailure) -> Int {
    try file.dataStart(from: FilePosition(position)).bytes
  }
}
