internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// Checks segments of one log that follow each other, in their order.
final class LogCheck {
  private let part: FsckPart
  private let log: ManifestEdit.LogID
  /// All of the log.
  private let segments: [ManifestState.Segment]
  /// Those that are checked.
  private let range: Range<Int>
  private let records = RecordCheck()
  /// The enqueue time of the last event so far.
  private var lastTime: Timestamp?
  /// Where the segments so far end, and the chain of the last frame if that is known for certain.
  private var end: (nextNumber: UInt64, chain: UInt32?)?

  /// - Parameters:
  ///   - part: where findings go.
  ///   - log: the log.
  ///   - segments: all of its segments.
  ///   - range: those to check, one of ``pieces(of:in:)``.
  init(
    _ part: FsckPart, _ log: ManifestEdit.LogID, _ segments: [ManifestState.Segment],
    _ range: Range<Int>
  ) {
    self.part = part
    self.log = log
    self.segments = segments
    self.range = range
    guard range.lowerBound > 0, let before = segments[range.lowerBound - 1].summary else { return }
    end = (before.nextNumber, before.chain)
    lastTime =
      segments[..<range.lowerBound].lazy.compactMap(\.summary)
      .last { $0.recordCount > 0 }?.lastTime
  }

  /// What can be checked by itself: where the manifest says how the segment before ends, whose own
  /// check tells whether that is so.
  ///
  /// Records about queues are judged by those in front of them.
  static func pieces(
    of segments: [ManifestState.Segment], in log: ManifestEdit.LogID
  ) -> [Range<Int>] {
    let starts = segments.indices.filter { index in
      index == 0 || log.stream == .events && segments[index - 1].summary != nil
    }
    return zip(starts, starts.dropFirst() + [segments.count]).map { $0..<$1 }
  }

  /// Returns the number behind the last event that is there.
  func run() -> UInt64 {
    for index in range {
      checkSeam(before: index)
      check(index)
    }
    return end?.nextNumber ?? 0
  }

  private func add(_ damage: Damage, severity: Severity? = nil) {
    part.add(damage, severity: severity, log: log)
  }

  /// Whether a segment goes on where the one before it ended.
  private func checkSeam(before index: Int) {
    guard let end, index > 0 else { return }
    let added = segments[index].added
    let previous = segments[index - 1].added
    let name = StoreSnapshot.name(of: added)
    if added.baseNumber > end.nextNumber {
      add(
        Damage(
          .missingRecords, file: name,
          detail: "the segment before ends at \(end.nextNumber), "
            + "this one begins at \(added.baseNumber)",
          acknowledgedLoss: loss(end.nextNumber..<added.baseNumber, from: lastTime)))
    } else if added.baseNumber < end.nextNumber {
      add(
        Damage(
          .manifestDamaged, file: name,
          detail: "the segment begins at \(added.baseNumber), "
            + "and the one before it reaches to \(end.nextNumber)"))
    }
    guard added.predecessorID == previous.segmentID, let chain = end.chain,
      chain != added.predecessorChain
    else { return }
    add(
      Damage(
        .brokenChain, file: name,
        detail: "the segment follows the chain \(Hexadecimal.text(added.predecessorChain)), "
          + "the one before it ends with \(Hexadecimal.text(chain))", number: added.baseNumber))
  }

  private func loss(_ range: Range<UInt64>, from: Timestamp?) -> AcknowledgedLoss {
    AcknowledgedLoss(
      partition: log.numberOfLoss, firstSequence: range.lowerBound, nextSequence: range.upperBound,
      devices: nil, from: from, to: nil)
  }

  private func check(_ index: Int) {
    let segment = segments[index]
    let name = StoreSnapshot.name(of: segment.added)
    let evidence = part.snapshot.evidence(segments, at: index)
    // Opened before the segment: entries that a live writer adds later are not compared.
    let footer = openFooter(of: segment)
    let comparison = openIndex(of: segment, isNeeded: footer == nil)
    let source: InspectedSource
    do throws(IOFailure) {
      source = try InspectedSource(
        part.root.appending(name), name: name, fileSystem: part.fileSystem)
    } catch {
      passMissing(segment, name, error, evidence)
      return
    }
    part.count { counts in
      counts.files += 1
      counts.segments += 1
      counts.bytes += source.size
    }
    guard let header = header(of: segment.added, source) else {
      end = (max(evidence, segment.added.baseNumber), nil)
      return
    }
    let check = SegmentCheck(
      source: source, header: header, evidence: evidence, lastTime: lastTime,
      isSealed: segment.isSealed,
      partitionCount: log.stream == .events ? Int(part.snapshot.partitionCount) : nil,
      contents: part.contents, records: records, index: comparison)
    let outcome = check.run { damage in
      // What a sealed segment should hold is known: the comparison with that tells.
      let isTold = segment.isSealed && damage.kind == .undecidableTail
      self.add(damage, severity: isTold ? .note : nil)
    }
    part.count { counts in
      counts.frames += check.frameCount
      counts.batches += Int(clamping: check.tally.batchCount)
      if log.stream == .events { counts.events += Int(clamping: check.tally.recordCount) }
      counts.indexEntries += check.indexEntryCount
    }
    lastTime = check.lastTime
    compare(check, outcome, segment, name)
    if let footer, !check.isDamaged {
      let damage = footer.run(
        check.batches, of: source, end: outcome.end, contents: part.contents)
      if let damage { add(damage) }
    }
    end = (outcome.end.nextNumber, check.isDamaged ? nil : outcome.end.chain)
    if let lost = outcome.lostSuffix { end = (lost.upperBound, nil) }
    if index == segments.indices.last { end?.nextNumber = outcome.end.nextNumber }
  }

