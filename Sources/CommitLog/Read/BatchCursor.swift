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
  private let mappings: MappingCache
  private let fileSystem: any FileSystem
  private let decompressor = BatchDecompressor()
  private var window: SegmentWindow?
  private var position = 0
  /// The epoch at the position: frames of an older one are left over from before a cut.
  private var epoch: UInt16 = 0
  private var lastTime: Timestamp?
  /// The next number to be read.
  package private(set) var next: UInt64

  package init(
    from number: UInt64, mappings: MappingCache, fileSystem: any FileSystem,
    source: @escaping SnapshotSource
  ) {
    next = number
    self.mappings = mappings
    self.fileSystem = fileSystem
    self.source = source
  }

  /// The next batch or gap below the high watermark; nil when there is none yet.
  package func read() throws(CommitLogFailure) -> CursorItem? {
    let snapshot = try source()
    while next < snapshot.highWatermark {
      if next < snapshot.startNumber {
        return .gap(gap(upTo: snapshot.startNumber, in: snapshot, otherwise: .retired))
      }
      let index = Self.segmentIndex(of: next, in: snapshot)
      try open(index, in: snapshot)
      if let item = try readFrame(of: index, in: snapshot) { return item }
    }
    return nil
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

  /// Enqueue time of the next record that is there.
  package func timeOfNextRecord() throws(CommitLogFailure) -> Timestamp? {
    while let (batch, first) = try readDecoded() {
      if let batch { return batch.time(at: first) }
    }
    return nil
  }

  /// Enqueue time of the last record of the next batch that is there.
  package func lastTimeOfNextBatch() throws(CommitLogFailure) -> Timestamp? {
    while let (batch, _) = try readDecoded() {
      if let batch { return batch.time(at: batch.count - 1) }
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
  private func open(_ index: Int, in snapshot: LogSnapshot) throws(CommitLogFailure) {
    let segment = snapshot.segments[index]
    if let window, window.segment === segment { return }
    let isContinued = window?.segment.added.segmentID == segment.added.segmentID
    let end = snapshot.end(of: index).position
    do throws(IOFailure) {
      window = try SegmentWindow(segment, end: end, mappings: mappings)
    } catch {
      throw CommitLogFailure(error)
    }
    // A segment that was sealed while it was read goes on at the same place.
    guard !isContinued else { return }
    if segment.summary != nil {
      segment.index.load { IndexFile.read(segment, fileSystem: fileSystem).entries }
    }
    position = FileHeader.size
    epoch = 0
    if next > segment.baseNumber, let entry = segment.index.entry(atOrBefore: next),
      entry.position < UInt64(end), try holds(entry, end: end)
    {
      position = Int(entry.position)
      epoch = entry.epoch
    }
  }

  /// Whether the frame that an index entry points to is there: entries are never believed over
  /// the log (I6).
  private func holds(_ entry: IndexEntry, end: Int) throws(CommitLogFailure) -> Bool {
    let position = Int(entry.position)
    guard position % FrameHeader.alignment == 0,
      let frame = try header(at: position, end: end)
    else { return false }
    return frame.checksum == entry.frameChecksum && frame.header.baseNumber == entry.baseNumber
  }

  /// The sound header at a position, nil where there is none.
  private func header(at position: Int, end: Int) throws(CommitLogFailure) -> ScannedFrame? {
    let range = position..<position + FrameHeader.size
    guard let segment = window?.segment, try load(range, end: end) else { return nil }
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
  private func currentFrame(end: Int) throws(CommitLogFailure) -> ScannedFrame? {
    guard let frame = try header(at: position, end: end), frame.end <= end,
      !RecoveryRule.isOlder(frame.header.epoch, than: epoch)
    else { return nil }
    return frame
  }

  private func load(_ range: Range<Int>, end: Int) throws(CommitLogFailure) -> Bool {
    do throws(IOFailure) {
      return try window?.load(range, end: end) ?? false
    } catch {
      throw CommitLogFailure(error)
    }
  }

  /// Reads one frame of a segment; nil when it holds nothing that was asked for.
  private func readFrame(
    of index: Int, in snapshot: LogSnapshot
  ) throws(CommitLogFailure) -> CursorItem? {
    let end = snapshot.end(of: index).position
    guard position + FrameHeader.size <= end, window?.isMissing == false else {
      return endSegment(index, in: snapshot)
    }
    guard let frame = try currentFrame(end: end) else {
      return try resynchronize(index, in: snapshot)
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
  ) throws(CommitLogFailure) -> CursorItem {
    let header = frame.header
    guard let segment = window?.segment,
      try load(frame.clearRange.lowerBound..<frame.bodyRange.upperBound, end: end)
    else { return .gap(gap(upTo: header.nextNumber, in: snapshot, otherwise: .damaged)) }
    let seed = segment.identity.seed(at: FilePosition(frame.position))
    var clear: (devices: [DeviceID], span: UInt64)?
    let stored = window?.withBytes(
      frame.clearRange.lowerBound..<frame.bodyRange.upperBound
    ) { bytes -> StoredBatch? in
      if let batch = StoredBatch(header, sections: bytes, seed: seed) { return batch }
      clear = Self.clear(bytes.extracting(0..<frame.clearRange.count), header, seed: seed)
      return nil
    }
    guard let batch = stored ?? nil else {
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

  /// When the records of a damaged batch were enqueued: its first one's time stands in the header,
  /// the last one's in the clear section, and the next batch is no earlier.
  private func times(
    of frame: ScannedFrame, span: UInt64?, end: Int
  ) throws(CommitLogFailure) -> ClosedRange<Timestamp>? {
    let first = frame.header.baseTime
    var last: Timestamp?
    if let span {
      last = Timestamp(microseconds: first.microseconds &+ Int64(bitPattern: span))
    } else if let next = try header(at: frame.end, end: end),
      next.header.type == FrameHeader.FrameType.batch
    {
      last = next.header.baseTime
    }
    guard let last, first <= last else { return nil }
    return first...last
  }

  /// The devices and the time span of a batch whose body is damaged, if its clear section is not.
  private static func clear(
    _ clear: RawSpan, _ header: FrameHeader, seed: UInt32
  ) -> (devices: [DeviceID], span: UInt64)? {
    guard CRC32C.checksum(clear, seed: seed) == header.clearChecksum else { return nil }
    do throws(FormatError) {
      let section = try BatchClearSection(decoding: clear, header: header)
      let devices = try BatchClearSection.devices(clear, count: section.deviceCount)
      return (devices, section.timeSpan)
    } catch {
      return nil
    }
  }

  /// Looks for the next sound frame behind damage.
  private func resynchronize(
    _ index: Int, in snapshot: LogSnapshot
  ) throws(CommitLogFailure) -> CursorItem? {
    let end = snapshot.end(of: index).position
    while position + FrameHeader.size <= end {
      position += FrameHeader.alignment
      guard let frame = try currentFrame(end: end), frame.header.baseNumber >= next else {
        continue
      }
      // Numbers that go on without a break: what was damaged held no events.
      guard frame.header.baseNumber > next else { return nil }
      return .gap(gap(before: frame, in: snapshot))
    }
    return endSegment(index, in: snapshot)
  }

  /// Goes on in the next segment; what this one should still have held is missing.
  private func endSegment(_ index: Int, in snapshot: LogSnapshot) -> CursorItem? {
    let isLast = index == snapshot.segments.count - 1
    let limit = isLast ? snapshot.highWatermark : snapshot.segments[index + 1].baseNumber
    let reason: Gap.Reason = window?.isMissing == true ? .missingSegment : .damaged
    guard next < limit else { return nil }
    var times: ClosedRange<Timestamp>?
    if let summary = snapshot.segments[index].summary, summary.recordCount > 0 {
      let first = max(lastTime ?? summary.firstTime, summary.firstTime)
      if first <= summary.lastTime { times = first...summary.lastTime }
    }
    return .gap(gap(upTo: limit, in: snapshot, otherwise: reason, times: times))
  }

  /// The loss before a sound frame.
  ///
  /// A batch tells when it was enqueued, other frames only when they were made.
  private func gap(before frame: ScannedFrame, in snapshot: LogSnapshot) -> Gap {
    let header = frame.header
    var times: ClosedRange<Timestamp>?
    if header.type == FrameHeader.FrameType.batch, let lastTime, lastTime <= header.baseTime {
      times = lastTime...header.baseTime
    }
    return gap(upTo: header.baseNumber, in: snapshot, otherwise: .damaged, times: times)
  }

  /// The loss from the next number up to `end`, as it was recorded or as it looks, and moves on.
  private func gap(
    upTo end: UInt64, in snapshot: LogSnapshot, otherwise reason: Gap.Reason,
    devices: [DeviceID]? = nil, times known: ClosedRange<Timestamp>? = nil
  ) -> Gap {
    let first = next
    next = end
    let recorded = snapshot.gaps.first { $0.first <= first && end <= $0.next }
    var times = known
    if let recorded, recorded.from <= recorded.to { times = recorded.from...recorded.to }
    return Gap(
      partition: PartitionID(Int(snapshot.log.partition)), first: Offset(first),
      next: Offset(end), reason: recorded?.reason.publicReason ?? reason, devices: devices,
      times: times)
  }
}

extension ManifestEdit.GapReason {
  package var publicReason: Gap.Reason {
    switch self {
    case .damaged: .damaged
    case .lostSuffix: .lostSuffix
    case .missingSegment: .missingSegment
    }
  }
}
