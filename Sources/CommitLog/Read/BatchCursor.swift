package import EventModel
package import LogFormat
package import StorageIO

/// What a reader meets: a batch, or the place where events are gone.
package enum CursorItem: Sendable {
  /// A batch and the index of its first record that was asked for.
  case batch(StoredBatch, from: Int)
  case gap(Gap)
}

/// Walks one partition's batches from a number on.
///
/// One owner; may block for the disk.
///
/// Every batch is checked before it is decoded. Where bytes are damaged it looks for the next sound
/// frame and says which events are missing in between; it never stops at damage and never passes
/// over it in silence (I4).
package final class BatchCursor {
  /// Where the snapshots come from: the writer's own state, or a follower's.
  package typealias SnapshotSource = @Sendable () throws(CommitLogFailure) -> LogSnapshot

  private let source: SnapshotSource
  /// Has the source look again; nil where its snapshots are always the newest.
  private let refresh: (@Sendable () throws(CommitLogFailure) -> Void)?
  private let mappings: MappingCache
  private let fileSystem: any FileSystem
  private let decompressor = BatchDecompressor()
  /// Batches of other devices are passed over; nil reads all.
  private let filter: DeviceFilter?
  /// Whether one batch or two are wanted: then the headers before one are read, and just that one.
  private let readsFew: Bool
  /// Whether it may wait for the disk; otherwise it throws `mightWait` where it might have to.
  private var waits: Bool
  var window: SegmentWindow?
  var position = 0
  /// The epoch at the position: frames of an older one are left over from before a cut.
  private var epoch: UInt16 = 0
  var lastTime: Timestamp?
  /// The batches of a sealed segment that hold the filter's devices, those still to come; nil where
  /// every batch has to be looked at.
  private var selection: ArraySlice<Int>?
  /// The next number to be read.
  package internal(set) var next: UInt64

  package init(
    from number: UInt64, of filter: DeviceFilter? = nil, mappings: MappingCache,
    fileSystem: any FileSystem, readsFew: Bool = false, waits: Bool = true,
    refresh: (@Sendable () throws(CommitLogFailure) -> Void)? = nil,
    source: @escaping SnapshotSource
  ) {
    self.refresh = refresh
    next = number
    self.filter = filter
    self.mappings = mappings
    self.fileSystem = fileSystem
    self.readsFew = readsFew
    self.waits = waits
    self.source = source
  }

  /// The next batch or gap below the high watermark; nil when there is none yet.
  package func read() throws(CommitLogFailure) -> CursorItem? {
    var snapshot = try source()
    while next < snapshot.highWatermark {
      // What of it is below the high watermark, nobody can tell.
      if let place = snapshot.unreadable, next >= place.number { break }
      guard let stretch = stretch(in: snapshot) else {
        return .gap(gap(upTo: snapshot.startNumber, in: snapshot, otherwise: .retired))
      }
      do throws(CommitLogFailure) {
        try open(stretch)
        if window?.isMissing == true, let newer = try newerSnapshot(without: stretch.segment) {
          window = nil
          snapshot = newer
          continue
        }
        select(stretch)
        if let item = try readFrame(of: stretch, in: snapshot) { return item }
      } catch {
        throw located(error, in: stretch)
      }
    }
    if let place = snapshot.unreadable { throw .unreadable(place) }
    return nil
  }

  /// What ``read()`` would return, where that waits for no disk; nil where it may, and where it
  /// fails: then nothing has changed.
  package func readResident() -> CursorItem?? {
    guard refresh == nil, filter == nil else { return nil }
    let before = (window, position, epoch, lastTime, next)
    waits = false
    defer { waits = true }
    do throws(CommitLogFailure) {
      return .some(try read())
    } catch {
      (window, position, epoch, lastTime, next) = before
      return nil
    }
  }

  /// A failure to read a segment, with the place: never a gap, for nothing is known to be lost.
  private func located(_ failure: CommitLogFailure, in stretch: Stretch) -> CommitLogFailure {
    let segment = stretch.segment
    guard let cause = failure.cause(ofNotReading: segment.path) else { return failure }
    let isOpen = window?.segment === segment
    return .unreadable(
      UnreadablePlace(
        cause: cause, path: segment.path, filePosition: isOpen ? position : nil,
        log: segment.added.log, number: next,
        nextSegment: segment.summary == nil ? nil : stretch.limit))
  }

  /// A segment to be read: how far its frames go, and up to which number it should hold records.
  struct Stretch {
    let segment: SegmentHandle
    let end: Int
    let nextNumber: UInt64
    let limit: UInt64
  }

  /// Where the next number is; nil if it was retired.
  private func stretch(in snapshot: LogSnapshot) -> Stretch? {
    guard next < snapshot.startNumber else {
      let index = Self.segmentIndex(of: next, in: snapshot)
      let end = snapshot.end(of: index)
      let isLast = index == snapshot.segments.count - 1
      return Stretch(
        segment: snapshot.segments[index], end: end.position, nextNumber: end.nextNumber,
        limit: isLast ? snapshot.highWatermark : snapshot.segments[index + 1].baseNumber)
    }
    // A reader in the middle of a retired segment still holds its file and finishes it.
    guard let segment = window?.segment, let summary = segment.summary,
      window?.isMissing == false, next >= segment.baseNumber, next < summary.nextNumber
    else { return nil }
    return Stretch(
      segment: segment, end: Int(summary.endPosition), nextNumber: summary.nextNumber,
      limit: summary.nextNumber)
  }

  /// The newest snapshot if a segment whose file is gone is no longer part of it: it was retired or
  /// replaced, not lost.
  private func newerSnapshot(
    without segment: SegmentHandle
  ) throws(CommitLogFailure) -> LogSnapshot? {
    try refresh?()
    let newer = try source()
    let id = segment.added.segmentID
    return newer.segments.contains { $0.added.segmentID == id } ? nil : newer
  }

  /// The next batch, decoded; without one where there is a gap.
  func readDecoded() throws(CommitLogFailure) -> (batch: DecodedBatch?, first: Int)? {
    guard let item = try read() else { return nil }
    guard case .batch(let stored, let first) = item else { return (nil, 0) }
    do throws(FormatError) {
      return (try stored.decode(with: decompressor), first)
    } catch {
      return (nil, 0)
    }
  }

  /// The next batch and the enqueue times of its records, in microseconds; without them where there
  /// is a gap.
  func readTimes() throws(CommitLogFailure) -> (batch: StoredBatch?, times: [Int64], first: Int)? {
    guard let item = try read() else { return nil }
    guard case .batch(let stored, let first) = item else { return (nil, [], 0) }
    do throws(FormatError) {
      return (stored, try stored.times(with: decompressor), first)
    } catch {
      return (nil, [], 0)
    }
  }

  /// Enqueue time of the next record that is there.
  package func timeOfNextRecord() throws(CommitLogFailure) -> Timestamp? {
    while let (batch, times, first) = try readTimes() {
      if batch != nil { return Timestamp(microseconds: times[first]) }
    }
    return nil
  }

  /// Enqueue time of the last record of the next batch that is there.
  package func lastTimeOfNextBatch() throws(CommitLogFailure) -> Timestamp? {
    while let (_, times, _) = try readTimes() {
      if let last = times.last { return Timestamp(microseconds: last) }
    }
    return nil
  }

  static func segmentIndex(of number: UInt64, in snapshot: LogSnapshot) -> Int {
    var low = 0
    var high = snapshot.segments.count
    while low < high {
      let middle = (low + high) / 2
      if snapshot.segments[middle].baseNumber <= number { low = middle + 1 } else { high = middle }
    }
    return max(0, low - 1)
  }

  /// Opens the segment and goes to the last place at or before the next number that is known.
  private func open(_ stretch: Stretch) throws(CommitLogFailure) {
    let segment = stretch.segment
    if let window, window.segment === segment { return }
    let isContinued = window?.segment.added.segmentID == segment.added.segmentID
    let end = stretch.end
    guard waits || mappings.isReady(segment) else {
      throw .io(.mightWait(for: segment.path))
    }
    do throws(IOFailure) {
      window = try SegmentWindow(
        segment, end: end, mappings: mappings, sizeMin: readsFew ? 1 << 10 : 16 << 10)
    } catch {
      throw CommitLogFailure(error)
    }
    let footer = mappings.footer(of: segment)
    selection = filter.flatMap { footer?.selection(of: $0, from: next) }
    // A segment that was sealed while it was read goes on at the same place.
    guard !isContinued else { return }
    position = FileHeader.size
    epoch = 0
    guard next > segment.baseNumber else { return }
    let number = next
    if let footer {
      let place = footer.firstBatch { $0.nextNumber > number }
      if let place, place < footer.batchCount, let batch = footer.batch(at: place) {
        try seek(
          to: batch.position, batch.baseNumber, batch.frameChecksum, end: end,
          size: Int(batch.frameSize))
      }
      return
    }
    if segment.summary != nil {
      segment.index.load { IndexFile.read(segment, fileSystem: fileSystem).entries }
    }
    if let (entry, following) = segment.index.entry(atOrBefore: next) {
      // A full batch has an entry of its own: then its frame is what stands in between.
      let size = following.map { Int(clamping: $0 - entry.position) }
      try seek(to: entry.position, entry.baseNumber, entry.frameChecksum, end: end, size: size)
    }
  }

  /// Goes to a frame if it is there and has the checksum that a shortcut names: shortcuts are never
  /// believed over the log (I6).
  private func seek(
    to place: UInt64, _ baseNumber: UInt64, _ checksum: UInt32, end: Int, size: Int? = nil
  ) throws(CommitLogFailure) {
    let place = Int(clamping: place)
    guard place < end, place % FrameHeader.alignment == 0, baseNumber <= next,
      let frame = try header(at: place, end: end, expecting: size), frame.checksum == checksum,
      frame.header.baseNumber == baseNumber
    else { return }
    position = place
    epoch = frame.header.epoch
  }

  /// Goes on to the next batch of a sealed segment that holds events of the filter's devices, or to
  /// the segment's end, past those that hold none.
  private func select(_ stretch: Stretch) {
    guard let segment = window?.segment, selection != nil else { return }
    guard let footer = mappings.footer(of: segment) else {
      selection = nil
      return
    }
    while let place = selection?.first {
      guard let batch = footer.batch(at: place) else {
        selection = nil
        return
      }
      if batch.nextNumber > next {
        guard batch.baseNumber > next else { return }
        next = batch.baseNumber
        position = Int(clamping: batch.position)
        return
      }
      selection?.removeFirst()
    }
    next = max(next, stretch.nextNumber)
    position = stretch.end
  }

  /// The sound header at a position, nil where there is none.
  ///
  /// Reads the whole frame at once where its size is known.
  func header(
    at position: Int, end: Int, expecting size: Int? = nil
  ) throws(CommitLogFailure) -> ScannedFrame? {
    let range = position..<position + FrameHeader.size
    guard let segment = window?.segment, try load(range, end: end, expecting: size) else {
      return nil
    }
    let seed = segment.identity.seed(at: FilePosition(position))
    do throws(FormatError) {
      let decoded = try window?.withBytes(range) { (bytes) throws(FormatError) in
        try FrameHeader.decode(bytes, at: 0, seed: seed)
      }
      guard let found = decoded ?? nil else { return nil }
      return ScannedFrame(position: position, header: found.header, checksum: found.checksum)
    } catch {
      throw .format(segment.path, position: position, error)
    }
  }

  /// The frame of the log that stands at the position.
  func currentFrame(end: Int) throws(CommitLogFailure) -> ScannedFrame? {
    guard let frame = try header(at: position, end: end), frame.end <= end,
      !RecoveryRule.isOlder(frame.header.epoch, than: epoch)
    else { return nil }
    return frame
  }

  private func load(
    _ range: Range<Int>, end: Int, expecting size: Int? = nil
  ) throws(CommitLogFailure) -> Bool {
    do throws(IOFailure) {
      return try window?.load(range, end: end, expecting: size, waits: waits) ?? false
    } catch {
      throw CommitLogFailure(error)
    }
  }

  /// Reads one frame of a segment; nil when it holds nothing that was asked for.
  private func readFrame(
    of stretch: Stretch, in snapshot: LogSnapshot
  ) throws(CommitLogFailure) -> CursorItem? {
    let end = stretch.end
    guard position + FrameHeader.size <= end, window?.isMissing == false else {
      return endSegment(stretch, in: snapshot)
    }
    guard let frame = try currentFrame(end: end) else {
      return try resynchronize(stretch, in: snapshot)
    }
    let header = frame.header
    if header.baseNumber > next { return .gap(gap(before: frame, in: snapshot)) }
    position = frame.end
    epoch = header.epoch
    guard header.nextNumber > next else { return nil }
    guard header.type == FrameHeader.FrameType.batch else {
      try pass(frame)
      return nil
    }
    return try readBatch(frame, end: end, in: snapshot)
  }

  /// Passes over the records of a frame that this program need not know; stops at any other.
  private func pass(_ frame: ScannedFrame) throws(CommitLogFailure) {
    if let segment = window?.segment,
      let unsupported = frame.unsupported(besides: FrameHeader.FrameType.batch)
    {
      throw .format(segment.path, position: frame.position, unsupported)
    }
    next = frame.header.nextNumber
  }

  private func readBatch(
    _ frame: ScannedFrame, end: Int, in snapshot: LogSnapshot
  ) throws(CommitLogFailure) -> CursorItem? {
    let header = frame.header
    if try isOfOthers(frame, end: end) {
      next = header.nextNumber
      return nil
    }
    guard let window, try load(frame.clearRange.lowerBound..<frame.bodyRange.upperBound, end: end)
    else { return .gap(gap(upTo: header.nextNumber, in: snapshot, otherwise: .damaged)) }
    guard let batch = window.batch(frame) else {
      let seed = window.segment.identity.seed(at: FilePosition(frame.position))
      let clear = window.withBytes(frame.clearRange) { Self.clear($0, header, seed: seed) }
      let times = try times(of: frame, span: clear?.span, end: end)
      return .gap(
        gap(
          upTo: header.nextNumber, in: snapshot, otherwise: .damaged, devices: clear?.devices,
          times: times))
    }
    let first = Int(next - header.baseNumber)
    next = header.nextNumber
    lastTime = header.baseTime
    return .batch(batch, from: first)
  }

  /// Whether a batch holds no event of the devices that are asked for, as its device set says.
  private func isOfOthers(_ frame: ScannedFrame, end: Int) throws(CommitLogFailure) -> Bool {
    guard let filter, let segment = window?.segment, try load(frame.clearRange, end: end) else {
      return false
    }
    let seed = segment.identity.seed(at: FilePosition(frame.position))
    do throws(FormatError) {
      let matches = try window?.withBytes(frame.clearRange) { (clear) throws(FormatError) in
        // A damaged device set tells nothing: the batch is read, and the damage reported.
        guard CRC32C.checksum(clear, seed: seed) == frame.header.clearChecksum else { return true }
        return try filter.matches(clear, frame.header)
      }
      return matches == false
    } catch {
      return false
    }
  }
}
