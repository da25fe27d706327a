internal import EventModel
internal import LogFormat
package import StorageIO
package import SystemPackage

/// Checks everything in a store and changes nothing.
///
/// Takes no lock: beside a live writer it judges what was there when it came by. Blocks; one thread
/// at a time.
package final class Fsck {
  let root: FilePath
  let fileSystem: any FileSystem
  let snapshot: StoreSnapshot
  private(set) var result = FsckResult()
  private let progress: (FsckCounts) -> Void

  private init(
    _ root: FilePath, _ fileSystem: any FileSystem, _ progress: @escaping (FsckCounts) -> Void
  ) {
    self.root = root
    self.fileSystem = fileSystem
    self.progress = progress
    snapshot = StoreSnapshot(root: root, fileSystem: fileSystem)
  }

  /// Checks a store.
  ///
  /// - Parameters:
  ///   - root: the store's folder.
  ///   - fileSystem: where the folder is.
  ///   - progress: told after each file what was looked at so far.
  /// - Returns: what was looked at and what is wrong with it.
  /// - Throws: ``InspectionFailure`` when the path cannot be read or holds no store.
  package static func check(
    _ root: FilePath, fileSystem: any FileSystem,
    progress: @escaping (FsckCounts) -> Void = { _ in }
  ) throws(InspectionFailure) -> FsckResult {
    let inspector = try StoreInspector(root, fileSystem: fileSystem, wantsStore: true)
    precondition(inspector.target == .store, "a store was asked for, not \(inspector.target)")
    let fsck = Fsck(root, fileSystem, progress)
    fsck.run()
    return fsck.result
  }

  private func run() {
    _ = snapshot.read()
    for damage in snapshot.damages { add(damage) }
    count { counts in
      counts.frames += snapshot.frameCount
      counts.bytes += snapshot.byteCount
      counts.manifestEdits += snapshot.manifestEditCount
      counts.checkpointEntries += snapshot.checkpointEntryCount
    }
    checkManifest()
    var ends: [UInt32: UInt64] = [:]
    for (log, segments) in snapshot.logs {
      let end = LogCheck(self, log, segments).run()
      ends[UInt32(log.partitionID.number)] = end
    }
    checkCheckpoints(ends)
    QueueFileCheck.run(self)
    FileCheck(self).run()
  }

  /// Adds a finding; damage that the manifest records is a note.
  func add(_ damage: Damage, severity: Severity? = nil, log: ManifestEdit.LogID? = nil) {
    guard let log, let range = damage.range, snapshot.state.gaps.cover(range, of: log) else {
      result.add(FsckFinding(damage, severity: severity))
      return
    }
    var damage = damage
    damage.detail += " (recorded in the manifest)"
    result.add(FsckFinding(damage, severity: .note))
  }

  func count(_ change: (inout FsckCounts) -> Void) {
    change(&result.checked)
    progress(result.checked)
  }

  /// The entries of a folder of the store; what cannot be listed is told.
  func list(_ name: String) -> [DirectoryEntry] {
    let path = name.isEmpty ? root : root.appending(name)
    do throws(IOFailure) {
      return try fileSystem.list(path)
    } catch {
      if !error.isMissing {
        add(Damage(.unreadable, file: name, detail: "\(error)"))
      }
      return []
    }
  }

  /// Says that a file or folder does not belong to the store.
  func orphan(_ name: String) {
    let detail =
      name.hasSuffix(FileNames.replacementSuffix)
      ? "left over from a replacement that a crash ended" : "no part of the store"
    add(Damage(.orphanFile, file: name, detail: detail))
  }

  private func manifestDamage(_ detail: String, _ kind: DamageKind = .manifestDamaged) {
    add(Damage(kind, file: FileNames.manifest, detail: detail))
  }

  private func checkManifest() {
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
    add(
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

  private func checkCheckpoints(_ ends: [UInt32: UInt64]) {
    if let storeID = snapshot.checkpointStoreID, let mine = snapshot.header?.storeID,
      storeID != mine
    {
      add(
        Damage(
          .badFileHeader, file: FileNames.checkpoints,
          detail: "the file belongs to store \(storeID), not to \(mine)"))
    }
    for (group, checkpoints) in snapshot.groups.sorted(by: { $0.key < $1.key }) {
      for (partition, checkpoint) in checkpoints.sorted(by: { $0.key < $1.key }) {
        check(checkpoint, of: group, in: partition, end: ends[partition])
      }
    }
  }

  private func check(
    _ checkpoint: CheckpointEntry.GroupCheckpoint, of group: GroupName, in partition: UInt32,
    end: UInt64?
  ) {
    let isStream = [PartitionID.feedback, .deadLetters].contains { $0.number == partition }
    guard isStream || partition < snapshot.partitionCount else {
      add(
        Damage(
          .badCheckpoint, file: FileNames.checkpoints,
          detail: "group \(group) has a checkpoint in partition \(partition) of "
            + "\(snapshot.partitionCount)"))
      return
    }
    // A stream that has never been needed ends where it begins.
    guard let end = end ?? (isStream ? 0 : nil), checkpoint.next > end else { return }
    add(
      Damage(
        .checkpointAhead, file: FileNames.checkpoints,
        detail: "group \(group) stands at \(checkpoint.next) in partition \(partition), "
          + "which ends at \(end)"))
  }
}
