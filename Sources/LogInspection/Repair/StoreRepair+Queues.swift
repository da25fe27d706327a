internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// Queue files (format-spec §14.4): a device's messages that can be read are kept, and the others
/// are gone.
extension StoreRepair {
  func mendQueueFiles(_ left: FsckResult) throws(IOFailure) {
    let names = left.mendableFiles
    let files = names.filter { $0.hasSuffix(FileNames.queueSuffix) }
    for name in files { try mendQueueFile(name) }
    guard !files.isEmpty || names.contains(where: { $0.hasSuffix(FileNames.directorySuffix) })
    else { return }
    // It would go on naming what is gone.
    let checkpoint = readSnapshot().state.queueCheckpoint?.number ?? 0
    try setAside(
      FileNames.queues + "/" + FileNames.queueDirectory(checkpoint: checkpoint),
      "the queue files say what is so, and it is made again")
  }

  /// Writes a queue file anew with the frames that hold, or sets it aside where none does.
  private func mendQueueFile(_ name: String) throws(IOFailure) {
    guard let source = SegmentFiles.source(at: root.appending(name), name: name, fileSystem) else {
      return
    }
    guard let header = FileHeaderReading(source).header, header.kind == .queue,
      let frames = try intactFrames(of: source, header)
    else { return try setAside(name, "nothing in it can be read") }
    try keepWhole(name)
    try replace(name, with: frames.bytes)
    note(.rebuilt, name, "\(frames.count) messages could be read and stay")
  }

  private struct QueueFrames: ~Copyable {
    var bytes = ByteBuffer(capacity: 64 << 10)
    var count = 0
  }

  /// A queue file of what can be read of one: its frames one behind the other, and the mark that
  /// says that it is whole; nil if there are none.
  private func intactFrames(
    of source: InspectedSource, _ header: FileHeader
  ) throws(IOFailure) -> QueueFrames? {
    var result = QueueFrames()
    header.encode(into: &result.bytes)
    var end = RecoveryRule.Start.behind(header)
    let contents = FrameContents()
    let walk = SegmentWalk(
      // The mark that proves them all stands at the end and may be gone: every whole frame counts.
      source: source, header: header, evidence: Limits.numberMax, contents: contents,
      isSealed: true,
      records: RecordCheck())
    var frames: [ScannedFrame] = []
    _ = walk.run { item in
      if case .frame(let frame, .some) = item { frames.append(frame.frame) }
      return .goOn
    }
    for frame in frames {
      let start = FrameAssembly.begin(in: &result.bytes)
      guard
        source.append(frame.clearRange.lowerBound..<frame.bodyRange.upperBound, to: &result.bytes)
      else { return nil }
      var moved = frame.header
      moved.baseNumber = end.nextNumber
      moved.chain = end.chain
      let checksum = FrameAssembly.end(
        &moved, in: &result.bytes, from: start, clearSize: frame.clearRange.count,
        identity: header.identity, position: FilePosition(end.position))
      end = RecoveryRule.Start(
        position: result.bytes.count, chain: checksum, nextNumber: moved.nextNumber, epoch: 0)
    }
    guard let last = frames.last else { return nil }
    let mark = FrameHeader(
      type: FrameHeader.FrameType.mark, epoch: 0, recordCount: 0, baseNumber: end.nextNumber,
      baseTime: last.header.baseTime, watermark: end.nextNumber, chain: end.chain)
    _ = FrameAssembly.append(
      mark, body: ByteBuffer(capacity: 0), to: &result.bytes, identity: header.identity,
      position: FilePosition(end.position))
    result.count = Int(clamping: end.nextNumber)
    return result
  }
}
