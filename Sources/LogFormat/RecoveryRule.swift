package import EventModel

/// What is kept of an active file, and why: one pure rule for every file kind, used by the engine
/// and by fsck alike (format-spec §5.2 is the decision table, a test stands behind each row).
///
/// Everything below the highest surviving watermark is judged by proof: damage there is never cut,
/// it becomes a gap and reading goes on behind it. Everything above is an unfinished tail, kept as
/// far as it is whole, contiguous and chained, and cut behind that (I4).
package enum RecoveryRule {
  /// Where the scan begins: behind a frame that is known to be good, or behind the file header.
  package struct Start: Hashable, Sendable {
    package var position: Int
    package var chain: UInt32
    package var nextNumber: UInt64
    package var epoch: UInt16

    package init(position: Int, chain: UInt32, nextNumber: UInt64, epoch: UInt16) {
      self.position = position
      self.chain = chain
      self.nextNumber = nextNumber
      self.epoch = epoch
    }
  }

  /// Something wrong below the watermark, or with a chain; the bytes stay where they are.
  package struct Finding: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
      /// Bytes that should be frames and are not, or a frame whose body is not what it was.
      case damaged
      /// Numbers are missing between two sound frames.
      case missing
      /// Sound frames with contiguous numbers whose chain does not hold: no loss.
      case brokenChain
    }

    package var kind: Kind
    package var position: Int
    /// The records that are gone; empty when none are.
    package var first: UInt64
    package var next: UInt64
    package var from: Timestamp?
    package var to: Timestamp?

    package var lostRecords: Bool { first < next }
  }

  package struct Verdict: Sendable {
    /// The last good state: appending goes on at `end`, behind `lostUpTo` if that is larger.
    package var end: Start
    /// The highest surviving watermark.
    package var watermark: UInt64
    /// The frames that stand, in order.
    package var kept: [ScannedFrame] = []
    package var findings: [Finding] = []
    package var tail: TailVerdict = .clean
    /// The bytes of the tail that must be cut, empty if none.
    package var cut: Range<Int> = 0..<0
    /// Records in the tail that may have been acknowledged although no watermark says so.
    package var possiblyAcknowledged: Range<UInt64>?

    /// The number that the next record takes: never one that a surviving watermark proves to have
    /// been acknowledged (I15).
    ///
    /// Records of an undecidable tail were most likely never acknowledged, so theirs are given
    /// again.
    package var nextNumber: UInt64 { max(end.nextNumber, watermark) }

    /// The bytes of the frames that stand and that no surviving watermark proves.
    ///
    /// A sync that failed may have left them in memory alone: who goes on behind them writes them
    /// again first (I8).
    package var unproven: Range<Int> {
      let first = kept.first { frame in
        frame.header.recordCount > 0
          ? frame.header.nextNumber > watermark : frame.header.baseNumber >= watermark
      }
      return (first?.position ?? end.position)..<end.position
    }

    package var lostSuffix: Range<UInt64>? {
      watermark > end.nextNumber ? end.nextNumber..<watermark : nil
    }
  }

  /// Decides.
  ///
  /// - Parameters:
  ///   - start: the last place known to be good.
  ///   - scan: every sound frame behind it.
  ///   - evidence: the highest watermark that anything outside the file testifies to.
  ///   - checksEverything: whether bodies below the watermark are checked as well; opening does
  ///     not, its readers do.
  ///   - isIntact: whether a frame's sections are what its header says.
  /// - Returns: what is kept, what is cut, and what is wrong with the rest.
  /// - Throws: what reading a frame's sections throws.
  package static func decide<Failure: Error>(
    from start: Start, scan: ScanResult, evidence: UInt64, checksEverything: Bool = false,
    isIntact: (ScannedFrame) throws(Failure) -> Bool
  ) throws(Failure) -> Verdict {
    var watermark = max(evidence, 0)
    for frame in scan.frames { watermark = max(watermark, frame.header.watermark) }
    var verdict = Verdict(end: start, watermark: watermark)
    var lastTime: Timestamp?
    var index = 0
    walk: while index < scan.frames.count {
      let frame = scan.frames[index]
      let gap: Finding?
      switch place(of: frame, after: verdict) {
      case .stale:
        index += 1
        continue walk
      case .unproven:
        break walk
      case .next(let finding):
        gap = finding
      }
      let isProven = self.isProven(frame, watermark)
      var isDamaged = false
      if !isProven || checksEverything { isDamaged = try !isIntact(frame) }
      if isDamaged, !isProven {
        verdict.tail = .undecidableTail
        break walk
      }
      // Only a frame that stays tells what is missing before it; before one that goes, the tail
      // does.
      if var gap {
        gap.from = lastTime
        gap.to = frame.header.baseTime
        verdict.findings.append(gap)
      }
      if isDamaged {
        verdict.findings.append(
          Finding(
            kind: .damaged, position: frame.position, first: frame.header.baseNumber,
            next: frame.header.nextNumber, from: frame.header.baseTime,
            to: frame.header.baseTime))
      }
      verdict.kept.append(frame)
      lastTime = frame.header.baseTime
      verdict.end = Start(
        position: frame.end, chain: frame.checksum, nextNumber: frame.header.nextNumber,
        epoch: frame.header.epoch)
      index += 1
    }
    judgeTail(&verdict, scan, rest: scan.frames[index...])
    return verdict
  }

  private enum Place {
    case next(Finding?)
    case stale
    case unproven
  }

  /// How a frame follows what has been kept so far.
  private static func place(of frame: ScannedFrame, after verdict: Verdict) -> Place {
    let header = frame.header
    let end = verdict.end
    // Left over from before a cut: its epoch is older than one already seen.
    if isOlder(header.epoch, than: end.epoch) { return .stale }
    let isProven = self.isProven(frame, verdict.watermark)
    guard header.baseNumber >= end.nextNumber else { return isProven ? .stale : .unproven }
    if frame.position == end.position, header.chain == end.chain {
      // After a lost suffix the numbers go on behind the watermark, announced by an epoch frame.
      if header.baseNumber == end.nextNumber || header.type == FrameHeader.FrameType.epoch {
        return .next(missing(frame, end))
      }
    }
    // Behind a break, only a watermark makes a frame part of the log: one above it, or its own when
    // that covers everything before the frame.
    let testifiesItself =
      header.baseNumber == header.watermark && frame.position > end.position
    guard isProven || testifiesItself else { return .unproven }
    if frame.position == end.position, header.baseNumber == end.nextNumber {
      return .next(
        Finding(
          kind: .brokenChain, position: frame.position, first: header.baseNumber,
          next: header.baseNumber))
    }
    return .next(
      Finding(
        kind: frame.position == end.position ? .missing : .damaged, position: end.position,
        first: end.nextNumber, next: header.baseNumber))
  }

  private static func missing(_ frame: ScannedFrame, _ end: Start) -> Finding? {
    guard frame.header.baseNumber > end.nextNumber else { return nil }
    return Finding(
      kind: .missing, position: frame.position, first: end.nextNumber,
      next: frame.header.baseNumber)
  }

  /// Whether a surviving watermark covers a frame.
  ///
  /// One without records is covered only by one behind it.
  private static func isProven(_ frame: ScannedFrame, _ watermark: UInt64) -> Bool {
    frame.header.recordCount > 0
      ? frame.header.nextNumber <= watermark : frame.header.baseNumber < watermark
  }

  /// Epochs count modulo 65,536; the shorter way round tells which is older.
  package static func isOlder(_ epoch: UInt16, than other: UInt16) -> Bool {
    epoch != other && other &- epoch < 0x8000
  }

  private static func judgeTail(
    _ verdict: inout Verdict, _ scan: ScanResult, rest: ArraySlice<ScannedFrame>
  ) {
    let end = verdict.end.position
    if scan.endOfData > end { verdict.cut = end..<scan.endOfData }
    let unproven = rest.filter {
      !isOlder($0.header.epoch, than: verdict.end.epoch)
        && $0.header.baseNumber >= verdict.end.nextNumber
    }
    // What the watermark covers is lost for certain; what lies above it in the undecidable frames
    // may have been acknowledged.
    if verdict.tail == .undecidableTail,
      let next = unproven.map(\.header.nextNumber).max(), next > verdict.nextNumber
    {
      verdict.possiblyAcknowledged = verdict.nextNumber..<next
    }
    if verdict.lostSuffix != nil {
      verdict.tail = .lostSuffix
    } else if verdict.cut.isEmpty {
      verdict.tail = .clean
    } else if verdict.tail != .undecidableTail {
      verdict.tail = unproven.isEmpty ? .tornTail : .reorderedTail
    }
  }
}
