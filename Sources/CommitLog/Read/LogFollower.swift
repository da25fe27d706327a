internal import EventModel
package import LogFormat
package import StorageIO
internal import Synchronization
package import SystemPackage

/// A store as another process, or none, writes it: read without the lock and without writing a
/// byte (I14).
///
/// Beside a live writer it shows what the writer's watermarks prove. Without one it syncs through
/// its own descriptors first and then shows every whole frame, as recovery would.
package final class LogFollower: Sendable {
  package let context: LogContext
  package let mappings: MappingCache
  package let partitionCount: Int
  /// What was known about durable numbers from outside the log when it was opened.
  private let evidence: [UInt32: UInt64]
  private let state: Mutex<State>

  private struct State {
    var manifest: ManifestState
    var manifestSize: Int
    var logs: [ManifestEdit.LogID: FollowedLog] = [:]
    /// Why nobody can tell whether a log has segments that the manifest does not name: until the
    /// store is opened again.
    private(set) var unknown: [ManifestEdit.LogID: IOFailure] = [:]

    init(manifest: ManifestState, manifestSize: Int) {
      self.manifest = manifest
      self.manifestSize = manifestSize
    }

    /// Has readers of these logs throw at their ends.
    mutating func holdBack(_ unknown: [ManifestEdit.LogID: IOFailure]) {
      self.unknown = unknown
      for (log, cause) in unknown { logs[log]?.holdBack(cause) }
    }

    /// One of the partitions, of which there are as many as the store was created with.
    func partition(_ number: Int) -> FollowedLog {
      let log = ManifestEdit.LogID(stream: .events, partition: UInt32(number))
      guard let followed = logs[log] else { preconditionFailure("there is no \(log.text)") }
      return followed
    }
  }

  private init(context: LogContext, evidence: [UInt32: UInt64], state: State) {
    self.context = context
    self.evidence = evidence
    mappings = MappingCache(context.fileSystem)
    partitionCount = Int(state.manifest.identity?.partitionCount ?? 0)
    self.state = Mutex(state)
  }

  /// Opens a store for reading.
  ///
  /// - Parameters:
  ///   - root: the store's folder.
  ///   - environment: files, time and chance.
  ///   - evidence: what is known about durable numbers from outside the log, such as consumers'
  ///     checkpoints: asked for before the segments are read, and told what the manifest says.
  /// - Returns: the store as it is now.
  /// - Throws: ``CommitLogFailure``.
  package static func open(
    at root: FilePath, environment: EngineEnvironment,
    evidence: (ManifestImage) throws(CommitLogFailure) -> [UInt32: UInt64]
  ) throws(CommitLogFailure) -> LogFollower {
    let image = try ManifestImage.read(root: root, fileSystem: environment.fileSystem)
    guard let stored = image.state.configuration else {
      throw .notAStore(root, "its manifest names no configuration")
    }
    let context = LogContext(
      root: root, storeID: image.header.storeID, environment: environment,
      settings: LogSettings(
        codec: stored.codec, segmentSize: Int(clamping: stored.segmentSize),
        batchSize: Int(clamping: stored.batchSize)))
    let evidence = try evidence(image)
    let state = try scan(context, evidence, known: nil)
    return LogFollower(context: context, evidence: evidence, state: state)
  }

  /// Whether a process that writes is at work on the store.
  package func writer() throws(CommitLogFailure) -> LockHolder? {
    try Self.writer(context)
  }

  /// Manifest and snapshots of one moment.
  package var copySource: StoreCopy.Source {
    state.withLock {
      StoreCopy.Source(
        context: context, manifest: $0.manifest,
        snapshots: $0.logs.sorted { $0.key < $1.key }.map(\.value.snapshot),
        evidence: $0.logs.mapValues(\.evidence))
    }
  }

  /// The last checkpoint of the queues; nil for none.
  package var queueCheckpoint: ManifestEdit.QueueCheckpoint? {
    state.withLock { $0.manifest.queueCheckpoint }
  }

  package var manifest: ManifestState { state.withLock { $0.manifest } }

  package func snapshot(of partition: Int) -> LogSnapshot {
    state.withLock { $0.partition(partition).snapshot }
  }

  /// What there is of a stream that is made on demand, nil while there is no log of it.
  package func snapshot(of stream: FileHeader.Stream) -> LogSnapshot? {
    state.withLock { $0.logs[.only(of: stream)]?.snapshot }
  }

  package func report(of partition: Int) -> RecoveryReport {
    state.withLock { $0.partition(partition).report }
  }

  /// What was found in every log, in their order.
  package var reports: [RecoveryReport] {
    state.withLock { $0.logs.sorted { $0.key < $1.key }.map(\.value.report) }
  }

  /// Looks for what was written since, and returns whether anything may be new.
  package func refresh() throws(CommitLogFailure) -> Bool {
    let known = state.withLock { $0 }
    let manifestSize = try Self.manifestSize(context)
    let mayHaveMore = try Self.mayHaveMore(known.logs)
    guard mayHaveMore || manifestSize != known.manifestSize else { return false }
    let fresh = try Self.scan(context, evidence, known: known)
    state.withLock { state in
      // Two refreshes may overlap: what has been shown stays shown, unless the disk does not read
      // it any more, which readers are to be told.
      let shown = state.logs
      state = fresh
      for (id, old) in shown
      where old.snapshot.unreadable == nil && fresh.logs[id]?.snapshot.unreadable == nil
        && old.snapshot.highWatermark > fresh.logs[id]?.snapshot.highWatermark ?? 0
      {
        state.logs[id, default: old].snapshot = old.snapshot
      }
    }
    return true
  }

  private static func mayHaveMore(
    _ logs: [ManifestEdit.LogID: FollowedLog]
  ) throws(CommitLogFailure) -> Bool {
    try CommitLogFailure.wrapping { () throws(IOFailure) in
      for log in logs.values where try log.mayHaveMore() { return true }
      return false
    }
  }

  private static func writer(_ context: LogContext) throws(CommitLogFailure) -> LockHolder? {
    try CommitLogFailure.wrapping { () throws(IOFailure) in
      try context.fileSystem.lockHolder(of: context.root.appending(FileNames.lock))
    }
  }

  private static func manifestSize(_ context: LogContext) throws(CommitLogFailure) -> Int {
    try CommitLogFailure.wrapping { () throws(IOFailure) in
      let path = context.root.appending(FileNames.manifest)
      return try context.fileSystem.open(path, .readOnly).size().bytes
    }
  }

  /// Looks at a store that changes meanwhile.
  private static let attemptsMax = 10

  /// Reads the manifest and scans every active segment.
  ///
  /// A roll in between is met by beginning again.
  private static func scan(
    _ context: LogContext, _ evidence: [UInt32: UInt64], known: State?
  ) throws(CommitLogFailure) -> State {
    var attempt = 0
    while true {
      let manifestSize = try manifestSize(context)
      do throws(CommitLogFailure) {
        if let known, attempt == 0, known.manifestSize == manifestSize {
          var state = try scan(
            known.manifest, manifestSize, context, evidence, mayBeLost: false, known: known)
          state.holdBack(known.unknown)
          return state
        }
        let image = try ManifestImage.read(root: context.root, fileSystem: context.fileSystem)
        var unknown = known?.unknown ?? [:]
        if known == nil { unknown = try OrphanSegments.checkAllNamed(image, context: context) }
        var state = try scan(
          image.state, manifestSize, context, evidence, mayBeLost: attempt == attemptsMax - 1,
          known: known)
        state.holdBack(unknown)
        return state
      } catch {
        // What the manifest named a moment ago, or did not yet name, is no damage if it says
        // something else now.
        attempt += 1
        guard attempt < attemptsMax, isAboutNames(error) else { throw error }
      }
    }
  }

  private static func isAboutNames(_ failure: CommitLogFailure) -> Bool {
    switch failure {
    case .missingFile, .format: true
    default: false
    }
  }

  private static func scan(
    _ manifest: ManifestState, _ manifestSize: Int, _ context: LogContext,
    _ evidence: [UInt32: UInt64], mayBeLost: Bool, known: State?
  ) throws(CommitLogFailure) -> State {
    func scan(isLive: Bool) throws(CommitLogFailure) -> State {
      var state = State(manifest: manifest, manifestSize: manifestSize)
      // The journal after the outcomes that are copied from it, which must not be ahead of it.
      for log in manifest.recordedLogs.reversed() {
        state.logs[log] = try FollowedLog.scan(
          log, manifest: manifest, evidence: log.evidence(in: evidence), isLive: isLive,
          mayBeLost: mayBeLost,
          known: known?.logs[log],
          context: context)
      }
      return state
    }
    guard try writer(context) == nil else { return try scan(isLive: true) }
    let state = try scan(isLive: false)
    // What a writer that came meanwhile has added behind our sync, a crash may take back: a
    // writer's first edit makes the manifest longer, so it shows also where that one is gone.
    guard try writer(context) == nil, try self.manifestSize(context) == manifestSize else {
      return try scan(isLive: true)
    }
    return state
  }
}
