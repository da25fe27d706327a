internal import BlockCompression
internal import EventModel
internal import LogFormat
internal import StorageIO

/// Makes the footer of a sealed segment from the segment's frames.
///
/// Derived data (I6): it costs nothing but time when it is lost, so a failure is no more than a
/// footer that is not there.
package struct FooterWriter: ~Copyable {
  private let segment: SegmentHandle
  private let summary: SegmentSummary
  private let window: SegmentWindow
  private let end: Int
  private var builder = SegmentFooterBuilder()
  /// Where each batch stands, for those that are decoded.
  private var frames: [ScannedFrame] = []

  /// Writes the footer of a segment.
  ///
  /// - Returns: whether there is one now.
  package static func write(
    _ segment: SegmentHandle, mappings: MappingCache, context: LogContext
  ) throws(CommitLogFailure) -> Bool {
    guard let summary = segment.summary else { return false }
    do throws(IOFailure) {
      let window = try SegmentWindow(
        segment, end: Int(summary.endPosition), mappings: mappings)
      guard !window.isMissing else { return false }
      var writer = FooterWriter(segment, summary, window)
      try writer.gather()
      try writer.noteLastEvents()
      try writer.finish(context)
    } catch {
      throw CommitLogFailure(error)
    }
    segment.footer.noteWritten()
    return mappings.footer(of: segment) != nil
  }

  private init(_ segment: SegmentHandle, _ summary: SegmentSummary, _ window: SegmentWindow) {
    self.segment = segment
    self.summary = summary
    self.window = window
    end = Int(summary.endPosition)
  }

  /// Goes through the segment from frame to frame; behind damage, from place to place.
  private mutating func gather() throws(IOFailure) {
    var position = FileHeader.size
    var next = segment.baseNumber
    var epoch: UInt16 = 0
    let reach = window.reach(end)
    if reach < end { builder.hasHoles = true }
    while position + FrameHeader.size <= reach {
      guard let frame = try frame(at: position), frame.end <= end,
        frame.header.baseNumber >= next, !RecoveryRule.isOlder(frame.header.epoch, than: epoch)
      else {
        builder.hasHoles = true
        position += FrameHeader.alignment
        continue
      }
      if frame.header.baseNumber > next { builder.hasHoles = true }
      if frame.header.type == FrameHeader.FrameType.batch { try add(frame) }
      next = frame.header.nextNumber
      epoch = frame.header.epoch
      position = frame.end
    }
    if next != summary.nextNumber { builder.hasHoles = true }
  }

  private func frame(at position: Int) throws(IOFailure) -> ScannedFrame? {
    let range = position..<position + FrameHeader.size
    guard try window.load(range, end: end) else { return nil }
    let seed = segment.identity.seed(at: FilePosition(position))
    do throws(FormatError) {
      let decoded = try window.withBytes(range) { (bytes) throws(FormatError) in
        try FrameHeader.decode(bytes, at: 0, seed: seed)
      }
      return decoded.map {
        ScannedFrame(position: position, header: $0.header, checksum: $0.checksum)
      }
    } catch {
      return nil
    }
  }

  private mutating func add(_ frame: ScannedFrame) throws(IOFailure) {
    guard try window.load(frame.clearRange, end: end) else {
      builder.hasHoles = true
      return
    }
    let seed = segment.identity.seed(at: FilePosition(frame.position))
    let window = window
    do throws(FormatError) {
      try window.withBytes(frame.clearRange) { (clear) throws(FormatError) in
        guard CRC32C.checksum(clear, seed: seed) == frame.header.clearChecksum else {
          throw .corrupt("the clear section's checksum does not hold")
        }
        try builder.add(frame, clear: clear)
      }
      frames.append(frame)
    } catch {
      builder.hasHoles = true
    }
  }

  private mutating func noteLastEvents() throws(IOFailure) {
    let decompressor = BatchDecompressor()
    for place in builder.lastBatches {
      let frame = frames[place]
      let range = frame.clearRange.lowerBound..<frame.bodyRange.upperBound
      guard try window.load(range, end: end) else { continue }
      do throws(FormatError) {
        guard let batch = try window.batch(frame)?.decode(with: decompressor) else { continue }
        builder.noteLastEvents(of: place, batch)
      } catch {
        // Whoever asks for the device's last event meets the damage there.
        continue
      }
    }
  }

  private consuming func finish(_ context: LogContext) throws(IOFailure) {
    var bytes = ByteBuffer(capacity: 1 << 20)
    var header = context.header(of: segment.added)
    header.kind = .footer
    header.encode(into: &bytes)
    let summary = summary
    let identity = segment.identity
    let path = segment.footerPath
    let indexPath = segment.indexPath
    builder.finish(
      end: RecoveryRule.Start(
        position: Int(summary.endPosition), chain: summary.chain,
        nextNumber: summary.nextNumber, epoch: summary.epoch),
      identity: identity, into: &bytes)
    try bytes.withBytes { (bytes) throws(IOFailure) in
      try AtomicReplace.replace(path, with: bytes, in: context.fileSystem)
    }
    // The footer says all that the index did.
    if try context.fileSystem.kind(of: indexPath) == .file {
      try context.fileSystem.remove(indexPath)
    }
  }
}
