internal import EventModel
internal import LogFormat

/// Walks a file whose frames hold entries: the manifest and the checkpoint file.
struct EntryLogWalk<Entry: Hashable & Sendable> {
  enum Item {
    case frame(InspectedFrame)
    case entry(InspectedEntry<Entry>)
    case damage(Damage)
  }

  let source: InspectedSource
  let header: FileHeader
  let contents: FrameContents
  /// The type of the frames that hold entries.
  let entryType: UInt8
  /// How damage below the watermark is called.
  let damageKind: DamageKind
  let decode: (RawSpan, Int) throws(FormatError) -> [Entry]

  func run(_ visit: (Item) -> WalkStep) -> FrameJudge.Outcome {
    let judge = FrameJudge(
      source: source, identity: header.identity, start: .behind(header), evidence: 0,
      contents: contents, isHealable: true)
    let outcome = judge.run { item in
      switch item {
      case .finding(let finding):
        return visit(.damage(describe(finding)))
      case .healed(let repair):
        return visit(.damage(repair.damage(file: source.name)))
      case .frame(let frame, .kept):
        return tell(frame, visit)
      case .frame(let frame, let standing):
        return visit(.frame(InspectedFrame(file: source.name, frame: frame, standing: standing)))
      }
    }
    guard !outcome.isStopped else { return outcome }
    for damage in outcome.damages(file: source.name, log: nil)
    where visit(.damage(damage)) == .stop { return outcome }
    return outcome
  }

  private func tell(_ frame: ScannedFrame, _ visit: (Item) -> WalkStep) -> WalkStep {
    var inspected = InspectedFrame(file: source.name, frame: frame, standing: .kept)
    var entries: [Entry] = []
    var damage: Damage?
    let count = Int(frame.header.recordCount)
    do throws(FormatError) {
      entries = try contents.withBody(frame, source, header.identity) {
        (body) throws(FormatError) in
        frame.header.type == entryType ? try decode(body, count) : []
      }
      damage = frame.unsupportedType(file: source.name, expected: entryType)
    } catch {
      inspected.state = .bodyDamaged
      damage = self.damage(error, frame)
    }
    guard visit(.frame(inspected)) == .goOn else { return .stop }
    for (index, entry) in entries.enumerated() {
      let item = InspectedEntry(
        file: source.name, position: frame.position,
        number: frame.header.baseNumber &+ UInt64(index), entry: entry)
      guard visit(.entry(item)) == .goOn else { return .stop }
    }
    guard let damage else { return .goOn }
    return visit(.damage(damage))
  }

  private func damage(_ error: FormatError, _ frame: ScannedFrame) -> Damage {
    let kind = if case .corrupt = error { damageKind } else { DamageKind.unsupported }
    return Damage(kind, file: source.name, position: frame.position, detail: "\(error)")
  }

  private func describe(_ finding: RecoveryRule.Finding) -> Damage {
    let kind = finding.kind == .brokenChain ? DamageKind.brokenChain : damageKind
    return Damage(
      kind, file: source.name, position: finding.position, detail: finding.detail(of: "entries"))
  }
}

extension BitRepair {
  func damage(file: String) -> Damage {
    Damage(
      .flippedBit, file: file, position: frame.lowerBound,
      detail: "a bit of the byte at \(position) is wrong; the next writer sets it right")
  }
}

extension InspectedFrame {
  init(file: String, frame: ScannedFrame, standing: FrameJudge.Standing) {
    let state: State =
      switch standing {
      case .kept: frame.header.type >= FrameHeader.FrameType.ignorable ? .ignorable : .ok
      case .stale: .stale
      case .unproven: .unproven
      }
    self.init(file: file, frame: frame, state: state)
  }
}

extension ScannedFrame {
  /// What to say of a frame of a type that this program may not pass over.
  func unsupportedType(file: String, expected: UInt8) -> Damage? {
    guard unsupported(besides: expected) != nil else { return nil }
    return Damage(
      .unsupported, file: file, position: position,
      detail: "frame type \(header.type) is unknown to this program here")
  }
}

extension RecoveryRule.Finding {
  func detail(of records: String) -> String {
    switch kind {
    case .brokenChain: "the frame does not chain from the one before it; its numbers do"
    case .missing: "\(records) \(first) up to \(next) are missing between two sound frames"
    case .damaged:
      lostRecords
        ? "\(records) \(first) up to \(next) stood here and are damaged"
        : "a frame without \(records) stood here and is damaged"
    }
  }
}

extension FrameJudge.Outcome {
  /// What is wrong behind the last frame that stands.
  func damages(file: String, log: ManifestEdit.LogID?) -> [Damage] {
    var damages: [Damage] = []
    if let unsupported {
      damages.append(
        Damage(
          .unsupported, file: file, position: unsupported.position,
          detail: "\(unsupported.error)"))
    }
    let size = cut.count
    let behind = "\(size) bytes behind number \(end.nextNumber)"
    switch tail {
    case .clean: break
    case .tornTail:
      damages.append(
        Damage(
          .tornTail, file: file, position: end.position,
          detail: "\(behind) are an unfinished write; the next writer cuts them"))
    case .reorderedTail:
      damages.append(
        Damage(
          .reorderedTail, file: file, position: end.position,
          detail: "\(behind) follow a write that is missing; the next writer cuts them"))
    case .undecidableTail:
      damages.append(undecidable(file, behind))
    case .lostSuffix:
      if let damage = lost(file, log) { damages.append(damage) }
    }
    return damages
  }

  private func undecidable(_ file: String, _ behind: String) -> Damage {
    var detail = "\(behind) are unfinished, or were damaged after they were synced"
    if let range = possiblyAcknowledged {
      detail += "; \(range.lowerBound) up to \(range.upperBound) may have been acknowledged"
    }
    return Damage(.undecidableTail, file: file, position: end.position, detail: detail)
  }

  private func lost(_ file: String, _ log: ManifestEdit.LogID?) -> Damage? {
    guard let lostSuffix else { return nil }
    var detail =
      "\(lostSuffix.lowerBound) up to \(lostSuffix.upperBound) were durable and are gone"
    if let range = possiblyAcknowledged {
      detail += "; \(range.lowerBound) up to \(range.upperBound) may have been acknowledged"
    }
    return Damage(
      .lostSuffix, file: file, position: end.position, detail: detail,
      acknowledgedLoss: log.map {
        AcknowledgedLoss(
          partition: $0.numberOfLoss, firstSequence: lostSuffix.lowerBound,
          nextSequence: lostSuffix.upperBound, devices: nil, from: lastTime, to: nil)
      })
  }
}
