internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

extension StoreSnapshot {
  /// Whether there are segments with events whose ids the manifest never gave: the edits that
  /// named them were durable before the first event, so they are lost.
  func hasUnnamedSegments() -> Bool {
    let segments = state.logs.values.joined().map(\.added) + state.retired
    // All headers need not be read to find a stranger. One log's segment may have the id of
    // another's: so it is where it could not be seen when that was made.
    let known = Set(segments.map { root.appending(Self.name(of: $0)) })
    var isFound = false
    SegmentFiles.walk(root, fileSystem) { path, name in
      guard !isFound, !known.contains(path), let stem = FileNames.parseSegmentStem(name),
        !isMerge(path.removingLastComponent(), baseNumber: stem.baseNumber)
      else { return }
      isFound = SegmentFiles.source(at: path, fileSystem).map { isUnnamed($0) } ?? false
    }
    return isFound
  }

  /// Whether a segment is there that begins at the same event, as where a merge was cut short: then
  /// what the stranger holds is not lost with it.
  private func isMerge(_ folder: FilePath, baseNumber: UInt64) -> Bool {
    state.logs.values.joined().contains { segment in
      guard segment.isSealed, segment.added.baseNumber == baseNumber else { return false }
      let stem = FileNames.segmentStem(
        baseNumber: baseNumber, segmentID: segment.added.segmentID)
      do throws(IOFailure) {
        let path = folder.appending(stem + segment.added.log.stream.segmentSuffix)
        return try fileSystem.kind(of: path) == .file
      } catch {
        return false
      }
    }
  }

  private func isUnnamed(_ source: InspectedSource) -> Bool {
    guard let header = FileHeaderReading(source).header,
      header.storeID == self.header?.storeID, state.neverNamed(header)
    else { return false }
    let judge = FrameJudge(
      source: source, identity: header.identity, start: .behind(header), evidence: 0,
      contents: FrameContents())
    return judge.scanPiece(at: FileHeader.size).frames.contains { $0.header.recordCount > 0 }
  }

  /// Adds the segments that a damaged manifest no longer names, from their own headers: what the
  /// manifest said about them is gone, what they hold is not.
  ///
  /// - Returns: why no manifest can name all of them; nil where one can.
  mutating func rebuild() -> Damage? {
    let found = SegmentFiles.headers(in: root, fileSystem: fileSystem)
    guard let storeID = header?.storeID ?? checkpointStoreID ?? found.first?.storeID else {
      return nil
    }
    if header == nil {
      header = FileHeader(
        kind: .manifest, storeID: storeID, fileID: 0, salt: 0,
        created: Timestamp(microseconds: 0))
    }
    var segments: [SegmentKey: ManifestEdit.SegmentAdded] = [:]
    for header in found
    where header.storeID == storeID && ManifestEdit.LogID(header).isPossible {
      let added = ManifestEdit.SegmentAdded(header)
      segments[SegmentKey(added)] = added
    }
    for retired in state.retired { segments[SegmentKey(retired)] = nil }
    for segment in state.logs.values.joined() {
      segments[SegmentKey(segment.added)] = segment.added
    }
    let twins = takeTwins(from: &segments)
    hasTwins = !twins.isEmpty
    do throws(FormatError) {
      state = try Self.state(
        of: segments.values.sorted { $0.segmentID < $1.segmentID }, like: state)
      isRebuilt = true
    } catch {
      // Every edit comes from a state that was valid; what is left of the manifest still stands.
      return nil
    }
    guard !twins.isEmpty else { return nil }
    return Damage(
      .manifestDamaged, file: FileNames.manifest,
      detail: "segment ids were given twice, and a manifest can name only one of each: "
        + twins.map { Self.name(of: $0) }.joined(separator: ", ")
        + " cannot be named; `millrace salvage` takes their events into a new store")
  }

  /// Ids are given once in a store; a file with another one's can be made nevertheless.
  private struct SegmentKey: Hashable {
    let log: ManifestEdit.LogID
    let segmentID: UInt64

    init(_ added: ManifestEdit.SegmentAdded) {
      log = added.log
      segmentID = added.segmentID
    }
  }

  /// Leaves one segment of each id, that which the manifest names, and returns the others.
  ///
  /// Also one that holds no record counts: where it begins may be all that tells the next number.
  private func takeTwins(
    from segments: inout [SegmentKey: ManifestEdit.SegmentAdded]
  ) -> [ManifestEdit.SegmentAdded] {
    let named = Set(state.logs.values.joined().map { SegmentKey($0.added) })
    var kept = Set(named.map(\.segmentID))
    let others = segments.values.filter { !named.contains(SegmentKey($0)) }
      .sorted { $0.log < $1.log }
    let left = others.filter { !kept.insert($0.segmentID).inserted }
    for added in left { segments[SegmentKey(added)] = nil }
    return left
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
    for edit in old.snapshot {
      switch edit {
      case .identity, .configuration, .segmentAdded, .segmentSealed, .segmentRetired,
        .segmentReplaced, .segmentIDFloor:
        break
      case .gap, .cut, .closed, .opened, .readingFirst, .queuesFiled: try state.apply(edit)
      }
    }
    return state
  }
}

extension ManifestEdit.SegmentAdded {
  /// What the manifest said about a segment, from the segment's own header.
  init(_ header: FileHeader) {
    self.init(
      log: ManifestEdit.LogID(header), segmentID: header.fileID, salt: header.salt,
      baseNumber: header.baseNumber, predecessorID: header.predecessorID,
      predecessorChain: header.predecessorChain, created: header.created)
  }
}
