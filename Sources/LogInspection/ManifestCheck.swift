internal import EventModel
internal import LogFormat

/// Checks whether a manifest says what a store needs, and tells the losses that it records.
struct ManifestCheck {
  private let part: FsckPart
  private let snapshot: StoreSnapshot

  init(_ part: FsckPart) {
    self.part = part
    snapshot = part.snapshot
  }

  private func manifestDamage(_ detail: String, _ kind: DamageKind = .manifestDamaged) {
    part.add(Damage(kind, file: FileNames.manifest, detail: detail))
  }

  func run() {
    let state = snapshot.state
    if snapshot.isRebuilt {
      // A manifest of a later version is not damaged; it was said that it cannot be read.
      let isUnsupported = snapshot.damages.contains {
        $0.kind == .unsupported && $0.file == FileNames.manifest
      }
      guard !isUnsupported else { return }
      manifestDamage("the segments were put together from their own headers")
    } else {
      if state.identity == nil { manifestDamage("no edit names the number of partitions") }
      if state.configuration == nil { manifestDamage("no edit holds the configuration") }
    }
    for partition in 0..<snapshot.partitionCount {
      let log = ManifestEdit.LogID(stream: .events, partition: partition)
      let segments = state.logs[log] ?? []
      if segments.last?.isSealed ?? true {
        manifestDamage(
          "partition \(partition) has no segment for new events", .manifestNoActiveSegment)
      }
    }
    for (log, segments) in snapshot.logs {
      if log.stream != .events, segments.last?.isSealed ?? true {
        manifestDamage("\(log.text) has no segment for new records", .manifestNoActiveSegment)
      }
      if log.stream == .events, log.partition >= snapshot.partitionCount {
        manifestDamage("partition \(log.partition) of \(snapshot.partitionCount) has segments")
      }
    }
    for gap in state.gaps { report(gap) }
  }

  private func report(_ gap: ManifestEdit.RecordedGap) {
    let reason =
      switch gap.reason {
      case .damaged: "damaged"
      case .lostSuffix: "lost behind the end of the log"
      case .missingSegment: "lost with their file"
      }
    let records = gap.log.stream == .events ? "events" : "records of \(gap.log.text)"
    part.add(
      Damage(
        .manifestGap, file: FileNames.manifest,
        detail: gap.first == gap.next
          ? "a damaged frame without \(records), before \(gap.next), is recorded"
          : "\(records) \(gap.first) up to \(gap.next) are recorded as \(reason)",
        acknowledgedLoss: gap.first == gap.next
          ? nil
          : AcknowledgedLoss(
            partition: gap.log.numberOfLoss, firstSequence: gap.first, nextSequence: gap.next,
            devices: nil, from: gap.from, to: gap.to)))
  }
}
