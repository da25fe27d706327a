internal import EventModel

/// Where frames are read from: a file, a map or a piece of memory.
package protocol FrameSource<Failure> {
  associatedtype Failure: Error

  /// The number of bytes there are. A hint: reads may come back short.
  var size: Int { get }

  /// Reads into the whole buffer; returns fewer bytes only at the end.
  func read(at position: Int, into buffer: inout MutableRawSpan) throws(Failure) -> Int

  /// Where the next bytes stand that may be other than zero, from a position on: files know their
  /// holes. A hint.
  func dataStart(from position: Int) throws(Failure) -> Int
}

extension FrameSource {
  /// One that knows of no holes.
  package func dataStart(from position: Int) throws(Failure) -> Int { position }

  /// Appends a range of the bytes to a buffer; returns whether all of it was there.
  package func append(
    _ range: Range<Int>, to buffer: inout ByteBuffer
  ) throws(Failure) -> Bool {
    let count = try buffer.appendUpTo(range.count) { (span) throws(Failure) in
      try read(at: range.lowerBound, into: &span)
    }
    return count == range.count
  }
}

/// A frame whose header's checksum holds at its position.
package struct ScannedFrame: Hashable, Sendable {
  package let position: Int
  package let header: FrameHeader
  /// The header's checksum, which the next frame's chain repeats.
  package let checksum: UInt32

  package init(position: Int, header: FrameHeader, checksum: UInt32) {
    self.position = position
    self.header = header
    self.checksum = checksum
  }

  package var end: Int { position + header.frameSize }

  /// Why a program must not go on behind this frame in a file whose records are of one type; nil
  /// where it knows the frame or may pass over it.
  package func unsupported(besides type: UInt8) -> FormatError? {
    switch header.type {
    case type, FrameHeader.FrameType.mark, FrameHeader.FrameType.epoch: nil
    case FrameHeader.FrameType.ignorable...: nil
    default: .unsupportedFeatures(UInt32(header.type))
    }
  }

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

/// A frame of a later program: its checksum holds, and its header says what this program does not
/// know.
package struct UnsupportedFrame: Hashable, Sendable {
  package let position: Int
  package let error: FormatError
}

/// What a scan found, in the order of the file.
package struct ScanResult: Sendable {
  package var frames: [ScannedFrame] = []
  /// The position behind the last byte that is not zero, at least the start of the scan.
  package var endOfData: Int
  /// The first frame that this program cannot read although its checksum holds.
  package var unsupported: UnsupportedFrame?

  package init(endOfData: Int) { self.endOfData = endOfData }
}

/// Finds the frames of an append-only file from a position on: the same for every kind of file,
/// for the engine and for fsck (format-spec §5.1).
///
/// Hops from header to header; where a header is not sound, it tries every following multiple of
/// 64 bytes until one is. Only checksums decide, and they are seeded with store, file, salt and
/// position, so nothing but a frame written to this place of this file is ever found.
///
/// The file may be written meanwhile, frame after frame: one is missing only if it was not there
/// when a later one already was.
package struct FrameScanner<Source: FrameSource>: ~Copyable {
  private let source: Source
  private let identity: FrameIdentity
  private var window = ByteBuffer(capacity: 4 << 10)
  private var windowStart = 0

  private static var hopWindow: Int { 4 << 10 }
  private static var searchWindow: Int { 256 << 10 }

  package init(_ source: Source, identity: FrameIdentity) {
    self.source = source
    self.identity = identity
  }

  /// Scans from `start`, which must be a multiple of 64, to the end of the file.
  package mutating func scan(from start: Int) throws(Source.Failure) -> ScanResult {
    var result = ScanResult(endOfData: start)
    var position = start
    var isSearching = false
    var endOfFrames = start
    /// The last frame that was found behind a place without one.
    var known: Int?
    while position < source.size {
      let available = try load(
        position, FrameHeader.size, window: isSearching ? Self.searchWindow : Self.hopWindow)
      if available >= FrameHeader.size, let frame = decode(position, &result) {
        if isSearching, position != known {
          // What stands before it may have been written since it was looked for.
          known = position
          position = endOfFrames
          window.removeAll()
          isSearching = false
          continue
        }
        result.frames.append(frame)
        result.endOfData = max(result.endOfData, min(frame.end, source.size))
        position = frame.end
        endOfFrames = position
        isSearching = false
      } else {
        let zeros = window.zeroCount(from: position - windowStart)
        if zeros < FrameHeader.alignment {
          noteData(position, min(FrameHeader.alignment, available), &result)
        }
        position += max(1, zeros / FrameHeader.alignment) * FrameHeader.alignment
        if position - result.endOfData >= Limits.unsyncedSizeMax {
          position = try behindHole(from: position)
        }
        isSearching = true
      }
    }
    return result
  }

  /// The place of a frame that the next data may be a part of: a hole may have any size.
  ///
  /// Asked only where more zeros were read than a writer leaves unsynced: file systems have called
  /// data a hole that had just been written, and what recovery cuts must not rest on that.
  private func behindHole(from position: Int) throws(Source.Failure) -> Int {
    let data = min(source.size, try source.dataStart(from: position))
    return max(position, data / FrameHeader.alignment * FrameHeader.alignment)
  }

  private func decode(_ position: Int, _ result: inout ScanResult) -> ScannedFrame? {
    let index = position - windowStart
    let seed = identity.seed(at: FilePosition(position))
    return window.withBytes { (bytes) -> ScannedFrame? in
      guard FrameHeader.bearsMagic(bytes, at: index) else { return nil }
      do throws(FormatError) {
        guard let (header, checksum) = try FrameHeader.decode(bytes, at: index, seed: seed) else {
          return nil
        }
        return ScannedFrame(position: position, header: header, checksum: checksum)
      } catch {
        result.unsupported =
          result.unsupported ?? UnsupportedFrame(position: position, error: error)
        return nil
      }
    }
  }

  private func noteData(_ position: Int, _ count: Int, _ result: inout ScanResult) {
    var index = position - windowStart + count - 1
    while index >= position - windowStart {
      if window.load(at: index, as: UInt8.self) != 0 {
        result.endOfData = max(result.endOfData, windowStart + index + 1)
        return
      }
      index -= 1
    }
  }

  /// Makes bytes at `position` available and returns how many there are, up to `count`.
  private mutating func load(
    _ position: Int, _ count: Int, window size: Int
  ) throws(Source.Failure) -> Int {
    if position < windowStart || position + count > windowStart + window.count {
      window.removeAll()
      windowStart = position
      let source = source
      // Room for what is not there would cost more than a small file's scan.
      let room = max(count, min(size, source.size - position))
      _ = try window.appendUpTo(room) { span throws(Source.Failure) in
        try source.read(at: position, into: &span)
      }
    }
    return min(count, windowStart + window.count - position)
  }

  /// Whether a frame's clear section and stored body are what its header says.
  package mutating func isIntact(_ frame: ScannedFrame) throws(Source.Failure) -> Bool {
    let header = frame.header
    let clearSize = Int(header.clearSize)
    let size = clearSize + Int(header.storedSize)
    guard size > 0 else { return true }
    guard frame.position + FrameHeader.size + size <= source.size else { return false }
    let available = try load(frame.position + FrameHeader.size, size, window: size)
    guard available >= size else { return false }
    let start = frame.position + FrameHeader.size - windowStart
    let seed = identity.seed(at: FilePosition(frame.position))
    return window.withBytes(start..<start + size) { bytes in
      CRC32C.checksum(bytes.extracting(0..<clearSize), seed: seed) == header.clearChecksum
        && CRC32C.checksum(bytes.extracting(clearSize..<size), seed: seed) == header.bodyChecksum
    }
  }
}
