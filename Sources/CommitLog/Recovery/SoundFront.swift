internal import EventModel
internal import LogFormat
internal import StorageIO
internal import Synchronization
internal import SystemPackage

/// The part of an active segment's file in front of the first place that the disk does not read,
/// as far as it has been looked at: for who scans it, and changes nothing.
final class SoundFront: FrameSource {
  private let below: any StorageFile
  private let end: Atomic<Int>
  private let failure = Mutex<IOFailure?>(nil)

  private static let sectorSize = 512

  init(_ below: any StorageFile) throws(IOFailure) {
    self.below = below
    end = Atomic(try below.size().bytes)
  }

  /// Where the sound part ends.
  var size: Int { end.load(ordering: .relaxed) }
  /// What kept the rest from being read; nil while nothing has.
  var cause: IOFailure? { failure.withLock { $0 } }

  func read(at position: Int, into buffer: inout MutableRawSpan) throws(IOFailure) -> Int {
    while true {
      let count = min(buffer.byteCount, size - position)
      guard count > 0 else { return 0 }
      do throws(IOFailure) {
        let place = FilePosition(position)
        if count == buffer.byteCount { return try below.read(into: &buffer, at: place) }
        return try read(first: count, into: &buffer, at: place)
      } catch {
        guard error.isUnreadable else { throw error }
        try cut(position..<position + count, error)
      }
    }
  }

  /// Reads no more than a part of what there is room for.
  private func read(
    first count: Int, into buffer: inout MutableRawSpan, at position: FilePosition
  ) throws(IOFailure) -> Int {
    var part = [UInt8](repeating: 0, count: count)
    var span = part.mutableSpan
    // SAFETY: bytes have no padding; the span does not outlive the array's access.
    var bytes = unsafe span.mutableBytes
    let found = try below.read(into: &bytes, at: position)
    for index in 0..<found {
      buffer.storeBytes(of: part[index], toByteOffset: index, as: UInt8.self)
    }
    return found
  }

  /// Ends the sound part at the first sector in a range that is not read.
  private func cut(_ range: Range<Int>, _ cause: IOFailure) throws(IOFailure) {
    var sector = [UInt8](repeating: 0, count: Self.sectorSize)
    let first = range.lowerBound / Self.sectorSize * Self.sectorSize
    for start in stride(from: first, to: range.upperBound, by: Self.sectorSize) {
      var span = sector.mutableSpan
      // SAFETY: bytes have no padding; the span does not outlive the array's access.
      var bytes = unsafe span.mutableBytes
      do throws(IOFailure) {
        _ = try below.read(into: &bytes, at: FilePosition(start))
      } catch {
        end.store(start, ordering: .relaxed)
        failure.withLock { $0 = cause }
        return
      }
    }
    throw cause
  }
}

extension SegmentScan {
  /// Scans what of a segment is in front of the first place that the disk does not read.
  ///
  /// - Returns: the scan, whose proven part may be shown; nil where nothing can be read.
  static func scan(
    frontOf file: any StorageFile, _ segment: SegmentHandle, closedEnd: SegmentSummary?,
    evidence: UInt64, context: LogContext
  ) -> (scan: SegmentScan, place: UnreadablePlace)? {
    do throws(CommitLogFailure) {
      let front = try CommitLogFailure.wrapping { () throws(IOFailure) in try SoundFront(file) }
      var end: Int
      var scan: SegmentScan
      repeat {
        // What was found before it was known where the part ends is looked at once more.
        end = front.size
        scan = try self.scan(
          segment, front, closedEnd: closedEnd, evidence: evidence, context: context)
      } while front.size < end
      guard let cause = front.cause, scan.header != nil else { return nil }
      let place = UnreadablePlace(
        cause: cause, path: segment.path, filePosition: end, log: segment.added.log,
        number: scan.proven.nextNumber, nextSegment: nil)
      return (scan, place)
    } catch {
      return nil
    }
  }
}
