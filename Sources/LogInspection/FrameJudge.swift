internal import EventModel
internal import LogFormat

/// Applies the recovery rule to a file of any size in bounded memory: once over all headers for the
/// watermark, then piece by piece, each going on where the last one ended.
struct FrameJudge {
  enum Standing {
    case kept
    /// Left over from before a cut.
    case stale
    /// Behind the end of the log.
    case unproven
  }

  enum Item {
    case frame(ScannedFrame, Standing)
    case finding(RecoveryRule.Finding)
    /// A flipped bit in the frame that comes next.
    case healed(BitRepair)
  }

  struct Outcome {
    var end: RecoveryRule.Start
    var watermark: UInt64
    var tail: TailVerdict = .clean
    var cut: Range<Int> = 0..<0
    var lostSuffix: Range<UInt64>?
    var possiblyAcknowledged: Range<UInt64>?
    /// Base time of the last frame that stands.
    var lastTime: Timestamp?
    /// A sound frame that this program cannot read, and where the data ends.
    var unsupported: UnsupportedFrame?
    var endOfData: Int
    /// Whether the visitor ended the walk early; the rest is then unknown.
    var isStopped = false
  }

  /// Bytes of a file whose frames are in memory at once: at most 131,072 frames.
  private static let pieceSize = 8 << 20
  /// Frames kept in mind behind the last one that stands.
  ///
  /// A writer leaves at most 8 MiB unsynced, so more than this are no tail that it can have made.
  private static let carryMax = 1 << 18

  let source: InspectedSource
  let identity: FrameIdentity
  let start: RecoveryRule.Start
  /// The highest watermark that anything outside the file testifies to.
  let evidence: UInt64
  let contents: FrameContents
  /// Whether a writer may still set a flipped bit at the end right: never in a sealed file.
  var isHealable = false

  /// Visits every frame and finding of the file, in the order of their positions.
  ///
  /// - Parameters:
  ///   - surveyed: what ``survey()`` returned, for a caller who needed it before.
  ///   - visit: takes an item and says whether to go on.
  /// - Returns: how the file ends.
  func run(surveyed: Outcome? = nil, _ visit: (Item) -> WalkStep) -> Outcome {
    var outcome = surveyed ?? survey()
    var carry: [ScannedFrame] = []
    var position = start.position
    repeat {
      let piece = scanPiece(at: position)
      position = piece.next
      carry += piece.frames
      let isLast = position >= source.size || carry.count > Self.carryMax
      var scan = ScanResult(endOfData: isLast ? outcome.endOfData : outcome.end.position)
      scan.frames = carry
      let verdict = RecoveryRule.decide(
        from: outcome.end, scan: scan, evidence: outcome.watermark
      ) { contents.isIntact($0, source, identity) }
      guard let rest = tell(verdict, carry, outcome.lastTime, visit) else {
        outcome.isStopped = true
        return outcome
      }
      carry = Array(rest)
      outcome.end = verdict.end
      outcome.lastTime = verdict.kept.last?.header.baseTime ?? outcome.lastTime
      if isLast {
        if let repair = repair(verdict) {
          source.repairs.append(repair)
          guard visit(.healed(repair)) == .goOn else {
            outcome.isStopped = true
            return outcome
          }
          // What follows the frame may follow it in the log as well.
          position = outcome.end.position
          carry = []
          continue
        }
        outcome.tail = verdict.tail
        outcome.cut = verdict.cut
        outcome.lostSuffix = verdict.lostSuffix
        outcome.possiblyAcknowledged = verdict.possiblyAcknowledged
        break
      }
    } while true
    for frame in carry {
      guard visit(.frame(frame, standing(of: frame, behind: outcome.end))) == .goOn else {
        outcome.isStopped = true
        return outcome
      }
    }
    return outcome
  }

  /// The flipped bit that explains why the log ends where it does; nil if none does.
  private func repair(_ verdict: RecoveryRule.Verdict) -> BitRepair? {
    guard isHealable, verdict.tail != .clean,
      source.repairs.count < TailHealing<SourcePiece>.repairCountMax
    else { return nil }
    let piece = SourcePiece(source: source, size: source.size)
    let healing = TailHealing(piece, identity: identity) { [contents] header, clear, body in
      contents.contentHolds(header, clear: clear, body: body)
    }
    return healing.repair(at: verdict.end)
  }

  /// The highest watermark and the end of the data, from one pass over the headers.
  func survey() -> Outcome {
    var outcome = Outcome(end: start, watermark: evidence, endOfData: start.position)
    var position = start.position
    while position < source.size {
      let piece = scanPiece(at: position)
      for frame in piece.frames {
        outcome.watermark = max(outcome.watermark, frame.header.watermark)
      }
      outcome.endOfData = max(outcome.endOfData, piece.endOfData)
      outcome.unsupported = outcome.unsupported ?? piece.unsupported
      position = piece.next
    }
    return outcome
  }

  struct Piece {
    let frames: [ScannedFrame]
    let endOfData: Int
    let unsupported: UnsupportedFrame?
    /// Where the next piece begins.
    let next: Int
  }

  func scanPiece(at position: Int) -> Piece {
    guard position < source.size else {
      return Piece(frames: [], endOfData: 0, unsupported: nil, next: position)
    }
    let limit = min(position + Self.pieceSize, source.size)
    var scanner = FrameScanner(SourcePiece(source: source, size: limit), identity: identity)
    let scan = scanner.scan(from: position)
    // The scan takes its own beginning for data; the last frame may reach beyond the piece.
    let last = scan.frames.last?.end ?? 0
    let data = scan.endOfData == position ? 0 : scan.endOfData
    var next = max(limit, last)
    if max(data, last) == 0 {
      // A piece of zeros: a hole may have any size. On with the grid of the frames.
      next = max(next, source.dataStart(from: next) / FrameHeader.alignment * FrameHeader.alignment)
    }
    return Piece(
      frames: scan.frames, endOfData: min(source.size, max(data, last)),
      unsupported: scan.unsupported, next: next)
  }

  /// Tells what a verdict decided, in the order of the file, and returns the frames behind the last
  /// one that stands; nil when the visitor wants no more.
  private func tell(
    _ verdict: RecoveryRule.Verdict, _ frames: [ScannedFrame], _ lastTime: Timestamp?,
    _ visit: (Item) -> WalkStep
  ) -> ArraySlice<ScannedFrame>? {
    var findings = verdict.findings[...]
    var kept = verdict.kept[...]
    for (index, frame) in frames.enumerated() {
      guard let next = kept.first else { return frames[index...] }
      let isKept = next.position == frame.position
      while isKept, var finding = findings.first, finding.position <= frame.position {
        findings.removeFirst()
        finding.from = finding.from ?? lastTime
        guard visit(.finding(finding)) == .goOn else { return nil }
      }
      if isKept { kept.removeFirst() }
      guard visit(.frame(frame, isKept ? .kept : .stale)) == .goOn else { return nil }
    }
    return frames[frames.endIndex...]
  }

  /// Why a frame behind the end does not stand.
  private func standing(
    of frame: ScannedFrame, behind end: RecoveryRule.Start
  ) -> Standing {
    let isOlder = RecoveryRule.isOlder(frame.header.epoch, than: end.epoch)
    return isOlder || frame.header.baseNumber < end.nextNumber ? .stale : .unproven
  }
}
