internal import EventModel
package import LogFormat
package import StorageIO
package import SystemPackage

/// What a checkpoint file holds, read without changing it.
package struct CheckpointImage: Sendable {
  /// Nil when there is no file that can be read: then every group begins anew at its earliest
  /// event.
  package let header: FileHeader?
  package private(set) var table = CheckpointTable()
  package private(set) var verdict: RecoveryRule.Verdict?
  /// The bytes at the end that nothing proves to have been durable.
  private(set) var unproven = 0..<0
  /// What was damaged.
  ///
  /// A lost commit means an older checkpoint: events come twice, never not at all.
  package private(set) var findings: [(position: Int, detail: String)] = []

  /// What a close names where the file stays as it is.
  let closingEnd: ManifestEdit.CheckpointsEnd

  private init(header: FileHeader?, _ witness: CheckpointWitness) {
    self.header = header
    closingEnd = witness.closingEnd(salt: header?.salt)
  }

  /// Reads the file of a store.
  ///
  /// - Parameters:
  ///   - root: the store's folder.
  ///   - storeID: the store.
  ///   - witness: what the manifest says of the file, read before it.
  ///   - fileSystem: where the folder is.
  /// - Returns: what is there, and what is known to be missing.
  /// - Throws: ``CheckpointFailure`` where nothing can be concluded from what is there.
  package static func read(
    root: FilePath, storeID: StoreID, witness: CheckpointWitness, fileSystem: any FileSystem
  ) throws(CheckpointFailure) -> CheckpointImage {
    let path = root.appending(FileNames.checkpoints)
    let source: CheckpointFrames
    var bytes = ByteBuffer(capacity: FileHeader.size)
    do throws(IOFailure) {
      let file = try fileSystem.open(path, .readOnly)
      source = CheckpointFrames(file: file, size: try file.size().bytes)
      _ = try source.append(0..<min(FileHeader.size, source.size), to: &bytes)
    } catch  where error.isMissing {
      // It is made with the store.
      return CheckpointImage(unusable: "the file is gone", witness)
    } catch  where error.isNoFile {
      return CheckpointImage(unusable: "\(error)", witness)
    } catch {
      throw .io(error)
    }
    let header: FileHeader
    var damage: String?
    do throws(FormatError) {
      header = try bytes.withBytes { (bytes) throws(FormatError) in
        try FileHeader(decoding: bytes)
      }
    } catch .corrupt(let detail) {
      guard let healed = FileHeader.healed(&bytes) else {
        return CheckpointImage(unusable: detail, witness)
      }
      header = healed
      damage = detail
    } catch {
      throw .format(path, position: 0, error)
    }
    guard header.kind == .checkpoints, header.storeID == storeID else {
      return CheckpointImage(
        unusable: "the file belongs to another store or is of another kind", witness)
    }
    var image = CheckpointImage(header: header, witness)
    if let damage { image.findings.append((0, "\(damage); one flipped bit explains it")) }
    let frames = try image.judge(source, header, path)
    // A file is made with a frame in it.
    if frames.kept.isEmpty, image.table.loss == nil {
      image.noteLost("nothing can be read behind the header", at: FileHeader.size)
    }
    let loss = witness.loss(salt: header.salt) { position, chain in
      frames.kept.contains { $0.end == position && $0.checksum == chain }
    }
    if let loss, image.table.loss == nil {
      image.noteLost("\(loss)", at: image.verdict?.end.position ?? FileHeader.size)
    }
    if let unproven = image.verdict?.unproven {
      let known = header.salt == witness.end.salt ? Int(clamping: witness.end.position) : 0
      // The padding of the last frame may be missing.
      image.unproven = unproven.clamped(to: known..<max(known, source.size))
    }
    for frame in frames.kept { try image.apply(frame, frames.source, path) }
    return image
  }

  private init(unusable detail: String, _ witness: CheckpointWitness) {
    self.init(header: nil, witness)
    noteLost(detail, at: 0)
  }

  /// Notes damage with which groups may be lost.
  private mutating func noteLost(_ detail: String, at position: Int) {
    findings.append((position, detail))
    table.loss = table.loss ?? detail
  }

  /// Decides what of the file stands, and notes what is wrong with the rest.
  private mutating func judge(
    _ stored: CheckpointFrames, _ header: FileHeader, _ path: FilePath
  ) throws(CheckpointFailure) -> (source: HealedFrames<CheckpointFrames>, kept: [ScannedFrame]) {
    var source = HealedFrames(stored)
    var verdict = try Self.decide(source, header, path)
    while let repair = try Self.repair(source, header, verdict) {
      // Whoever writes next writes the whole file again, as it does for any finding.
      findings.append((repair.position, "a flipped bit is read as it was"))
      source.repairs.append(repair)
      verdict = try Self.decide(source, header, path)
    }
    if verdict.tail == .undecidableTail {
      // A commit that a power failure tore looks like that.
      findings.append((verdict.end.position, "the last commits are damaged"))
    }
    for finding in verdict.findings where finding.lostRecords {
      noteLost("commits are damaged or missing", at: finding.position)
    }
    if verdict.lostSuffix != nil {
      noteLost("the last commits are missing", at: verdict.end.position)
    }
    self.verdict = verdict
    let damaged = Set(verdict.findings.filter { $0.kind == .damaged }.map(\.position))
    return (source, verdict.kept.filter { !damaged.contains($0.position) })
  }

  private static func decide(
    _ source: HealedFrames<CheckpointFrames>, _ header: FileHeader, _ path: FilePath
  ) throws(CheckpointFailure) -> RecoveryRule.Verdict {
    var scanner = FrameScanner(source, identity: header.identity)
    let start = RecoveryRule.Start(
      position: FileHeader.size, chain: header.chain, nextNumber: header.baseNumber, epoch: 0)
    let unsupported: UnsupportedFrame
    do throws(IOFailure) {
      let scan = try scanner.scan(from: FileHeader.size)
      guard let found = scan.unsupported else {
        return try RecoveryRule.decide(
          from: start, scan: scan, evidence: 0, checksEverything: true
        ) { (frame) throws(IOFailure) in try scanner.isIntact(frame) }
      }
      unsupported = found
    } catch {
      throw .io(error)
    }
    throw .format(path, position: unsupported.position, unsupported.error)
  }

  /// The flipped bit that explains why the file ends where it does; nil if none does.
  private static func repair(
    _ source: HealedFrames<CheckpointFrames>, _ header: FileHeader,
    _ verdict: RecoveryRule.Verdict
  ) throws(CheckpointFailure) -> BitRepair? {
    guard verdict.tail != .clean,
      source.repairs.count < TailHealing<CheckpointFrames>.repairCountMax
    else { return nil }
    let healing = TailHealing(source, identity: header.identity) { header, _, body in
      var content = ContentChecksum()
      content.add(body)
      return content.value == header.contentChecksum
    }
    do throws(IOFailure) {
      return try healing.repair(at: verdict.end)
    } catch {
      throw .io(error)
    }
  }

  private mutating func apply(
    _ frame: ScannedFrame, _ source: HealedFrames<CheckpointFrames>, _ path: FilePath
  ) throws(CheckpointFailure) {
    if let unsupported = frame.unsupported(besides: FrameHeader.FrameType.checkpointEntries) {
      throw .format(path, position: frame.position, unsupported)
    }
    guard frame.header.type == FrameHeader.FrameType.checkpointEntries else { return }
    var body = ByteBuffer(capacity: frame.bodyRange.count)
    do throws(IOFailure) {
      _ = try source.append(frame.bodyRange, to: &body)
    } catch {
      throw .io(error)
    }
    do throws(FormatError) {
      let entries = try body.withBytes { (bytes) throws(FormatError) in
        try CheckpointEntry.decodeAll(bytes, count: Int(frame.header.recordCount))
      }
      for entry in entries { table.apply(entry) }
    } catch .corrupt(let detail) {
      noteLost(detail, at: frame.position)
    } catch {
      throw .format(path, position: frame.position, error)
    }
  }
}

/// The file's bytes as the scanner reads them.
struct CheckpointFrames: FrameSource {
  let file: any StorageFile
  let size: Int

  func read(at position: Int, into buffer: inout MutableRawSpan) throws(IOFailure) -> Int {
    try file.read(into: &buffer, at: FilePosition(position))
  }

  func dataStart(from position: Int) throws(IOFailure) -> Int {
    try file.dataStart(from: FilePosition(position)).bytes
  }
}
