internal import EventModel
internal import LogFormat

/// Looks through a whole file for flipped bits: in its header, in the headers of its frames, in
/// their sections.
///
/// What opening does at the end of an active file only (``TailHealing``), a repair does everywhere;
/// the proofs are the same.
struct FileHealing {
  let source: InspectedSource
  /// The header that the file's frames are read by.
  let header: FileHeader
  /// Whether the file's own header is another one.
  let isHeaderWrong: Bool
  private let contents: FrameContents

  /// Nil where nothing tells how to read the file.
  ///
  /// - Parameters:
  ///   - source: the file.
  ///   - expected: the header that it should have, if anything else says so.
  ///   - contents: reads frames.
  init?(_ source: InspectedSource, expected: FileHeader?, contents: FrameContents) {
    let reading = FileHeaderReading(source)
    guard reading.header?.isReadOnly != true else { return nil }
    switch reading {
    case .unsupported: return nil
    case .sound(let header):
      // A file of another place: its frames do not hold here, and the header is the least of it.
      self.header = expected ?? header
      isHeaderWrong = !(expected?.agrees(with: header) ?? true)
    case .healed(let header, _):
      self.header = expected ?? header
      isHeaderWrong = true
    case .damaged:
      guard let expected else { return nil }
      header = expected
      isHeaderWrong = true
    }
    self.source = source
    self.contents = contents
  }

  /// Finds what can be set right; the source is read with it from then on.
  ///
  /// - Parameter evidence: the highest number that anything outside the file proves.
  func run(evidence: UInt64) {
    let judge = FrameJudge(
      source: source, identity: header.identity, start: .behind(header), evidence: evidence,
      contents: contents, isHealable: true)
    var places: [RecoveryRule.Start] = []
    var end = judge.start
    _ = judge.run { item in
      switch item {
      // The judge reads on with the bit set right.
      case .healed: break
      case .finding(let finding):
        if finding.kind == .damaged, finding.position == end.position { places.append(end) }
      case .frame(let frame, .kept):
        if !contents.holds(frame, source, header.identity) { places.append(.before(frame)) }
        end = .behind(frame)
      case .frame: break
      }
      return .goOn
    }
    for place in places { heal(from: place) }
  }

  /// Sets right the frame at a place, and those behind it that nothing but a bit keeps from
  /// following.
  private func heal(from place: RecoveryRule.Start) {
    let whole = SourcePiece(source: source, size: source.size)
    let healing = TailHealing(whole, identity: header.identity) { [contents] header, clear, body in
      contents.contentHolds(header, clear: clear, body: body)
    }
    var place = place
    while let repair = healing.repair(at: place) {
      source.repairs.append(repair)
      var scanner = FrameScanner(
        SourcePiece(source: source, size: repair.frame.lowerBound + 1), identity: header.identity)
      let scan = scanner.scan(from: repair.frame.lowerBound)
      guard let frame = scan.frames.first, frame.position == repair.frame.lowerBound else { return }
      place = .behind(frame)
    }
  }
}

extension RecoveryRule.Start {
  fileprivate static func behind(_ frame: ScannedFrame) -> Self {
    Self(
      position: frame.end, chain: frame.checksum, nextNumber: frame.header.nextNumber,
      epoch: frame.header.epoch)
  }

  /// The state that a frame follows, by its own word.
  fileprivate static func before(_ frame: ScannedFrame) -> Self {
    Self(
      position: frame.position, chain: frame.header.chain, nextNumber: frame.header.baseNumber,
      epoch: frame.header.epoch)
  }
}

extension FrameContents {
  /// Whether a frame's sections hold, their contents included.
  fileprivate func holds(
    _ frame: ScannedFrame, _ source: InspectedSource, _ identity: FrameIdentity
  ) -> Bool {
    do throws(FormatError) {
      if frame.header.type == FrameHeader.FrameType.batch {
        _ = try batch(frame, source, identity)
      } else {
        try withBody(frame, source, identity) { (_) throws(FormatError) in }
      }
      return true
    } catch {
      return false
    }
  }
}
