internal import EventModel
internal import LogFormat

/// Walks the frames of one segment, decodes what stands and says what does not.
struct SegmentWalk {
  enum Item {
    /// A frame, and the batch in it if there is one and it holds.
    case frame(InspectedFrame, FrameContents.Batch?)
    case damage(Damage)
  }

  let source: InspectedSource
  /// The file's own header, or the one that the manifest says it had.
  let header: FileHeader
  let evidence: UInt64
  let contents: FrameContents
  let isSealed: Bool
  let records: RecordCheck

  private var log: ManifestEdit.LogID { ManifestEdit.LogID(header) }

  func run(_ visit: (Item) -> WalkStep) -> FrameJudge.Outcome {
    let judge = FrameJudge(
      source: source, identity: header.identity, start: .behind(header), evidence: evidence,
      contents: contents, isHealable: !isSealed)
    let outcome = judge.run { item in
      switch item {
      case .finding(let finding):
        return visit(.damage(describe(finding)))
      case .healed(let repair):
        return visit(.damage(repair.damage(file: source.name)))
      case .frame(let frame, .kept):
        return tell(frame, visit)
      case .frame(let frame, let standing):
        let inspected = InspectedFrame(file: source.name, frame: frame, standing: standing)
        return visit(.frame(inspected, nil))
      }
    }
    guard !outcome.isStopped else { return outcome }
    for damage in outcome.damages(file: source.name, log: log)
    where visit(.damage(damage)) == .stop { return outcome }
    return outcome
  }

  private func tell(_ frame: ScannedFrame, _ visit: (Item) -> WalkStep) -> WalkStep {
    var inspected = InspectedFrame(file: source.name, frame: frame, standing: .kept)
    let damage: Damage?
    var batch: FrameContents.Batch?
    do throws(FormatError) {
      if frame.header.type == FrameHeader.FrameType.batch {
        batch = try contents.batch(frame, source, header.identity)
      } else {
        try contents.withBody(frame, source, header.identity) { (_) throws(FormatError) in }
      }
      damage = frame.unsupportedType(
        file: source.name, expected: FrameHeader.FrameType.batch)
    } catch {
      inspected.state = .bodyDamaged
      damage = self.damage(error, frame)
    }
    guard visit(.frame(inspected, batch)) == .goOn else { return .stop }
    if let batch {
      let damages = records.damages(
        in: batch.decoded, at: frame.position, file: source.name, header)
      for damage in damages where visit(.damage(damage)) == .stop { return .stop }
    }
    guard let damage else { return .goOn }
    return visit(.damage(damage))
  }

  private func damage(_ error: FormatError, _ frame: ScannedFrame) -> Damage {
    guard case .corrupt(let detail) = error else {
      return Damage(
        .unsupported, file: source.name, position: frame.position, detail: "\(error)")
    }
    var damage = Damage(
      .damagedFrame, file: source.name, position: frame.position, detail: detail,
      number: frame.header.recordCount > 0 ? nil : frame.header.baseNumber)
    guard frame.header.recordCount > 0 else { return damage }
    let clear = contents.clearSection(frame, source, header.identity)
    let first = frame.header.baseTime
    damage.acknowledgedLoss = AcknowledgedLoss(
      partition: log.numberOfLoss, firstSequence: frame.header.baseNumber,
      nextSequence: frame.header.nextNumber,
      devices: clear.map { $0.devices.map(\.description) }, from: first,
      to: clear.map {
        Timestamp(microseconds: first.microseconds &+ Int64(bitPattern: $0.section.timeSpan))
      })
    return damage
  }

  private func describe(_ finding: RecoveryRule.Finding) -> Damage {
    let kind: DamageKind =
      switch finding.kind {
      case .damaged: .damagedFrame
      case .missing: .missingRecords
      case .brokenChain: .brokenChain
      }
    return Damage(
      kind, file: source.name, position: finding.position, detail: finding.detail(of: "events"),
      acknowledgedLoss: finding.lostRecords
        ? AcknowledgedLoss(
          partition: log.numberOfLoss, firstSequence: finding.first, nextSequence: finding.next,
          devices: nil, from: finding.from, to: finding.to) : nil,
      number: finding.lostRecords ? nil : finding.next)
  }
}
