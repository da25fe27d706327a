import EventModel
import LogFormat

extension RecoveryModel {
  /// A promise that does not hold, and where.
  struct Violation: Error, CustomStringConvertible {
    let promise: String
    let image: [Slot]
    let verdict: RecoveryRule.Verdict
    let model: RecoveryModel

    var description: String {
      "\(promise): \(image) became \(verdict); before the crash \(model)"
    }
  }

  /// Opens what a crash left and checks every promise.
  ///
  /// - Parameters:
  ///   - image: the disk.
  ///   - isDamaged: whether a synced frame was damaged since the last time.
  ///   - mistake: what is done wrong on purpose.
  /// - Returns: the states that a next crash may find: the loss recorded and nothing cut, and an
  ///   epoch begun.
  /// - Throws: the ``Violation``.
  func recovered(
    _ image: [Slot], isDamaged: Bool, _ mistake: Mistake
  ) throws(Violation) -> (uncut: (model: Self, image: [Slot])?, begun: Self) {
    let verdict = decide(image, mistake)
    let kept = try check(verdict, image, isDamaged: isDamaged)
    var next = self
    next.pending = []
    next.history = (0..<Int(verdict.nextNumber)).map { kept[UInt64($0)] }
    next.served = next.history.count
    if verdict.lostSuffix != nil { next.evidence = max(evidence, verdict.nextNumber) }
    if !verdict.cut.isEmpty { next.evidence = max(next.evidence, verdict.watermark) }
    if isDamaged { next.isDamageLeft = false }
    var uncut = next
    uncut.slots = image
    uncut.stale = []
    let end = (verdict.end.position - FileHeader.size) / Self.slotSize
    next.slots = Array(image.prefix(end))
    next.stale = mistake == .hastyEpoch ? Array(image.dropFirst(end)) : []
    next.chain = verdict.end.chain
    next.epoch = verdict.end.epoch
    next.life += 1
    next.epoch += 1
    next.write(FrameHeader.FrameType.epoch, mistake)
    return (verdict.cut.isEmpty ? nil : (uncut, image), next)
  }

  private func slot(at end: RecoveryRule.Start, of image: [Slot]) -> Slot {
    let index = (end.position - FileHeader.size) / Self.slotSize
    return index < image.count ? image[index] : .zeros
  }

  private func decide(_ image: [Slot], _ mistake: Mistake) -> RecoveryRule.Verdict {
    let used = (image.lastIndex { $0 != .zeros } ?? -1) + 1
    var scan = ScanResult(endOfData: Self.position(used))
    var torn: Set<Int> = []
    for case .frame(let frame, let isWhole) in image {
      var scanned = frame.scanned
      if mistake == .blindRule {
        var header = scanned.header
        header.watermark = 0
        scanned = ScannedFrame(
          position: scanned.position, header: header, checksum: scanned.checksum)
      }
      scan.frames.append(scanned)
      if !isWhole { torn.insert(scanned.position) }
    }
    let start = RecoveryRule.Start(position: FileHeader.size, chain: 7, nextNumber: 0, epoch: 0)
    return RecoveryRule.decide(
      from: start, scan: scan, evidence: mistake == .blindRule ? 0 : evidence
    ) { !torn.contains($0.position) }
  }

  /// Checks what a verdict makes of the log, and returns who wrote each number that it keeps.
  private func check(
    _ verdict: RecoveryRule.Verdict, _ image: [Slot], isDamaged: Bool
  ) throws(Violation) -> [UInt64: Int] {
    func require(_ condition: Bool, _ promise: String) throws(Violation) {
      guard !condition else { return }
      throw Violation(promise: promise, image: image, verdict: verdict, model: self)
    }
    var kept: [UInt64: Int] = [:]
    for scanned in verdict.kept where scanned.header.recordCount > 0 {
      let slot = (scanned.position - FileHeader.size) / Self.slotSize
      guard case .frame(let frame, _) = image[slot] else { continue }
      try require(
        kept.updateValue(frame.id, forKey: frame.base) == nil, "a number is there twice")
    }
    var lost = Set((verdict.lostSuffix ?? 0..<0).map { $0 })
    for finding in verdict.findings where finding.lostRecords {
      lost.formUnion(finding.first..<finding.next)
    }
    // What the frames that survived and the manifest testify to, whatever the rule made of it.
    let proven = image.reduce(evidence) { evidence, slot in
      guard case .frame(let frame, _) = slot else { return evidence }
      return max(evidence, frame.watermark)
    }
    try require(kept.keys.allSatisfy { $0 < history.count }, "what was cut came back")
    try require(lost.allSatisfy { $0 < served }, "a loss of what was never acknowledged")
    try require(verdict.nextNumber >= proven, "an acknowledged number is given again")
    var isBehindEnd = false
    for (number, id) in history.enumerated() {
      let (number, isServed) = (UInt64(number), number < served)
      guard let found = kept[number] else {
        let isReported = lost.contains(number)
        if id != nil, isServed, !isDamaged {
          try require(false, "what was served is gone without damage")
        }
        guard let id, !isReported else { continue }
        try require(number >= proven, "a proven loss is not told")
        if isServed, case .frame(let frame, isWhole: false) = slot(at: verdict.end, of: image),
          frame.id == id
        {
          try require(
            verdict.possiblyAcknowledged?.contains(number) == true,
            "what was perhaps acknowledged goes unsaid")
        }
        isBehindEnd = true
        continue
      }
      try require(found == id, "what was cut came back in another's place")
      try require(!lost.contains(number), "a loss of what is there")
      try require(!isBehindEnd, "something is kept behind what is missing unsaid")
    }
    if !isDamaged {
      try require(verdict.nextNumber >= served, "a served number is given again")
    }
    return kept
  }
}
