internal import EventModel
internal import LogFormat

/// Compares the footer of a sealed segment with one made from the segment's batches.
///
/// What differs is made again by the next writer: a note, never a loss (I6).
struct FooterCheck {
  private let source: InspectedSource
  private let header: FileHeader

  init(_ source: InspectedSource, header: FileHeader) {
    self.source = source
    self.header = header
  }

  /// What is wrong with the footer; nil if it says what the segment says.
  ///
  /// - Parameters:
  ///   - frames: the segment's batches, all of them sound.
  ///   - segment: the segment's bytes.
  ///   - end: where the segment ends.
  ///   - contents: decodes batches.
  /// - Returns: what is wrong with the footer, nil if nothing is.
  func run(
    _ frames: [ScannedFrame], of segment: InspectedSource, end: RecoveryRule.Start,
    contents: FrameContents
  ) -> Damage? {
    do throws(FormatError) {
      let reading = try FooterReading(source, identity: header.identity)
      if let damage = reading.damage { throw .corrupt(damage) }
      var expected = ByteBuffer(capacity: 1 << 20)
      try make(frames, of: segment, end: end, contents: contents, into: &expected)
      return compare(expected)
    } catch {
      return Damage(
        .badIndex, file: source.name, position: SegmentFooter.position.bytes, detail: "\(error)")
    }
  }

  private func make(
    _ frames: [ScannedFrame], of segment: InspectedSource, end: RecoveryRule.Start,
    contents: FrameContents, into bytes: inout ByteBuffer
  ) throws(FormatError) {
    var builder = SegmentFooterBuilder()
    var clear = ByteBuffer(capacity: 8 << 10)
    for frame in frames {
      clear.removeAll()
      guard segment.append(frame.clearRange, to: &clear) else {
        throw .corrupt("a batch at \(frame.position) cannot be read")
      }
      try clear.withBytes { (clear) throws(FormatError) in try builder.add(frame, clear: clear) }
    }
    for place in builder.lastBatches {
      let batch = try contents.batch(frames[place], segment, header.identity)
      builder.noteLastEvents(of: place, batch.decoded)
    }
    header.encode(into: &bytes)
    builder.finish(end: end, identity: header.identity, into: &bytes)
  }

  private func compare(_ expected: borrowing ByteBuffer) -> Damage? {
    // No more than was made is compared, whatever size the file claims.
    guard expected.count == source.size else {
      return Damage(
        .staleIndex, file: source.name, position: min(expected.count, source.size),
        detail: "the footer has \(source.size) bytes, expected \(expected.count)")
    }
    var found = ByteBuffer(capacity: source.size)
    guard source.append(0..<source.size, to: &found) else { return nil }
    let isSame = expected.withBytes { expected in
      found.withBytes { expected.hasSameBytes(as: $0) }
    }
    guard !isSame else { return nil }
    let (made, read) = (expected.array(0..<source.size), found.array(0..<source.size))
    let place = made.indices.first { made[$0] != read[$0] } ?? 0
    return Damage(
      .staleIndex, file: source.name, position: place,
      detail: "the footer says otherwise than the segment")
  }
}
