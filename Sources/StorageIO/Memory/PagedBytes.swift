/// The bytes of a file in memory, held in pages that copies share until one of them is written to.
///
/// A snapshot costs one reference per page whatever was written before it: maps, durable images
/// and crash images of large files stay cheap.
package struct PagedBytes: Sendable, Hashable {
  package static let pageSize = 4096
  private static let zeroPage = [UInt8](repeating: 0, count: pageSize)

  /// Every page is whole; bytes beyond ``count`` are zero.
  private var pages: [[UInt8]] = []
  package private(set) var count = 0

  package init() {}

  package init(_ bytes: [UInt8]) {
    write(bytes, at: 0)
  }

  /// Sets the length: bytes gained are zeros, bytes lost are gone.
  package mutating func resize(to size: Int) {
    precondition(size >= 0, "length \(size) is negative")
    let pageCount = (size + Self.pageSize - 1) / Self.pageSize
    if pageCount < pages.count {
      pages.removeSubrange(pageCount...)
    } else {
      pages.append(contentsOf: repeatElement(Self.zeroPage, count: pageCount - pages.count))
    }
    if size < count, size % Self.pageSize != 0 {
      let kept = size % Self.pageSize
      pages[pageCount - 1].replaceSubrange(
        kept..., with: repeatElement(0, count: Self.pageSize - kept))
    }
    count = size
  }

  /// Writes bytes at a position, lengthening with zeros up to it where needed.
  package mutating func write(_ bytes: borrowing RawSpan, at position: Int) {
    let end = position + bytes.byteCount
    guard !bytes.isEmpty else { return }
    if end > count { resize(to: end) }
    var written = 0
    while written < bytes.byteCount {
      let start = (position + written) % Self.pageSize
      let length = min(Self.pageSize - start, bytes.byteCount - written)
      let piece = bytes.extracting(written..<(written + length))
      // SAFETY: start + length ≤ pageSize, the page's length; both outlive the closures.
      unsafe pages[(position + written) / Self.pageSize].withUnsafeMutableBytes { page in
        unsafe piece.withUnsafeBytes { source in
          unsafe UnsafeMutableRawBufferPointer(rebasing: page[start...]).copyMemory(from: source)
        }
      }
      written += length
    }
  }

  package mutating func write(_ bytes: [UInt8], at position: Int) {
    // SAFETY: bytes have no padding, every one of them is initialised.
    write(unsafe bytes.span.bytes, at: position)
  }

  /// Reads from a position and returns how many bytes there were, at most the buffer's length.
  package func read(into buffer: inout MutableRawSpan, at position: Int) -> Int {
    let wanted = min(buffer.byteCount, max(0, count - position))
    // SAFETY: both lengths are checked below; the buffer and the page outlive their closures.
    unsafe buffer.withUnsafeMutableBytes { target in
      var done = 0
      while done < wanted {
        let start = (position + done) % Self.pageSize
        let length = min(Self.pageSize - start, wanted - done)
        unsafe pages[(position + done) / Self.pageSize].withUnsafeBytes { page in
          // SAFETY: start + length ≤ pageSize and done + length ≤ wanted ≤ the buffer's length.
          unsafe UnsafeMutableRawBufferPointer(rebasing: target[done...])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: page[start..<(start + length)]))
        }
        done += length
      }
    }
    return wanted
  }

  /// The bytes of a range as far as they exist.
  package func slice(_ range: Range<Int>) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: min(range.count, max(0, count - range.lowerBound)))
    var span = result.mutableSpan
    // SAFETY: bytes have no padding, and any value is one.
    var buffer = unsafe span.mutableBytes
    _ = read(into: &buffer, at: range.lowerBound)
    return result
  }

  /// All of the bytes in one array.
  package var array: [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(pages.count * Self.pageSize)
    for page in pages { result.append(contentsOf: page) }
    result.removeSubrange(count...)
    return result
  }
}
