internal import EventModel
package import LogFormat
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

  /// Appends a range of the file to a buffer; returns whether all of it was there.
  package func append(
    _ range: Range<Int>, to buffer: inout ByteBuffer
  ) throws(IOFailure) -> Bool {
    let count = try buffer.appendUpTo(range.count) { (span) throws(IOFailure) in
      try read(at: range.lowerBound, into: &span)
    }
    return count == range.count
  }
}

extension ScannedFrame {
  /// Where the clear section stands in the file.
  package var clearRange: Range<Int> {
    let start = position + FrameHeader.size
    return start..<start + Int(header.clearSize)
  }

  /// Where the stored body stands in the file.
  package var bodyRange: Range<Int> {
    clearRange.upperBound..<clearRange.upperBound + Int(header.storedSize)
  }
}