  /// A file that is not there, or that the operating system does not open.
  private func passMissing(
    _ segment: ManifestState.Segment, _ name: String, _ error: IOFailure, _ evidence: UInt64
  ) {
    end = (max(evidence, segment.added.baseNumber), nil)
    // A live writer's retention may have come between reading the manifest and this.
    if error.isMissing {
      let now = StoreSnapshot(reading: part.root, part.fileSystem)
      let ids = now.state.logs[log]?.map(\.added.segmentID) ?? []
      if !now.isRebuilt, !ids.contains(segment.added.segmentID) { return }
    }
    let base = segment.added.baseNumber
    var damage = Damage(
      error.isMissing ? .missingFile : .unreadable, file: name, detail: "\(error)")
    if evidence > base {
      var loss = loss(base..<evidence, from: segment.summary?.firstTime ?? lastTime)
      loss.to = segment.summary?.lastTime
      damage.acknowledgedLoss = loss
    }
    add(damage)
  }

  /// The header to read a segment by; nil if the file is one that this program must not judge.
  private func header(
    of added: ManifestEdit.SegmentAdded, _ source: InspectedSource
  ) -> FileHeader? {
    let reading = FileHeaderReading(source)
    let expected = part.snapshot.header(of: added)
    if let damage = reading.damage { add(damage) }
    switch reading {
    case .unsupported: return nil
    case .damaged: return expected
    case .sound(let header), .healed(let header, _):
      guard let expected, !header.agrees(with: expected) else { return header }
      add(
        Damage(
          .badFileHeader, file: source.name,
          detail: "the header names segment \(header.fileID) of \(ManifestEdit.LogID(header).text) "
            + "of store \(header.storeID) from \(header.baseNumber) on, which is not what the "
            + "manifest says"))
      return expected
    }
  }

  /// The footer of a sealed segment, if it has one.
  private func openFooter(of segment: ManifestState.Segment) -> FooterCheck? {
    guard segment.isSealed,
      let (source, header) = openDerived(
        from: segment, FileNames.footerSuffix, .footer, isNeeded: false)
    else { return nil }
    return FooterCheck(source, header: header)
  }

  private func openIndex(
    of segment: ManifestState.Segment, isNeeded: Bool
  ) -> (InspectedSource, FileHeader)? {
    // An active segment's index is written when there is enough of it.
    openDerived(
      from: segment, FileNames.indexSuffix, .index,
      isNeeded: isNeeded && (segment.summary?.batchCount ?? 0) > 0)
  }

  private func openDerived(
    from segment: ManifestState.Segment, _ suffix: String, _ kind: FileHeader.Kind, isNeeded: Bool
  ) -> (InspectedSource, FileHeader)? {
    let name = StoreSnapshot.name(of: segment.added, suffix: suffix)
    let source: InspectedSource
    do throws(IOFailure) {
      source = try InspectedSource(
        part.root.appending(name), name: name, fileSystem: part.fileSystem)
    } catch {
      if !error.isMissing || isNeeded {
        add(
          Damage(
            .missingFile, file: name, detail: "\(error); readers do without, only slower"),
          severity: .note)
      }
      return nil
    }
    part.count { counts in
      counts.files += 1
      counts.bytes += source.size
    }
    let reading = FileHeaderReading(source)
    if let damage = reading.damage {
      add(
        Damage(.badIndex, file: name, detail: damage.detail))
    }
    guard let header = reading.header else { return nil }
    guard header.kind == kind, header.fileID == segment.added.segmentID,
      header.storeID == part.snapshot.header?.storeID ?? header.storeID
    else {
      add(Damage(.staleIndex, file: name, detail: "the file belongs to another segment"))
      return nil
    }
    return (source, header)
  }

  /// Whether a segment holds what the manifest said when it was sealed or closed.
  private func compare(
    _ check: SegmentCheck, _ outcome: FrameJudge.Outcome, _ segment: ManifestState.Segment,
    _ name: String
  ) {
    let closed = closedSummary(of: segment, part.snapshot)
    guard outcome.lostSuffix == nil, let summary = segment.summary ?? closed,
      let damage = difference(from: summary, check, outcome, name)
    else { return }
    // A writer may have opened the store between reading the manifest and this.
    if segment.summary == nil {
      let now = StoreSnapshot(reading: part.root, part.fileSystem)
      guard now.isRebuilt || closedSummary(of: segment, now) == closed else { return }
    }
    add(damage)
  }

  /// What a segment held when the store was closed; nil where somebody writes to it.
  private func closedSummary(
    of segment: ManifestState.Segment, _ snapshot: StoreSnapshot
  ) -> SegmentSummary? {
    snapshot.state.closedEnd(of: log).flatMap {
      $0.segmentID == segment.added.segmentID ? $0.summary : nil
    }
  }

  private func difference(
    from summary: SegmentSummary, _ check: SegmentCheck, _ outcome: FrameJudge.Outcome,
    _ name: String
  ) -> Damage? {
    // All of it was synced before the manifest said so: what looks like a tail is damage.
    guard outcome.end.position >= Int(clamping: summary.endPosition) else {
      return Damage(
        .damagedFrame, file: name, position: outcome.end.position,
        detail: "what stands here up to position \(summary.endPosition) was synced and is "
          + "damaged; no event is lost", number: outcome.end.nextNumber)
    }
    guard !check.isDamaged else { return nil }
    let differences = check.tally.differences(from: summary, end: outcome.end)
    guard !differences.isEmpty else { return nil }
    return Damage(
      .badSummary, file: name, position: Int(clamping: summary.endPosition),
      detail: "the manifest says otherwise: " + differences.joined(separator: ", "))
  }
}
