internal import EventModel
package import LogFormat
package import StorageIO
internal import Synchronization
package import SystemPackage

/// The checkpoint file of an open store.
///
/// Safe from several threads; each commit returns when it would survive a crash.
///
/// The caller sees to it that no checkpoint runs ahead of durable data (I3).
package final class CheckpointLog: Sendable {
  /// A file larger than this, and twice its contents, is rewritten.
  package static let rewriteSize = 1 << 20

  private let path: FilePath
  private let storeID: StoreID
  private let environment: EngineEnvironment
  private let noteReplacing: @Sendable () throws(IOFailure) -> Void
  private let contents: Mutex<Contents>

  private struct Contents: ~Copyable {
    var table: CheckpointTable
    /// Nil where there is none that can be used, until the first commit makes one.
    var file: (any StorageFile)?
    var log: FrameLog
    var poison: IOFailure?
    var body = ByteBuffer(capacity: 4 << 10)
    var rewriteSize: Int
    /// What has to be written again before anything follows it.
    var unproven: Range<Int>
    /// Whether the tail has been cut and an epoch begun.
    var isPrepared: Bool
    var verdict: RecoveryRule.Verdict?
    var reserve = SpaceReserve()
    /// What no crash takes back of the file, as whoever closes the store names it.
    var closingEnd: ManifestEdit.CheckpointsEnd
  }

  /// Takes over what was read.
  ///
  /// Nothing is written before the first commit, but for what may be in memory alone.
  ///
  /// - Parameters:
  ///   - image: what was read.
  ///   - root: the store's folder.
  ///   - storeID: the store.
  ///   - environment: files, time and chance.
  ///   - noteReplacing: makes durable that what the last close said of the file holds no more;
  ///     called before another one takes its place.
  /// - Throws: ``CheckpointFailure``.
  package init(
    _ image: CheckpointImage, root: FilePath, storeID: StoreID, environment: EngineEnvironment,
    noteReplacing: @escaping @Sendable () throws(IOFailure) -> Void
  ) throws(CheckpointFailure) {
    path = root.appending(FileNames.checkpoints)
    if let header = image.header, header.isReadOnly {
      throw .format(path, position: 0, .unsupportedFeatures(header.readOnlyCompatibleFlags))
    }
    self.storeID = storeID
    self.environment = environment
    self.noteReplacing = noteReplacing
    var file: (any StorageFile)?
    var unproven = image.unproven
    if image.header != nil, image.findings.isEmpty {
      do throws(IOFailure) {
        let opened = try environment.fileSystem.open(path, .readWrite)
        // What was read may be in the page cache alone, and what a failed sync left there is not
        // synced again (I8).
        do throws(IOFailure) {
          try Self.rewrite(unproven, of: opened)
          unproven = 0..<0
        } catch {
          // The first commit that finds room does it (I9).
          guard error.isStorageFull else { throw error }
        }
        try opened.synchronize()
        try environment.fileSystem.synchronizeDirectory(root)
        file = opened
      } catch {
        throw .io(error)
      }
    }
    let end =
      image.verdict?.end
      ?? RecoveryRule.Start(position: FileHeader.size, chain: 0, nextNumber: 0, epoch: 0)
    let identity =
      image.header?.identity ?? FrameIdentity(storeID: storeID, fileID: 0, salt: 0)
    contents = Mutex(
      Contents(
        table: image.table, file: file, log: FrameLog(identity: identity, end: end),
        rewriteSize: max(Self.rewriteSize, 2 * end.position), unproven: unproven,
        isPrepared: false, verdict: image.verdict,
        closingEnd: file == nil || !unproven.isEmpty
          ? image.closingEnd : ManifestEdit.CheckpointsEnd(identity, end)))
    contents.withLock { Self.keepReserve(&$0) }
  }

  /// Writes bytes again as they read.
  private static func rewrite(
    _ range: Range<Int>, of file: any StorageFile
  ) throws(IOFailure) {
    guard !range.isEmpty else { return }
    let source = CheckpointFrames(file: file, size: range.upperBound)
    var bytes = ByteBuffer(capacity: range.count)
    // Of what is gone since a moment ago nothing is called durable.
    guard try source.append(range, to: &bytes) else {
      throw IOFailure(.read, file.path, .ioError)
    }
    try bytes.withBytes { (bytes) throws(IOFailure) in
      try file.write(bytes, at: FilePosition(range.lowerBound))
    }
  }

  package var table: CheckpointTable { contents.withLock { $0.table } }

  /// What whoever closes the store names as the end of the file.
  package var closingEnd: ManifestEdit.CheckpointsEnd { contents.withLock { $0.closingEnd } }

  /// Makes entries durable, all or none, then applies them.
  ///
  /// One sync for all of them.
  package func commit(_ entries: [CheckpointEntry]) throws(CheckpointFailure) {
    guard !entries.isEmpty else { return }
    try contents.withLock { (contents) throws(CheckpointFailure) in
      if let poison = contents.poison { throw .poisoned(poison) }
      var table = contents.table
      for entry in entries { table.apply(entry) }
      if contents.file == nil || contents.log.end.position > contents.rewriteSize,
        try rewrite(&contents, as: table)
      {
        Self.keepReserve(&contents)
        return
      }
      guard let file = contents.file else { preconditionFailure("there is no file to append to") }
      do throws(IOFailure) {
        try prepare(&contents, file)
        contents.body.removeAll()
        for entry in entries { entry.encode(into: &contents.body) }
        contents.log.prepare(
          FrameHeader.FrameType.checkpointEntries, recordCount: entries.count,
          body: contents.body, at: environment.now())
        try writePending(contents.log, file)
      } catch {
        throw contents.poison == nil ? .io(error) : .poisoned(error)
      }
      do throws(IOFailure) {
        try file.synchronize()
      } catch {
        contents.poison = error
        throw .poisoned(error)
      }
      contents.log.confirm()
      contents.closingEnd = ManifestEdit.CheckpointsEnd(contents.log.identity, contents.log.end)
      contents.table = table
      Self.keepReserve(&contents)
    }
  }

  private static func keepReserve(_ contents: inout Contents) {
    guard let file = contents.file else { return }
    contents.reserve.keep(behind: contents.log.end.position, of: file)
  }

  private func writePending(
    _ log: borrowing FrameLog, _ file: any StorageFile
  ) throws(IOFailure) {
    let position = FilePosition(log.end.position)
    try log.pending.withBytes { (bytes) throws(IOFailure) in
      try file.write(bytes, at: position)
    }
  }

  /// Before the first commit: cuts what is torn, which no commit was told of, and begins an epoch.
  private func prepare(
    _ contents: inout Contents, _ file: any StorageFile
  ) throws(IOFailure) {
    guard !contents.isPrepared else { return }
    if !contents.unproven.isEmpty {
      try Self.rewrite(contents.unproven, of: file)
      do throws(IOFailure) {
        try file.synchronize()
      } catch {
        contents.poison = error
        throw error
      }
      contents.unproven = 0..<0
    }
    if let cut = contents.verdict?.cut, !cut.isEmpty {
      try keep(cut, of: file)
      try file.truncate(to: ByteCount(cut.lowerBound))
      contents.reserve = SpaceReserve()
      do throws(IOFailure) {
        try file.synchronize()
      } catch {
        // Never retried in hope (I8).
        contents.poison = error
        throw error
      }
    }
    contents.log.prepareEpoch(
      key: (environment.random(), environment.random()), at: environment.now())
    try writePending(contents.log, file)
    contents.log.confirm()
    contents.isPrepared = true
  }

  /// Replaces the file by one that holds the table and nothing else.
  ///
  /// One that was damaged is kept in the quarantine (I7).
  ///
  /// - Returns: false where the new file cannot be written and this one may go on growing.
  private func rewrite(
    _ contents: inout Contents, as table: CheckpointTable
  ) throws(CheckpointFailure) -> Bool {
    let encoded = Self.encode(table, storeID: storeID, environment: environment)
    guard try replace(&contents, with: encoded.bytes) else {
      contents.rewriteSize = 2 * contents.log.end.position
      return false
    }
    contents.rewriteSize = max(Self.rewriteSize, 2 * encoded.end.position)
    contents.log = FrameLog(identity: encoded.identity, end: encoded.end)
    contents.closingEnd = ManifestEdit.CheckpointsEnd(encoded.identity, encoded.end)
    contents.reserve = SpaceReserve()
    contents.table = table
    contents.isPrepared = true
    return true
  }

  /// A file that holds a table and nothing else.
  private static func encode(
    _ table: CheckpointTable, storeID: StoreID, environment: EngineEnvironment
  ) -> EntryFile {
    EntryFile(
      checkpoints: table.snapshot, storeID: storeID, salt: environment.random(),
      at: environment.now())
  }

  private func replace(
    _ contents: inout Contents, with bytes: borrowing ByteBuffer
  ) throws(CheckpointFailure) -> Bool {
    let fileSystem = environment.fileSystem
    do throws(IOFailure) {
      try bytes.withBytes { (bytes) throws(IOFailure) in
        try AtomicReplace.prepare(path, with: bytes, in: fileSystem)
      }
      if contents.file == nil, try fileSystem.kind(of: path) == .file {
        let damaged = try fileSystem.open(path, .readOnly)
        try keep(0..<(try damaged.size().bytes), of: damaged)
      }
      try noteReplacing()
    } catch {
      if contents.file != nil { return false }
      throw .io(error)
    }
    do throws(IOFailure) {
      try AtomicReplace.commit(path, in: fileSystem)
      contents.file = try fileSystem.open(path, .readWrite)
    } catch {
      // The old file or the new one stands under the name, and this process cannot tell which.
      contents.poison = error
      contents.closingEnd = .unknown
      throw .poisoned(error)
    }
    return true
  }

  private func keep(_ range: Range<Int>, of file: any StorageFile) throws(IOFailure) {
    let quarantine = Quarantine(
      path.removingLastComponent().appending(FileNames.quarantine),
      fileSystem: environment.fileSystem)
    try quarantine.keep(
      range, of: file, name: "\(FileNames.checkpoints).cut.\(range.lowerBound)")
  }
}
