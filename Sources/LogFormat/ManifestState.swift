/// What a store consists of, as the edits of its manifest add up to. A pure value: the engine and
/// fsck replay the same edits with the same code.
package struct ManifestState: Hashable, Sendable {
  package struct Segment: Hashable, Sendable {
    package var added: ManifestEdit.SegmentAdded
    /// What the segment held when it was sealed; nil while it is active.
    package var summary: SegmentSummary?

    package var isSealed: Bool { summary != nil }
  }

  package private(set) var identity: ManifestEdit.StoreIdentity?
  package private(set) var configuration: ManifestEdit.StoredConfiguration?
  /// The segments of each log, in the order of their base numbers.
  package private(set) var logs: [ManifestEdit.LogID: [Segment]] = [:]
  /// Retired segments whose files may still have to be unlinked.
  package private(set) var retired: [ManifestEdit.SegmentAdded] = []
  package private(set) var gaps: [ManifestEdit.RecordedGap] = []
  package private(set) var cuts: [ManifestEdit.TailCut] = []
  /// Where every log ended, if the last writer closed the store.
  package private(set) var closedEnds: [ManifestEdit.LogEnd]?
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
      logs[added.log, default: []].append(Segment(added: added))
    case .segmentSealed(let sealed):
      let place = try find(sealed.segmentID)
      logs[place.log]?[place.index].summary = sealed.summary
    case .segmentRetired(let segmentID):
      let place = try find(segmentID)
      if let segment = logs[place.log]?.remove(at: place.index) { retired.append(segment.added) }
      if logs[place.log]?.isEmpty == true { logs[place.log] = nil }
    case .cut(let cut): cuts.append(cut)
    case .gap(let gap): gaps.append(gap)
    case .segmentIDFloor(let segmentID): segmentIDMax = max(segmentIDMax, segmentID)
    case .opened: closedEnds = nil
    case .closed(_, let ends): closedEnds = ends
    }
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

  /// Where a closed log ended.
  package func closedEnd(of log: ManifestEdit.LogID) -> ManifestEdit.LogEnd? {
    closedEnds?.first { $0.log == log }
  }

  /// The least edits that add up to this state: what a rewritten manifest holds.
  package var snapshot: [ManifestEdit] {
    var edits: [ManifestEdit] = []
    if let identity { edits.append(.identity(identity)) }
    if let configuration { edits.append(.configuration(configuration)) }
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
    return edits
  }
}
