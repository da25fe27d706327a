internal import CSystemShims
package import EventModel
internal import Glibc
package import SystemPackage

/// A read-only view of a file's bytes, kept alive by its readers.
///
/// Its pages are touched by guarded C functions alone: a page that has vanished (the file was
/// truncated, the disk failed) is an error, not a signal. The guarded copy also computes the
/// checksum, so what was verified is what the caller holds.
@safe package final class FileMapping: Sendable {
  package let path: FilePath
  package let size: ByteCount

  /// The mapped region, unmapped with this object; nil for a view of bytes in memory.
  // SAFETY: never written after init; the region lives exactly as long as this object.
  private nonisolated(unsafe) let region: UnsafeRawPointer?
  private let snapshot: PagedBytes

  /// A view of bytes in memory.
  package init(path: FilePath, size: ByteCount, snapshot: PagedBytes) {
    self.path = path
    self.size = size
    // SAFETY: there is no region to keep.
    unsafe self.region = nil
    self.snapshot = snapshot
  }

  /// Takes over a region of `size` bytes mapped by the system.
  @unsafe init(path: FilePath, size: ByteCount, unmapping region: UnsafeRawPointer) {
    self.path = path
    self.size = size
    // SAFETY: the caller hands the region over; `deinit` unmaps it.
    unsafe self.region = region
    snapshot = PagedBytes()
  }

  deinit {
    // SAFETY: the region and its length are what mmap returned; nobody else unmaps it.
    if let region = unsafe region {
      unsafe _ = munmap(UnsafeMutableRawPointer(mutating: region), size.bytes)
    }
  }

  /// Copies `buffer.byteCount` bytes beginning at `position`, which must lie inside the map, and
  /// returns their CRC32C continued from `seed`.
  package func copy(
    into buffer: inout MutableRawSpan, from position: FilePosition, seed: UInt32
  ) throws(IOFailure) -> UInt32 {
    var checksum = seed
    // SAFETY: the checksum is a variable of this function, which outlives the call.
    try unsafe copy(into: &buffer, from: position, checksum: &checksum)
    return checksum
  }

  /// The same without a checksum: for bytes whose parts are checked by who uses them.
  package func copy(
    into buffer: inout MutableRawSpan, from position: FilePosition
  ) throws(IOFailure) {
    // SAFETY: the guarded copy takes nil for no checksum.
    try unsafe copy(into: &buffer, from: position, checksum: nil)
  }

  private func copy(
    into buffer: inout MutableRawSpan, from position: FilePosition,
    checksum: UnsafeMutablePointer<UInt32>?
  ) throws(IOFailure) {
    precondition(
      position.bytes <= size.bytes && buffer.byteCount <= size.bytes - position.bytes,
      "\(buffer.byteCount) bytes at \(position) lie outside a map of \(size)")
    // SAFETY: the caller vouches for the checksum, which both hand on to C code for this call.
    let isComplete =
      if unsafe region == nil {
        unsafe copySnapshot(into: &buffer, from: position, checksum: checksum)
      } else {
        unsafe copyRegion(into: &buffer, from: position, checksum: checksum)
      }
    guard isComplete else { throw IOFailure(.mappedRead, path, .ioError) }
  }

  /// Whether copying a range would wait for no disk, as far as the system tells.
  package func isResident(_ range: Range<Int>) -> Bool {
    let range = range.clamped(to: 0..<size.bytes)
    // SAFETY: the range lies inside the region, which outlives the call; the system writes one byte
    // for each page.
    return unsafe withUnsafeTemporaryAllocation(
      of: UInt8.self, capacity: range.count / Self.pageSize + 2
    ) { pages in
      guard let region = unsafe region, let first = pages.baseAddress, !range.isEmpty else {
        return true
      }
      let start = range.lowerBound / Self.pageSize * Self.pageSize
      let count = range.upperBound - start
      let address = unsafe UnsafeMutableRawPointer(mutating: region + start)
      guard unsafe mincore(address, count, first) == 0 else { return false }
      let pageCount = (count + Self.pageSize - 1) / Self.pageSize
      return unsafe pages.prefix(pageCount).allSatisfy { $0 & 1 == 1 }
    }
  }

  private static let pageSize = sysconf(Int32(_SC_PAGESIZE))

  private func copySnapshot(
    into buffer: inout MutableRawSpan, from position: FilePosition,
    checksum: UnsafeMutablePointer<UInt32>?
  ) -> Bool {
    guard snapshot.read(into: &buffer, at: position.bytes) == buffer.byteCount else { return false }
    // SAFETY: the span keeps its bytes valid for the closure and tells their exact number; the
    // checksum is a variable of the caller's.
    unsafe buffer.withUnsafeBytes { bytes in
      guard let checksum = unsafe checksum else { return }
      unsafe checksum.pointee = millrace_crc32c(
        checksum.pointee, bytes.baseAddress, bytes.count)
    }
    return true
  }

  private func copyRegion(
    into buffer: inout MutableRawSpan, from position: FilePosition,
    checksum: UnsafeMutablePointer<UInt32>?
  ) -> Bool {
    // SAFETY: the caller checked the range against the region; the guarded copy turns a page that
    // has vanished into a result; `self`, and so the region, outlives the call.
    unsafe buffer.withUnsafeMutableBytes { target in
      guard let region = unsafe region, let start = target.baseAddress else { return true }
      return unsafe millrace_guarded_copy(
        start, region + position.bytes, target.count, checksum) == 0
    }
  }
}
