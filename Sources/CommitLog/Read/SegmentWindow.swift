internal import EventModel
internal import LogFormat
internal import StorageIO

/// A piece of a segment in private memory, where checksums are computed and batches decoded: what
/// was verified is what is used, whatever happens to the file meanwhile.
///
/// One owner.
final class SegmentWindow {
  private enum Source {
    case mapping(FileMapping)
    case file(any StorageFile)
    /// The segment's file is gone.
    case missing
  }

  let segment: SegmentHandle
  private let source: Source
  /// Shared with the batches that were found in it.
  private var bytes = SharedBytes(ByteBuffer(unalignedCapacity: 0))
  /// Whether there are any such batches: their bytes are never written to again.
  private var isShared = false
  private var start = 0
  /// Bytes to read at once: small after a seek, larger while reading on.
  private var size: Int
  private let sizeMin: Int
  private static let sizeMax = 256 << 10

  /// - Parameters:
  ///   - segment: what is read.
  ///   - end: where its frames end.
  ///   - mappings: where maps of sealed segments are kept.
  ///   - sizeMin: bytes to read after a seek.
  /// - Throws: ``IOFailure`` where the file cannot be opened.
  init(
    _ segment: SegmentHandle, end: Int, mappings: MappingCache, sizeMin: Int = 16 << 10
  ) throws(IOFailure) {
    self.segment = segment
    self.sizeMin = sizeMin
    size = sizeMin
    if let file = segment.activeFile {
      source = .file(file)
      return
    }
    do throws(IOFailure) {
      source = .mapping(try mappings.mapping(of: segment, size: end))
    } catch {
      guard error.isNoFile else { throw error }
      source = .missing
    }
  }

  /// Whether the segment's file is not there at all.
  var isMissing: Bool {
    if case .missing = source { true } else { false }
  }

  /// How far there can be bytes of the segment's frames, which end at a place: a file may be
  /// shorter than they once were.
  func reach(_ end: Int) -> Int {
    guard case .mapping(let mapping) = source else { return end }
    return min(end, mapping.size.bytes)
  }

  /// Makes a range available, as far as the segment's frames go.
  ///
  /// - Parameters:
  ///   - range: what is asked for.
  ///   - end: where the segment's frames end.
  ///   - expected: bytes that will be asked for from the range's start on, where that is known.
  ///   - waits: whether it may wait for the disk.
  /// - Returns: whether all of the range is available.
  /// - Throws: ``IOFailure``; `mightWait` where it may not wait for the disk and might have to.
  func load(
    _ range: Range<Int>, end: Int, expecting expected: Int? = nil, waits: Bool = true
  ) throws(IOFailure) -> Bool {
    guard range.upperBound <= end else { return false }
    if range.lowerBound >= start, range.upperBound <= start + bytes.buffer.count { return true }
    // Reading on asks for more at once than a seek does.
    let readsOn = range.lowerBound >= start && range.lowerBound <= start + bytes.buffer.count
    size = readsOn ? min(size * 2, Self.sizeMax) : sizeMin
    let position = range.lowerBound
    let wanted = max(range.count, expected.map { min($0, Self.sizeMax) } ?? size)
    let count = available(min(wanted, end - position), at: position)
    start = position
    makeRoom(count)
    // The file may be shorter than its frames once were.
    guard count > 0 else { return range.isEmpty }
    do throws(IOFailure) {
      try read(count, at: position, waits: waits)
    } catch {
      // What was to be read ahead keeps nobody from what is asked for.
      let needed = available(range.count, at: position)
      guard error.isUnreadable, needed < count else { throw error }
      size = sizeMin
      bytes.buffer.removeAll()
      try read(needed, at: position, waits: waits)
    }
    return range.upperBound <= start + bytes.buffer.count
  }

  /// Forgets what was read; batches that share it keep it.
  private func makeRoom(_ count: Int) {
    if !isShared, bytes.buffer.capacity >= count {
      bytes.buffer.removeAll()
    } else {
      bytes = SharedBytes(ByteBuffer(unalignedCapacity: count))
      isShared = false
    }
  }

  private func read(_ count: Int, at position: Int, waits: Bool) throws(IOFailure) {
    let source = source
    _ = try bytes.buffer.appendUpTo(count) { (room) throws(IOFailure) in
      switch source {
      case .missing: return 0
      case .file(let file):
        if waits { return try file.read(into: &room, at: FilePosition(position)) }
        guard let count = try file.readResident(into: &room, at: FilePosition(position)) else {
          throw .mightWait(for: file.path)
        }
        return count
      case .mapping(let mapping):
        guard waits || mapping.isResident(position..<position + count) else {
          throw .mightWait(for: mapping.path)
        }
        try mapping.copy(into: &room, from: FilePosition(position))
        return count
      }
    }
  }

  /// A map ends where its file did when it was made.
  private func available(_ count: Int, at position: Int) -> Int {
    guard case .mapping(let mapping) = source else { return count }
    return max(0, min(count, mapping.size.bytes - position))
  }

  /// Gives bytes that `load` made available.
  func withBytes<Result, Failure: Error>(
    _ range: Range<Int>, _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try bytes.buffer.withBytes(place(of: range), body)
  }

  /// The batch whose sections `load` made available, if their checksums hold.
  func batch(_ frame: ScannedFrame) -> StoredBatch? {
    isShared = true
    return StoredBatch(
      frame.header, at: place(of: frame.clearRange.lowerBound..<frame.bodyRange.upperBound),
      of: bytes, seed: segment.identity.seed(at: FilePosition(frame.position)))
  }

  private func place(of range: Range<Int>) -> Range<Int> {
    range.lowerBound - start..<range.upperBound - start
  }
}
