internal import EventModel
package import LogFormat
package import StorageIO
package import SystemPackage

/// What a checkpoint file holds, read without changing it.
package struct CheckpointImage: Sendable {
  /// Nil when there is no file yet, or none that can be read: then every group begins anew at its
  /// earliest event.
  package let header: FileHeader?
  package private(set) var table = CheckpointTable()
  package private(set) var verdict: RecoveryRule.Verdict?
  /// What was damaged.
  ///
  /// A lost commit means an older checkpoint: events come twice, never not at all.
  package private(set) var findings: [(position: Int, detail: String)] = []

  private init(header: FileHeader?) { self.header = header }

  package static func read(
    root: FilePath, storeID: StoreID, fileSystem: any FileSystem
  ) throws(CheckpointFailure) -> CheckpointImage {
    let path = root.appending(FileNames.checkpoints)
    do throws(IOFailure) {
      guard try fileSystem.kind(of: path) == .file else { return CheckpointImage(header: nil) }
      let file = try fileSystem.open(path, .readOnly)
      let source = CheckpointFrames(file: file, size: try file.size().bytes)
      return try read(source, path, storeID)
    } catch {
      throw .io(error)
    }
  }

  private static func read(
    _ source: CheckpointFrames, _ path: FilePath, _ storeID: StoreID
  ) throws(IOFailure) -> CheckpointImage {
    var bytes = ByteBuffer(capacity: FileHeader.size)
    try source.append(0..<min(FileHeader.size, source.size), to: &bytes)
    let header: FileHeader
    do throws(FormatError) {
      header = try bytes.withBytes { (bytes) throws(FormatError) in
        try FileHeader(decoding: bytes)
      }
    } catch {
      var image = CheckpointImage(header: nil)
      image.findings.append((0, "\(error)"))
      return image
    }
    guard header.kind == .checkpoints, header.storeID == storeID else {
      var image = CheckpointImage(header: nil)
      image.findings.append((0, "the file belongs to another store or is of another kind"))
      return image
    }
    var image = CheckpointImage(header: header)
    var scanner = FrameScanner(source, identity: header.identity)
    let scan = try scanner.scan(from: FileHeader.size)
    let start = RecoveryRule.Start(
      position: FileHeader.size, chain: header.chain, nextNumber: header.baseNumber, epoch: 0)
    let verdict = try RecoveryRule.decide(
      from: start, scan: scan, evidence: 0, checksEverything: true
    ) { (frame) throws(IOFailure) in try scanner.isIntact(frame) }
    image.verdict = verdict
    for finding in verdict.findings where finding.lostRecords {
      image.findings.append((finding.position, "commits are damaged or missing"))
    }
    if verdict.lostSuffix != nil {
      image.findings.append((verdict.end.position, "the last commits are missing"))
    }
    let damaged = Set(verdict.findings.filter { $0.kind == .damaged }.map(\.position))
    for frame in verdict.kept where !damaged.contains(frame.position) {
      try image.apply(frame, source)
    }
    return image
  }

  private mutating func apply(
    _ frame: ScannedFrame, _ source: CheckpointFrames
  ) throws(IOFailure) {
    guard frame.header.type == FrameHeader.FrameType.checkpointEntries else { return }
    let start = frame.position + FrameHeader.size + Int(frame.header.clearSize)
    var body = ByteBuffer(capacity: Int(frame.header.storedSize))
    try source.append(start..<start + Int(frame.header.storedSize), to: &body)
    do throws(FormatError) {
      let entries = try body.withBytes { (bytes) throws(FormatError) in
        try CheckpointEntry.decodeAll(bytes, count: Int(frame.header.recordCount))
      }
      for entry in entries { table.apply(entry) }
    } catch {
      findings.append((frame.position, "\(error)"))
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

  func append(_ range: Range<Int>, to buffer: inout ByteBuffer) throws(IOFailure) {
    _ = try buffer.appendUpTo(range.count) { (room) throws(IOFailure) in
      try read(at: range.lowerBound, into: &room)
    }
  }
}
