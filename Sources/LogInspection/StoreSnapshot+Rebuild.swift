internal import EventModel
internal import LogFormat

extension StoreSnapshot {
  /// Adds the segments that a damaged manifest no longer names, from their own headers: what the
  /// manifest said about them is gone, what they hold is not.
  func rebuild() {
    let found = SegmentFiles.headers(in: root, fileSystem: fileSystem)
    guard let storeID = header?.storeID ?? checkpointStoreID ?? found.first?.storeID else {
      return
    }
    if header == nil {
      header = FileHeader(
        kind: .manifest, storeID: storeID, fileID: 0, salt: 0,
        created: Timestamp(microseconds: 0))
    }
    var segments: [UInt64: ManifestEdit.SegmentAdded] = [:]
    for header in found
    where header.storeID == storeID && header.partition < Limits.partitionCountMax {
      segments[header.fileID] = ManifestEdit.SegmentAdded(header)
    }
    for retired in state.retired { segments[retired.segmentID] = nil }
    for segment in state.logs.values.joined() {
      segments[segment.added.segmentID] = segment.added
    }
    do throws(FormatError) {
      state = try Self.state(
        of: segments.values.sorted { $0.segmentID < $1.segmentID }, like: state)
      isRebuilt = true
    } catch {
      // Every edit comes from a state that was valid; what is left of the manifest still stands.
      return
    }
  }

  /// A state with these segments and everything else as in another one.
  private static func state(
    of segments: [ManifestEdit.SegmentAdded], like old: ManifestState
  ) throws(FormatError) -> ManifestState {
    var state = ManifestState()
    if let identity = old.identity { try state.apply(.identity(identity)) }
    if let configuration = old.configuration { try state.apply(.configuration(configuration)) }
    for added in segments where added.segmentID > 0 { try state.apply(.segmentAdded(added)) }
    for segment in old.logs.values.joined() {
      guard let summary = segment.summary else { continue }
      try state.apply(
        .segmentSealed(
          ManifestEdit.SegmentSealed(segmentID: segment.added.segmentID, summary: summary)))
    }
    for gap in old.gaps { try state.apply(.gap(gap)) }
    for cut in old.cuts { try state.apply(.cut(cut)) }
    if let ends = old.closedEnds {
      try state.apply(.closed(Timestamp(microseconds: 0), ends))
    }
    return state
  }
}

extension ManifestEdit.SegmentAdded {
  /// What the manifest said about a segment, from the segment's own header.
  init(_ header: FileHeader) {
    self.init(
      log: ManifestEdit.LogID(stream: header.stream, partition: header.partition),
      segmentID: header.fileID, salt: header.salt, baseNumber: header.baseNumber,
      predecessorID: header.predecessorID, predecessorChain: header.predecessorChain,
      created: header.created)
  }
}
