internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// What a store says about itself: its manifest and its checkpoints, read without a lock and
/// without changing anything.
///
/// The checkpoints are read first and the segments after both: what a checkpoint covers beside a
/// live writer is then in the segments that the manifest names, and in their bytes.
struct StoreSnapshot: Sendable {
  let root: FilePath
  let fileSystem: any FileSystem
  /// Of the manifest; nil if there is none that can be read.
  var header: FileHeader?
  var state = ManifestState()
  /// Whether the state was put together from the segments' own headers.
  var isRebuilt = false
  /// Whether there are segments that no manifest can name beside others: then none is written.
  var hasTwins = false
  private(set) var groups: [GroupName: [UInt32: CheckpointEntry.GroupCheckpoint]] = [:]
  /// What is wrong with the two files; at most ``damageMax`` are kept.
  private(set) var damages: [Damage] = []
  private(set) var manifestEditCount = 0
  private(set) var checkpointEntryCount = 0
  private(set) var frameCount = 0
  private(set) var byteCount = 0

  private static let damageMax = 1_000

  /// A snapshot in which nothing is, before it is read.
  init(root: FilePath, fileSystem: any FileSystem) {
    self.root = root
    self.fileSystem = fileSystem
  }

  /// What both files say now.
  init(reading root: FilePath, _ fileSystem: any FileSystem) {
    self.init(root: root, fileSystem: fileSystem)
    _ = read()
  }

  /// Reads both files, telling everything in them.
  mutating func read(_ visit: (InspectedItem) -> WalkStep = { _ in .goOn }) -> WalkStep {
    guard readCheckpoints(visit) == .goOn, readManifest(visit) == .goOn,
      completeManifest(visit) == .goOn
    else { return .stop }
    guard let damage = checkpointLoss() else { return .goOn }
    return tell(damage, visit)
  }

  /// Adds the segments that the manifest has lost, if it has lost any.
  private mutating func completeManifest(_ visit: (InspectedItem) -> WalkStep) -> WalkStep {
    let isIncomplete = damages.contains { $0.kind == .manifestDamaged }
    if header == nil || state.logs.isEmpty || isIncomplete {
      return tellRebuilt(visit)
    } else if hasUnnamedSegments() {
      // A live writer may have named them since; no event goes into a segment before that.
      var now = StoreSnapshot(root: root, fileSystem: fileSystem)
      _ = now.readManifest { _ in .goOn }
      state = now.state
      guard hasUnnamedSegments() else { return .goOn }
      let damage = Damage(
        .manifestDamaged, file: FileNames.manifest,
        detail: "edits are lost: segments that hold events are not named")
      guard tell(damage, visit) == .goOn else { return .stop }
      return tellRebuilt(visit)
    }
    return .goOn
  }

  private mutating func tellRebuilt(_ visit: (InspectedItem) -> WalkStep) -> WalkStep {
    guard let damage = rebuild() else { return .goOn }
    return tell(damage, visit)
  }

  /// Says that something is wrong, and keeps it.
  private mutating func tell(_ damage: Damage, _ visit: (InspectedItem) -> WalkStep) -> WalkStep {
    if damages.count < Self.damageMax { damages.append(damage) }
    return visit(.damage(damage))
  }

  /// Opens a file of the store; what keeps it from being read is told.
  private mutating func open(
    _ name: String, _ visit: (InspectedItem) -> WalkStep
  ) -> (source: InspectedSource?, step: WalkStep) {
    do throws(IOFailure) {
      let source = try InspectedSource(root.appending(name), name: name, fileSystem: fileSystem)
      byteCount += source.size
      return (source, .goOn)
    } catch {
      let damage = Damage(
        error.isMissing ? .missingFile : .unreadable, file: name, detail: "\(error)")
      return (nil, tell(damage, visit))
    }
  }

  /// Reads a file's header and tells the file.
  private mutating func readHeader(
    _ source: InspectedSource, kind: FileHeader.Kind, _ visit: (InspectedItem) -> WalkStep
  ) -> (header: FileHeader?, step: WalkStep) {
    let reading = FileHeaderReading(source)
    let file = InspectedFile(name: source.name, size: source.size, header: reading.header)
    guard visit(.file(file)) == .goOn else { return (nil, .stop) }
    if let damage = reading.damage, tell(damage, visit) == .stop { return (nil, .stop) }
    guard let header = reading.header else { return (nil, .goOn) }
    guard header.kind == kind else {
      let damage = Damage(
        .badFileHeader, file: source.name, detail: "the header is one of a \(header.kind) file")
      return (nil, tell(damage, visit))
    }
    return (header, .goOn)
  }

