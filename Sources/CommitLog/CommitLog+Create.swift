internal import EventModel
package import LogFormat
package import StorageIO
package import SystemPackage

extension CommitLog {
  /// Makes an empty store.
  ///
  /// It exists from the moment its manifest does: a crash before that leaves a folder that the next
  /// attempt completes.
  ///
  /// - Throws: `.alreadyExists` when the folder holds anything that this function does not make.
  package static func create(
    at root: FilePath, partitionCount: Int, configuration: ManifestEdit.StoredConfiguration,
    readingFirst: ManifestEdit.ReadingFirst? = nil, environment: EngineEnvironment
  ) throws(CommitLogFailure) {
    let fileSystem = environment.fileSystem
    let lock = try takeVacant(root, fileSystem)
    defer { withExtendedLifetime(lock) {} }
    let now = environment.now()
    let context = LogContext(
      root: root, storeID: StoreID(high: environment.random(), low: environment.random()),
      environment: environment,
      settings: LogSettings(
        codec: configuration.codec, segmentSize: Int(clamping: configuration.segmentSize),
        batchSize: Int(clamping: configuration.batchSize)))
    var edits: [ManifestEdit] = [
      .identity(ManifestEdit.StoreIdentity(partitionCount: UInt32(partitionCount))),
      .configuration(configuration),
    ]
    if let readingFirst { edits.append(.readingFirst(readingFirst)) }
    do throws(IOFailure) {
      let partitions = root.appending(FileNames.partitions)
      try clearLogs(in: context)
      try fileSystem.createDirectory(partitions)
      var ends: [ManifestEdit.LogEnd] = []
      for number in 0..<partitionCount {
        let log = ManifestEdit.LogID(stream: .events, partition: UInt32(number))
        try fileSystem.createDirectory(context.directory(of: log))
        let added = ManifestEdit.SegmentAdded(
          log: log, segmentID: UInt64(number) + 1, salt: environment.random(), baseNumber: 0,
          predecessorID: 0, predecessorChain: 0, created: now)
        let segment = try ActiveSegment.create(added, context: context)
        edits.append(.segmentAdded(added))
        ends.append(
          ManifestEdit.LogEnd(log: log, segmentID: added.segmentID, summary: segment.summary))
      }
      try fileSystem.synchronizeDirectory(partitions)
      try fileSystem.synchronizeDirectory(root)
      edits.append(.closed(now, ends, try writeCheckpoints([], in: context)))
    } catch {
      throw CommitLogFailure(error)
    }
    _ = try ManifestLog.create(
      at: root.appending(FileNames.manifest), storeID: context.storeID, edits: edits,
      environment: environment)
  }

  /// Writes the checkpoint file of a store that is being made: what has a manifest has one too.
  ///
  /// Returns where it ends, when it would survive a crash.
  static func writeCheckpoints(
    _ entries: [CheckpointEntry], in context: LogContext
  ) throws(IOFailure) -> ManifestEdit.CheckpointsEnd {
    let environment = context.environment
    let file = EntryFile(
      checkpoints: entries, storeID: context.storeID, salt: environment.random(),
      at: environment.now())
    try file.bytes.withBytes { (bytes) throws(IOFailure) in
      try AtomicReplace.replace(
        context.root.appending(FileNames.checkpoints), with: bytes, in: context.fileSystem)
    }
    return ManifestEdit.CheckpointsEnd(file.identity, file.end)
  }

  /// Makes the folder where it is missing and takes its lock.
  ///
  /// - Throws: `.alreadyExists` when it holds anything but a store or a copy that was begun and
  ///   never got its manifest.
  static func takeVacant(
    _ root: FilePath, _ fileSystem: any FileSystem
  ) throws(CommitLogFailure) -> any FileLock {
    try CommitLogFailure.wrapping { () throws(IOFailure) in try makeDirectory(root, fileSystem) }
    try checkVacant(root, fileSystem)
    let lock = try takeLock(root, fileSystem)
    // Another creator may have been faster.
    try checkVacant(root, fileSystem)
    // The lock's name tells an attempt that a crash ended from somebody else's folder.
    try CommitLogFailure.wrapping { () throws(IOFailure) in
      try fileSystem.synchronizeDirectory(root)
    }
    return lock
  }

