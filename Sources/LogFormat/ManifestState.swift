internal import EventModel

/// What a store consists of, as the edits of its manifest add up to.
///
/// A pure value: the engine and fsck replay the same edits with the same code.
package struct ManifestState: Hashable, Sendable {
  package struct Segment: Hashable, Sendable {
    package var added: ManifestEdit.SegmentAdded
    /// What the segment held when it was sealed; nil while it is active.
    package var summary: SegmentSummary?

    package init(added: ManifestEdit.SegmentAdded, summary: SegmentSummary? = nil) {
      self.added = added
      self.summary = summary
    }

    package var isSealed: Bool { summary != nil }
  }

  package private(set) var identity: ManifestEdit.StoreIdentity?
  package private(set) var configuration: ManifestEdit.StoredConfiguration?
  package private(set) var readingFirst: ManifestEdit.ReadingFirst?
  /// The last checkpoint of the queues; nil while everything is in their journal.
  package private(set) var queueCheckpoint: ManifestEdit.QueueCheckpoint?
  /// The segments of each log, in the order of their base numbers.
  package private(set) var logs: [ManifestEdit.LogID: [Segment]] = [:]
  /// Retired segments whose files may still have to be unlinked.
  package private(set) var retired: [ManifestEdit.SegmentAdded] = []
  package private(set) var gaps: [ManifestEdit.RecordedGap] = []
  package private(set) var cuts: [ManifestEdit.TailCut] = []
  /// The last clean close, also when a writer has opened the store since: what it says about the
  /// end no longer holds then, but what was durable stays durable.
  private var lastClose: Close?
  private var openedSince: Timestamp?

  private struct Close: Hashable, Sendable {
    let time: Timestamp
    let ends: [ManifestEdit.LogEnd]
    let checkpoints: ManifestEdit.CheckpointsEnd
  }

  package private(set) var segmentIDMax: UInt64 = 0

  package init() {}

  package mutating func apply(_ edit: ManifestEdit) throws(FormatError) {
    switch edit {
    case .identity(let identity): self.identity = identity
    case .configuration(let configuration): self.configuration = configuration
    case .segmentAdded(let added):
      guard added.segmentID > segmentIDMax else {
        throw .corrupt("the manifest adds segment \(added.segmentID) twice")
      }
      segmentIDMax = added.segmentID
      insert(Segment(added: added))
    case .segmentSealed(let sealed):
      let place = try find(sealed.segmentID)
      try check(sealed.summary, of: logs[place.log]?[place.index])
      logs[place.log]?[place.index].summary = sealed.summary
    case .segmentRetired(let segmentID):
      let place = try find(segmentID)
      if let segment = logs[place.log]?.remove(at: place.index) { retired.append(segment.added) }
      if logs[place.log]?.isEmpty == true { logs[place.log] = nil }
    case .segmentReplaced(let replaced): try replace(replaced)
    case .readingFirst(let rule): readingFirst = rule
    case .queuesFiled(let checkpoint):
      let last = queueCheckpoint ?? ManifestEdit.QueueCheckpoint(number: 0, floor: 0)
      guard checkpoint.number > last.number, checkpoint.floor >= last.floor else {
        throw .corrupt(
          "checkpoint \(checkpoint.number) of the queues, up to \(checkpoint.floor), follows "
            + "\(last.number), up to \(last.floor)")
      }
      queueCheckpoint = checkpoint
    case .cut(let cut): cuts.append(cut)
    case .gap(let gap): gaps.append(gap)
    case .segmentIDFloor(let segmentID): segmentIDMax = max(segmentIDMax, segmentID)
    case .opened(let time): openedSince = time
    case .closed(let time, let ends, let checkpoints):
      for end in ends {
        try check(
          end.summary, of: logs[end.log]?.first { $0.added.segmentID == end.segmentID })
      }
      lastClose = Close(time: time, ends: ends, checkpoints: checkpoints)
      openedSince = nil
    }
  }

  /// A segment ends no earlier than it begins.
  private func check(_ summary: SegmentSummary, of segment: Segment?) throws(FormatError) {
    guard let added = segment?.added, summary.nextNumber < added.baseNumber else { return }
    throw .corrupt(
      "segment \(added.segmentID) begins at \(added.baseNumber) and ends at "
        + "\(summary.nextNumber)")
  }

  /// Adds a segment behind those of its log that begin no later: ids tell the order in which
  /// segments were made, which is another one once some were replaced.
  private mutating func insert(_ segment: Segment) {
    let segments = logs[segment.added.log] ?? []
    let index = segments.lastIndex { $0.added.baseNumber <= segment.added.baseNumber }
    logs[segment.added.log, default: []].insert(segment, at: index.map { $0 + 1 } ?? 0)
  }

  private mutating func replace(
    _ replaced: ManifestEdit.SegmentReplaced
  ) throws(FormatError) {
    let added = replaced.added
    let place = try find(replaced.segmentID)
    let isKnown = logs.values.joined().contains { $0.added.segmentID == added.segmentID }
    guard !isKnown, place.log == added.log, let old = logs[place.log]?[place.index],
      old.added.baseNumber == added.baseNumber,
      old.summary?.nextNumber == replaced.summary.nextNumber
    else {
      throw .corrupt(
        "the manifest puts segment \(added.segmentID) in the place of \(replaced.segmentID), "
          + "which holds other events")
    }
    segmentIDMax = max(segmentIDMax, added.segmentID)
    logs[place.log]?[place.index] = Segment(added: added, summary: replaced.summary)
    retired.append(old.added)
  }

  private func find(
    _ segmentID: UInt64
  ) throws(FormatError) -> (log: ManifestEdit.LogID, index: Int) {
    for (log, segments) in logs {
      if let index = segments.firstIndex(where: { $0.added.segmentID == segmentID }) {
        return (log, index)
      }
    }
    throw .corrupt("the manifest names segment \(segmentID) without having added it")
  }

  /// Where every log ended, if the last writer closed the store.
  package var closedEnds: [ManifestEdit.LogEnd]? { openedSince == nil ? lastClose?.ends : nil }

  /// The highest number that anything in the manifest proves to have been durable in a log, beside
  /// the segments' own summaries (format-spec §3.6).
  package func evidence(of log: ManifestEdit.LogID) -> UInt64 {
    // A roll is a barrier: what stands before a segment was durable when the segment was named.
    var evidence = logs[log]?.last?.added.baseNumber ?? 0
    for end in lastClose?.ends ?? [] where end.log == log {
      evidence = max(evidence, end.summary.nextNumber)
    }
    if log.stream == .journal, let queueCheckpoint {
      evidence = max(evidence, queueCheckpoint.floor)
    }
    for gap in gaps where gap.log == log { evidence = max(evidence, gap.next) }
    let ids = Set((logs[log] ?? []).map(\.added.segmentID))
    for cut in cuts where ids.contains(cut.segmentID) { evidence = max(evidence, cut.watermark) }
    return evidence
  }

  /// Where a closed log ended.
  package func closedEnd(of log: ManifestEdit.LogID) -> ManifestEdit.LogEnd? {
    closedEnds?.first { $0.log == log }
  }

  /// What is known of the checkpoint file.
  package var checkpointWitness: CheckpointWitness {
    guard let lastClose else { return .none }
    return CheckpointWitness(end: lastClose.checkpoints, isClosed: openedSince == nil)
  }

  /// Puts what a log consisted of at another moment in the place of its segments and gaps.
  package mutating func replaceSegments(
    of log: ManifestEdit.LogID, with segments: [Segment], gaps: [ManifestEdit.RecordedGap]
  ) {
    logs[log] = segments.isEmpty ? nil : segments
    self.gaps = self.gaps.filter { $0.log != log } + gaps
    segmentIDMax = segments.reduce(segmentIDMax) { max($0, $1.added.segmentID) }
  }

  /// The least edits that add up to this state: what a rewritten manifest holds.
  package var snapshot: [ManifestEdit] {
    var edits: [ManifestEdit] = []
    if let identity { edits.append(.identity(identity)) }
    if let configuration { edits.append(.configuration(configuration)) }
    if let readingFirst { edits.append(.readingFirst(readingFirst)) }
    if let queueCheckpoint { edits.append(.queuesFiled(queueCheckpoint)) }
    // Ids are never used again, not even those of segments that are gone. The segments below add
    // theirs again.
    let segments = logs.values.flatMap { $0 }.sorted { $0.added.segmentID < $1.added.segmentID }
    for segment in segments {
      edits.append(.segmentAdded(segment.added))
      if let summary = segment.summary {
        edits.append(
          .segmentSealed(
            ManifestEdit.SegmentSealed(segmentID: segment.added.segmentID, summary: summary)))
      }
    }
    edits.append(.segmentIDFloor(segmentIDMax))
    edits += gaps.map { .gap($0) }
    edits += cuts.map { .cut($0) }
    if let lastClose {
      edits.append(.closed(lastClose.time, lastClose.ends, lastClose.checkpoints))
    }
    if let openedSince { edits.append(.opened(openedSince)) }
    return edits
  }
}