  mutating func readManifest(_ visit: (InspectedItem) -> WalkStep) -> WalkStep {
    let opened = open(FileNames.manifest, visit)
    guard opened.step == .goOn else { return .stop }
    guard let source = opened.source else { return .goOn }
    let read = readHeader(source, kind: .manifest, visit)
    guard read.step == .goOn else { return .stop }
    guard let header = read.header else { return .goOn }
    self.header = header
    let walk = EntryLogWalk<ManifestEdit>(
      source: source, header: header, contents: FrameContents(),
      entryType: FrameHeader.FrameType.manifestEdits, damageKind: .manifestDamaged
    ) { (body, count) throws(FormatError) in try ManifestEdit.decodeAll(body, count: count) }
    let outcome = walk.run { item in
      switch item {
      case .frame(let frame):
        frameCount += 1
        return visit(.frame(frame))
      case .damage(let damage): return tell(damage, visit)
      case .entry(let entry): return apply(entry, visit)
      }
    }
    if let damage = source.damage, tell(damage, visit) == .stop { return .stop }
    return outcome.isStopped ? .stop : .goOn
  }

  private mutating func apply(
    _ entry: InspectedEntry<ManifestEdit>, _ visit: (InspectedItem) -> WalkStep
  ) -> WalkStep {
    manifestEditCount += 1
    guard visit(.manifestEdit(entry)) == .goOn else { return .stop }
    do throws(FormatError) {
      try state.apply(entry.entry)
      return .goOn
    } catch {
      let damage = Damage(
        .manifestDamaged, file: entry.file, position: entry.position,
        detail: "edit \(entry.number): \(error)")
      return tell(damage, visit)
    }
  }

  private mutating func readCheckpoints(_ visit: (InspectedItem) -> WalkStep) -> WalkStep {
    let opened = open(FileNames.checkpoints, visit)
    guard opened.step == .goOn else { return .stop }
    guard let source = opened.source else { return .goOn }
    let read = readHeader(source, kind: .checkpoints, visit)
    guard read.step == .goOn else { return .stop }
    guard let header = read.header else { return .goOn }
    let walk = EntryLogWalk<CheckpointEntry>(
      source: source, header: header, contents: FrameContents(),
      entryType: FrameHeader.FrameType.checkpointEntries, damageKind: .badCheckpoint
    ) { (body, count) throws(FormatError) in try CheckpointEntry.decodeAll(body, count: count) }
    let outcome = walk.run { item in
      switch item {
      case .frame(let frame):
        frameCount += 1
        return visit(.frame(frame))
      case .damage(let damage): return tell(damage, visit)
      case .entry(let entry):
        checkpointEntryCount += 1
        apply(entry.entry)
        return visit(.checkpointEntry(entry))
      }
    }
    checkpointStoreID = header.storeID
    guard !outcome.isStopped else { return .stop }
    if let damage = source.damage { return tell(damage, visit) }
    guard outcome.end.position == FileHeader.size, outcome.unsupported == nil,
      outcome.tail != .lostSuffix
    else { return .goOn }
    let damage = Damage(
      .lostSuffix, file: source.name, position: FileHeader.size,
      detail: "nothing can be read behind the header, where a frame always is")
    return tell(damage, visit)
  }

  /// The store that the checkpoint file says it belongs to.
  private(set) var checkpointStoreID: StoreID?

  private mutating func apply(_ entry: CheckpointEntry) {
    switch entry {
    case .groupCreated(let group, _): groups[group, default: [:]].merge([:]) { old, _ in old }
    case .groupDeleted(let group, _): groups[group] = nil
    // The frame that created the group may be lost to damage: its checkpoint still counts.
    case .checkpoint(let checkpoint):
      groups[checkpoint.group, default: [:]][checkpoint.partition] = checkpoint
    case .owner(let owner): groups[owner.group, default: [:]].merge([:]) { old, _ in old }
    }
  }
}