  /// Makes the folder and those above it that are missing, each durable in its parent.
  private static func makeDirectory(
    _ path: FilePath, _ fileSystem: any FileSystem
  ) throws(IOFailure) {
    let parent = path.removingLastComponent()
    let directory = parent.isEmpty ? FilePath(".") : parent
    guard try fileSystem.kind(of: path) == nil else {
      // An attempt before this one may have made it and failed to sync its name.
      do throws(IOFailure) {
        try fileSystem.synchronizeDirectory(directory)
      } catch {
        // Whoever made a folder in a place that we may not read has seen to it.
        guard error.isAccessDenied else { throw error }
      }
      return
    }
    if directory != path { try makeDirectory(directory, fileSystem) }
    try fileSystem.createDirectory(path)
    try fileSystem.synchronizeDirectory(directory)
  }

  /// Refuses a folder that holds anything but an attempt to create a store that was cut short.
  private static func checkVacant(
    _ root: FilePath, _ fileSystem: any FileSystem
  ) throws(CommitLogFailure) {
    let kind = try CommitLogFailure.wrapping { () throws(IOFailure) in
      try fileSystem.kind(of: root)
    }
    try kind.requireDirectory(root)
    let entries = try CommitLogFailure.wrapping { () throws(IOFailure) in
      try fileSystem.list(root)
    }
    let names = Set(entries.map(\.name))
    // The lock file tells our unfinished attempt from a folder of someone else's, and the marker a
    // copy from a store that has lost its manifest.
    let ours = Set(
      [
        FileNames.lock, FileNames.unfinished, FileNames.checkpoints,
        FileNames.checkpoints + FileNames.replacementSuffix,
        FileNames.manifest + FileNames.replacementSuffix,
      ] + logFolders)
    let isOurs = names.isSubset(of: ours) && names.contains(FileNames.lock)
    let isStore = names.contains(FileNames.manifest)
    let isLost = try CommitLogFailure.wrapping { () throws(IOFailure) in
      isStore ? false : try holdsRecords(root, fileSystem)
    }
    if isLost { throw .lostManifest(root) }
    guard names.isEmpty || isOurs else { throw .alreadyExists(root) }
  }

  /// Whether a folder without a manifest holds more than an attempt to make a store, or a copy of
  /// one, that was cut short.
  static func holdsRecords(
    _ root: FilePath, _ fileSystem: any FileSystem
  ) throws(IOFailure) -> Bool {
    guard try fileSystem.kind(of: root.appending(FileNames.unfinished)) == nil else { return false }
    for folder in logFolders where try fileSystem.kind(of: root.appending(folder)) == .directory {
      guard try holdsHeadersOnly(root.appending(folder), fileSystem) else { return true }
    }
    let checkpoints = root.appending(FileNames.checkpoints)
    guard try fileSystem.kind(of: checkpoints) == .file else { return false }
    return try fileSystem.open(checkpoints, .readOnly).size().bytes > EntryFile.emptySize
  }

  /// The folders of a store that hold logs.
  private static var logFolders: [String] { FileHeader.Stream.allCases.map(\.folder) }

  private static func holdsHeadersOnly(
    _ directory: FilePath, _ fileSystem: any FileSystem
  ) throws(IOFailure) -> Bool {
    for entry in try fileSystem.list(directory) {
      let path = directory.appending(entry.name)
      switch entry.kind {
      case .directory:
        guard try holdsHeadersOnly(path, fileSystem) else { return false }
      case .file:
        let size = try fileSystem.open(path, .readOnly).size().bytes
        guard size <= FileHeader.size else { return false }
      case .other: continue
      }
    }
    return true
  }

  /// Removes the segments of an attempt that never got its manifest.
  static func clearLogs(in context: LogContext) throws(IOFailure) {
    for folder in logFolders {
      let path = context.root.appending(folder)
      guard try context.fileSystem.kind(of: path) != nil else { continue }
      try clear(path, context.fileSystem)
    }
  }

  private static func clear(
    _ directory: FilePath, _ fileSystem: any FileSystem
  ) throws(IOFailure) {
    for entry in try fileSystem.list(directory) {
      let path = directory.appending(entry.name)
      if entry.kind == .directory {
        try clear(path, fileSystem)
      } else {
        try fileSystem.remove(path)
      }
    }
    try fileSystem.removeDirectory(directory)
  }
}
