internal import EventModel
internal import LogFormat
package import StorageIO
package import SystemPackage

/// Mends what is damaged in a store that nobody has open, without destroying evidence (I7).
///
/// Nothing is written where a check finds nothing worse than notes. Every step leaves a whole store
/// behind, is kept once it returns, and finds nothing to do when it is repeated:
///
/// 1. Flipped bits are set right, in a copy that takes the file's place.
/// 2. Derived files that are wrong go to the quarantine; they are made again (I6).
/// 3. Queue files and checkpoints are written anew with what is left of them.
/// 4. A manifest that has lost edits is put together from the segments; in it every other loss is
///    recorded as a gap.
///
/// The ends of active files are left to the next opening, whose business they are. Bytes that go or
/// change are copied to the quarantine first. Blocks; one thread at a time.
package final class StoreRepair {
  /// Passes that leave no less to mend than the one before, at most.
  private static let passCountMax = 4

  let root: FilePath
  let environment: EngineEnvironment
  let quarantine: Quarantine
  private let findingMax: Int
  private let progress: @Sendable (FsckCounts) -> Void
  private(set) var repairs: [Repair] = []

  var fileSystem: any FileSystem { environment.fileSystem }

  private init(
    _ root: FilePath, _ environment: EngineEnvironment, findingMax: Int,
    _ progress: @escaping @Sendable (FsckCounts) -> Void
  ) {
    self.root = root
    self.environment = environment
    self.findingMax = findingMax
    self.progress = progress
    quarantine = Quarantine(
      root.appending(FileNames.quarantine), fileSystem: environment.fileSystem)
  }

  /// What was wrong, and what was done about it.
  package struct Outcome: Sendable {
    package let found: FsckResult
    package let repairs: [Repair]
  }

  /// Repairs a store.
  ///
  /// - Parameters:
  ///   - root: the store's folder.
  ///   - environment: files, time and chance.
  ///   - findingMax: how many findings of a sort are kept; the rest is mended behind them.
  ///   - progress: told after each file what was looked at so far.
  /// - Returns: what was found at first, and what was done. When anything was found that is worse
  ///   than a note, the store is to be opened for writing once, which does the rest.
  /// - Throws: ``RepairFailure``.
  package static func run(
    _ root: FilePath, environment: EngineEnvironment,
    findingMax: Int = FsckResult.findingMax,
    progress: @escaping @Sendable (FsckCounts) -> Void = { _ in }
  ) throws(RepairFailure) -> Outcome {
    let repair = StoreRepair(root, environment, findingMax: findingMax, progress)
    // Taking the lock writes to its file, and a store without damage stays as it is.
    try repair.refuseLocked()
    let found = try repair.check()
    guard found.needsRepair else { return Outcome(found: found, repairs: []) }
    let lock = try repair.takeLock()
    // A writer may have come and gone.
    let now = try repair.check()
    if now.needsRepair { try repair.mend(now) }
    withExtendedLifetime(lock) {}
    return Outcome(found: now, repairs: repair.repairs)
  }

  private func refuseLocked() throws(RepairFailure) {
    let holder: LockHolder?
    do throws(IOFailure) {
      holder = try fileSystem.lockHolder(of: root.appending(FileNames.lock))
    } catch {
      if error.isNoFile { return }
      throw .io(error)
    }
    if let holder { throw .locked(root, holder) }
  }

  private func takeLock() throws(RepairFailure) -> any FileLock {
    let attempt: LockAttempt
    do throws(IOFailure) {
      if try isNoFile(FileNames.lock) { try setAside(FileNames.lock, "it is no file") }
      attempt = try fileSystem.lock(root.appending(FileNames.lock))
    } catch {
      throw .io(error)
    }
    switch attempt {
    case .acquired(let lock): return lock
    case .held(let holder): throw .locked(root, holder)
    }
  }

  private func check() throws(RepairFailure) -> FsckResult {
    do throws(InspectionFailure) {
      return try Fsck.check(
        root, fileSystem: fileSystem, findingMax: findingMax, progress: progress)
    } catch {
      throw .inspection(error)
    }
  }

  /// Mends until nothing more comes of it: a manifest that was put together names files that nobody
  /// had checked, and behind damage that there is much of there is more.
  private func mend(_ found: FsckResult) throws(RepairFailure) {
    guard !mayOnlyRead() else { return }
    var found = found
    var passCount = 0
    while found.needsRepair, passCount < Self.passCountMax {
      let count = repairs.count
      try mendOnce(found)
      if repairs.count == count { return }
      let left = try check()
      if left.damageCount >= found.damageCount { passCount += 1 }
      found = left
    }
  }

  /// Whether a file has features of a newer program that may be read here, and not written.
  private func mayOnlyRead() -> Bool {
    let headers = [FileNames.manifest, FileNames.checkpoints].compactMap { name in
      SegmentFiles.source(at: root.appending(name), name: name, fileSystem)
        .flatMap { FileHeaderReading($0).header }
    }
    return (headers + SegmentFiles.headers(in: root, fileSystem: fileSystem))
      .contains(where: \.isReadOnly)
  }

  private func mendOnce(_ found: FsckResult) throws(RepairFailure) {
    let count = repairs.count
    do throws(IOFailure) {
      for name in found.damagedFiles where FileNames.isFile(name) {
        guard try isNoFile(name) else { continue }
        try setAside(name, "it is no file")
      }
      try healFiles(found)
    } catch {
      throw .io(error)
    }
    let left = repairs.count == count ? found : try check()
    do throws(IOFailure) {
      try setAsideDerived(left)
      try mendQueueFiles(left)
      let checkpoints = try mendCheckpoints(left)
      try mendManifest(left, checkpoints: checkpoints)
    } catch {
      throw .io(error)
    }
  }

  func note(_ kind: Repair.Kind, _ file: String, at position: Int = 0, _ detail: String) {
    repairs.append(Repair(kind, file: file, position: position, detail: detail))
  }

  func readSnapshot() -> StoreSnapshot { StoreSnapshot(reading: root, fileSystem) }

  /// Whether something has the name that cannot be a file of a store.
  ///
  /// - Throws: ``IOFailure``.
  private func isNoFile(_ name: String) throws(IOFailure) -> Bool {
    do throws(IOFailure) {
      _ = try fileSystem.open(root.appending(name), .readOnly)
      return false
    } catch {
      // A link to nothing is something.
      guard error.isNoFile else { throw error }
      return try fileSystem.kind(of: root.appending(name)) != nil
    }
  }

  // MARK: Flipped bits

  private func healFiles(_ found: FsckResult) throws(IOFailure) {
    let snapshot = readSnapshot()
    let contents = FrameContents()
    var segments: [String: (header: FileHeader?, evidence: UInt64)] = [:]
    for (_, log) in snapshot.logs {
      for index in log.indices {
        segments[StoreSnapshot.name(of: log[index].added)] = (
          snapshot.header(of: log[index].added), snapshot.evidence(log, at: index)
        )
      }
    }
    for name in found.mendableFiles {
      let isAlone =
        name == FileNames.manifest || name == FileNames.checkpoints
        || name.hasSuffix(FileNames.queueSuffix)
      guard isAlone || segments[name] != nil,
        let source = SegmentFiles.source(at: root.appending(name), name: name, fileSystem)
      else { continue }
      let healing = FileHealing(
        source, expected: segments[name]?.header, contents: contents)
      guard let healing else { continue }
      healing.run(evidence: segments[name]?.evidence ?? 0)
      // Nothing is written over bytes that the disk did not give.
      guard source.damage == nil else { continue }
      try write(healing)
    }
  }

  /// Puts a healed copy in a file's place; what is wrong in it is kept first.
  private func write(_ healing: FileHealing) throws(IOFailure) {
    let (source, repairs) = (healing.source, healing.source.repairs)
    guard healing.isHeaderWrong || !repairs.isEmpty else { return }
    // First, so that a repair that is cut short finds both again.
    try setAsideFooter(of: healing)
    let label = Self.label(of: source.name)
    if healing.isHeaderWrong {
      try quarantine.keep(
        0..<min(FileHeader.size, source.size), of: source.file, name: "\(label).header")
      note(.healed, source.name, "the file's header is written anew")
    }
    for repair in repairs {
      try quarantine.keep(
        repair.frame, of: source.file, name: "\(label).healed.\(repair.frame.lowerBound)")
      note(
        .healed, source.name, at: repair.frame.lowerBound,
        "a bit of the byte at \(repair.position) is set right")
    }
    let path = root.appending(source.name)
    try AtomicReplace.replace(path, in: fileSystem) { (file) throws(IOFailure) in
      try Quarantine.copy(0..<source.size, of: source.file, to: file)
      for repair in repairs {
        var byte = ByteBuffer(capacity: 1)
        byte.append(repair.value)
        try byte.withBytes { (bytes) throws(IOFailure) in
          try file.write(bytes, at: FilePosition(repair.position))
        }
      }
      guard healing.isHeaderWrong else { return }
      var header = ByteBuffer(capacity: FileHeader.size)
      healing.header.encode(into: &header)
      try header.withBytes { (bytes) throws(IOFailure) in try file.write(bytes, at: .start) }
    }
  }

  /// Sets aside a footer that leaves out what was damaged when it was made, and no longer is.
  private func setAsideFooter(of healing: FileHealing) throws(IOFailure) {
    let segment = healing.source.name
    guard segment.hasSuffix(FileNames.segmentSuffix) else { return }
    let name =
      String(segment.dropLast(FileNames.segmentSuffix.count)) + FileNames.footerSuffix
    guard let footer = SegmentFiles.source(at: root.appending(name), name: name, fileSystem)
    else { return }
    do throws(FormatError) {
      let reading = try FooterReading(footer, identity: healing.header.identity)
      guard reading.footer.hasHoles else { return }
    } catch {
      // The check of it tells, and it goes with what is derived.
      return
    }
    try setAside(name, "it leaves out what is healed, and it is made again")
  }

  /// A path inside the store as a part of a file's name.
  static func label(of name: String) -> String {
    String(name.map { $0 == "/" ? "-" : $0 })
  }

  // MARK: Derived files

  private func setAsideDerived(_ left: FsckResult) throws(IOFailure) {
    for name in left.mendableFiles where FileNames.isDerived(name) {
      try setAside(name, "readers do without, and it is made again")
    }
  }

  /// Moves a file, or whatever else has its name, to the quarantine.
  func setAside(_ name: String, _ why: String) throws(IOFailure) {
    let path = root.appending(name)
    guard try fileSystem.kind(of: path) != nil else { return }
    try quarantine.take(path, name: Self.label(of: name))
    note(.setAside, name, why)
  }

  // MARK: Checkpoints

  /// Writes the checkpoints anew with every entry that can be read.
  ///
  /// A group whose last entries are lost goes on at an older one: its events come twice.
  ///
  /// - Returns: where the file ends now; nil where it is as it was.
  private func mendCheckpoints(
    _ left: FsckResult
  ) throws(IOFailure) -> ManifestEdit.CheckpointsEnd? {
    let isDamaged = left.findings.contains {
      $0.file == FileNames.checkpoints && $0.severity > .note && $0.kind != .checkpointAhead
    }
    guard isDamaged, !left.unreadableFiles.contains(FileNames.checkpoints) else { return nil }
    var snapshot = StoreSnapshot(root: root, fileSystem: fileSystem)
    var entries: [CheckpointEntry] = []
    _ = snapshot.read { item in
      if case .checkpointEntry(let entry) = item { entries.append(entry.entry) }
      return .goOn
    }
    entries.removeAll { entry in
      guard case .checkpoint(let checkpoint) = entry else { return false }
      return checkpoint.partition >= snapshot.partitionCount
        && checkpoint.partition < UInt32(PartitionID.streamBase)
    }
    let storeID = snapshot.header?.storeID
    if storeID != nil, storeID == snapshot.checkpointStoreID {
      try keepWhole(FileNames.checkpoints)
    } else {
      entries = []
      try setAside(FileNames.checkpoints, "nothing in it can be read; groups begin anew")
    }
    guard let storeID else { return nil }
    let file = EntryFile(
      checkpoints: entries, storeID: storeID, salt: environment.random(), at: environment.now())
    try replace(FileNames.checkpoints, with: file.bytes)
    note(.rebuilt, FileNames.checkpoints, "\(entries.count) entries could be read and stay")
    return ManifestEdit.CheckpointsEnd(file.identity, file.end)
  }

  /// Copies a whole file to the quarantine.
  func keepWhole(_ name: String, as what: String = "damaged") throws(IOFailure) {
    let file = try fileSystem.open(root.appending(name), .readOnly)
    try quarantine.keep(
      0..<(try file.size().bytes), of: file, name: "\(Self.label(of: name)).\(what)")
  }

  func replace(_ name: String, with bytes: borrowing ByteBuffer) throws(IOFailure) {
    try bytes.withBytes { (bytes) throws(IOFailure) in
      try AtomicReplace.replace(root.appending(name), with: bytes, in: fileSystem)
    }
  }
}

extension FsckResult {
  /// The files that more than a note is about, in the order of their names.
  var damagedFiles: [String] {
    Set(findings.filter { $0.severity > .note }.map(\.file)).sorted()
  }

  /// The files that the disk does not give today.
  ///
  /// They may be whole tomorrow: nothing is concluded from them, but for what can be made again.
  var unreadableFiles: Set<String> {
    Set(
      findings.lazy.filter { $0.kind == .unreadable && !FileNames.isDerived($0.file) }.map(\.file))
  }

  /// The files that a repair does something about.
  var mendableFiles: [String] {
    let unreadable = unreadableFiles
    return damagedFiles.filter { !unreadable.contains($0) }
  }
}
