internal import EventModel
package import LogFormat
package import StorageIO
package import SystemPackage

/// What a manifest file holds, read without changing it.
package struct ManifestImage: Sendable {
  package let header: FileHeader
  package let state: ManifestState
  package let verdict: RecoveryRule.Verdict
  /// Flipped bits in the last edits, read as if they were right.
  package let repairs: [BitRepair]

  /// Reads the manifest of a store.
  ///
  /// - Throws: ``CommitLogFailure/notAStore(_:_:)`` where there is none, and `.format` when bytes
  ///   below its watermark are damaged: what the store consists of would be a guess.
  package static func read(
    root: FilePath, fileSystem: any FileSystem
  ) throws(CommitLogFailure) -> ManifestImage {
    let path = root.appending(FileNames.manifest)
    let file = try open(path, root: root, fileSystem: fileSystem)
    let size = try CommitLogFailure.wrapping { () throws(IOFailure) in try file.size().bytes }
    var source = HealedFrames(StoredFrames(file, size: size))
    let header = try readHeader(source, path)
    let verdict = try decide(&source, header, path)
    return ManifestImage(
      header: header, state: try replay(verdict.kept, source, path), verdict: verdict,
      repairs: source.repairs)
  }

  private static func open(
    _ path: FilePath, root: FilePath, fileSystem: any FileSystem
  ) throws(CommitLogFailure) -> any StorageFile {
    let (manifest, folder) = try CommitLogFailure.wrapping { () throws(IOFailure) in
      (try fileSystem.kind(of: path), try fileSystem.kind(of: root))
    }
    // A store may stand behind a link, which is no folder.
    guard manifest == .file else {
      try folder.requireDirectory(root)
      let isLost = try CommitLogFailure.wrapping { () throws(IOFailure) in
        try CommitLog.holdsRecords(root, fileSystem)
      }
      if isLost { throw .lostManifest(root) }
      throw .notAStore(root, "it has no file \(FileNames.manifest)")
    }
    return try CommitLogFailure.wrapping { () throws(IOFailure) in
      try fileSystem.open(path, .readOnly)
    }
  }

  private static func readHeader(
    _ source: HealedFrames<StoredFrames>, _ path: FilePath
  ) throws(CommitLogFailure) -> FileHeader {
    var buffer = ByteBuffer(capacity: FileHeader.size)
    do throws(IOFailure) {
      _ = try source.append(0..<FileHeader.size, to: &buffer)
    } catch {
      throw .io(error)
    }
    let header: FileHeader
    do throws(FormatError) {
      header = try buffer.withBytes { (bytes) throws(FormatError) in
        try FileHeader(decoding: bytes)
      }
    } catch {
      throw .format(path, position: 0, error)
    }
    guard header.kind == .manifest else {
      throw .format(path, position: 0, .corrupt("the file is not a manifest"))
    }
    return header
  }

  private static func decide(
    _ source: inout HealedFrames<StoredFrames>, _ header: FileHeader, _ path: FilePath
  ) throws(CommitLogFailure) -> RecoveryRule.Verdict {
    var (scan, verdict) = try scan(source, header)
    // The last edits may be all that names a segment full of events.
    while verdict.tail != .clean,
      source.repairs.count < TailHealing<StoredFrames>.repairCountMax,
      let repair = try repair(source, header, verdict)
    {
      source.repairs.append(repair)
      (scan, verdict) = try self.scan(source, header)
    }
    if let unsupported = scan.unsupported {
      throw .format(path, position: unsupported.position, unsupported.error)
    }
    // An epoch frame whose sync never came may be gone before an edit that is there: no loss.
    let damage = verdict.findings.first { $0.lostRecords }?.position
    if let position = damage ?? verdict.lostSuffix.map({ _ in verdict.end.position }) {
      throw .format(
        path, position: position,
        .corrupt("edits that were once synced are damaged"))
    }
    return verdict
  }

  private static func scan(
    _ source: HealedFrames<StoredFrames>, _ header: FileHeader
  ) throws(CommitLogFailure) -> (ScanResult, RecoveryRule.Verdict) {
    var scanner = FrameScanner(source, identity: header.identity)
    do throws(IOFailure) {
      let scan = try scanner.scan(from: FileHeader.size)
      let verdict = try RecoveryRule.decide(
        from: .behind(header), scan: scan, evidence: 0, checksEverything: true
      ) { (frame) throws(IOFailure) in try scanner.isIntact(frame) }
      return (scan, verdict)
    } catch {
      throw .io(error)
    }
  }

  private static func repair(
    _ source: HealedFrames<StoredFrames>, _ header: FileHeader, _ verdict: RecoveryRule.Verdict
  ) throws(CommitLogFailure) -> BitRepair? {
    let healing = TailHealing(source, identity: header.identity) { header, clear, body in
      FrameContents.contentHolds(header, clear: clear, body: body)
    }
    do throws(IOFailure) {
      return try healing.repair(at: verdict.end)
    } catch {
      throw .io(error)
    }
  }

  private static func replay(
    _ frames: [ScannedFrame], _ source: HealedFrames<StoredFrames>, _ path: FilePath
  ) throws(CommitLogFailure) -> ManifestState {
    var state = ManifestState()
    var body = ByteBuffer(capacity: 64 << 10)
    for frame in frames {
      if let unsupported = frame.unsupported(besides: FrameHeader.FrameType.manifestEdits) {
        throw .format(path, position: frame.position, unsupported)
      }
      guard frame.header.type == FrameHeader.FrameType.manifestEdits else { continue }
      body.removeAll()
      do throws(IOFailure) {
        _ = try source.append(frame.bodyRange, to: &body)
      } catch {
        throw .io(error)
      }
      do throws(FormatError) {
        let edits = try body.withBytes { (bytes) throws(FormatError) in
          try ManifestEdit.decodeAll(bytes, count: Int(frame.header.recordCount))
        }
        for edit in edits { try state.apply(edit) }
      } catch {
        throw .format(path, position: frame.position, error)
      }
    }
    guard state.identity != nil, state.configuration != nil else {
      throw .format(path, position: FileHeader.size, .corrupt("the manifest names no identity"))
    }
    return state
  }
}

extension FileKind? {
  /// A store is a directory and nothing else.
  func requireDirectory(_ path: FilePath) throws(CommitLogFailure) {
    switch self {
    case .directory: return
    case nil: throw .notAStore(path, "there is nothing at this path")
    default: throw .notAStore(path, "it is a file, not a folder")
    }
  }
}

extension RecoveryRule.Start {
  /// The state behind a file's header.
  package static func behind(_ header: FileHeader) -> Self {
    Self(
      position: FileHeader.size, chain: header.chain, nextNumber: header.baseNumber, epoch: 0)
  }
}
