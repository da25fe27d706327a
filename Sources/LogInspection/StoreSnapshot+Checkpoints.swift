internal import LogFormat
internal import StorageIO
internal import SystemPackage

extension StoreSnapshot {
  /// Looks at a store that changes meanwhile.
  private static let attemptsMax = 10

  /// What the checkpoint file has lost although every frame in it is sound, as the manifest tells;
  /// nil for nothing, or where what is wrong with the file was told already.
  ///
  /// Both files are read again, the manifest first and last: an end that it names before and after
  /// is not one that a live writer has outdated in between.
  func checkpointLoss() -> Damage? {
    let isTold = damages.contains {
      $0.file == FileNames.checkpoints && $0.kind.severity == .error
    }
    guard !isTold, header != nil else { return nil }
    var witness = state.checkpointWitness
    for _ in 0..<Self.attemptsMax {
      // A manifest that has lost edits may have lost that somebody opened the store.
      if isRebuilt { witness.isClosed = false }
      guard let damage = loss(by: witness) else { return nil }
      var now = StoreSnapshot(root: root, fileSystem: fileSystem)
      _ = now.readManifest { _ in .goOn }
      var fresh = now.state.checkpointWitness
      if isRebuilt { fresh.isClosed = false }
      guard fresh != witness else { return damage }
      witness = fresh
    }
    return nil
  }

  private func loss(by witness: CheckpointWitness) -> Damage? {
    let name = FileNames.checkpoints
    guard let source = SegmentFiles.source(at: root.appending(name), name: name, fileSystem),
      let header = FileHeaderReading(source).header,
      header.kind == .checkpoints, header.storeID == self.header?.storeID
    else { return nil }
    let judge = FrameJudge(
      source: source, identity: header.identity, start: .behind(header), evidence: 0,
      contents: FrameContents(), isHealable: true)
    var ends: [Int: UInt32] = [:]
    let outcome = judge.run { item in
      if case .frame(let frame, .kept) = item, frame.end == Int(clamping: witness.end.position) {
        ends[frame.end] = frame.checksum
      }
      return .goOn
    }
    guard source.damage == nil, outcome.unsupported == nil else { return nil }
    switch witness.loss(salt: header.salt, reaches: { ends[$0] == $1 }) {
    case nil: return nil
    case .lastCommits:
      return Damage(
        .lostSuffix, file: name, position: outcome.end.position,
        detail: "\(CheckpointWitness.Loss.lastCommits): the file ended at \(witness.end.position)")
    case .otherFile:
      return Damage(.badCheckpoint, file: name, detail: "\(CheckpointWitness.Loss.otherFile)")
    }
  }
}
