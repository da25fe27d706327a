internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// What a store says of a log's numbers outside of the log itself: none of them may be given again,
/// also where the log is gone (I15).
extension StoreRepair {
  /// Finds everything that testifies to a log's numbers.
  ///
  /// - Parameters:
  ///   - log: which log.
  ///   - logs: the logs of the store with their segments.
  ///   - checkpoint: the last checkpoint of the queues; nil where nothing says which that is.
  ///   - snapshot: what manifest and checkpoints say.
  /// - Returns: the number behind the highest; 0 where nothing does.
  func testifiedEnd(
    of log: ManifestEdit.LogID, in logs: [ManifestEdit.LogID: [ManifestState.Segment]],
    _ checkpoint: ManifestEdit.QueueCheckpoint?, _ snapshot: StoreSnapshot
  ) -> UInt64 {
    var end = snapshot.state.evidence(of: log)
    if snapshot.checkpointStoreID == snapshot.header?.storeID {
      let number = UInt32(log.partitionID.number)
      for checkpoints in snapshot.groups.values { end = max(end, checkpoints[number]?.next ?? 0) }
    }
    guard log.stream == .journal else { return end }
    end = max(end, checkpoint?.floor ?? 0)
    for (stream, segments) in logs where stream.stream == .feedback || stream.stream == .deadLetter
    {
      // In the order of the journal's numbers: the last one that can be read is the highest.
      let last = segments.lazy.reversed().compactMap { segment in
        self.lastNumber(
          in: StoreSnapshot.name(of: segment.added), snapshot.header(of: segment.added), snapshot)
      }.first
      end = max(end, last.map { $0 + 1 } ?? 0)
    }
    for name in queueFiles(upTo: checkpoint?.number) {
      end = max(end, lastNumber(in: name, nil, snapshot).map { $0 + 1 } ?? 0)
    }
    return end
  }

  /// The queue files and their directories.
  ///
  /// What a later checkpoint has begun says nothing: the journal may not have been durable.
  private func queueFiles(upTo checkpoint: UInt32?) -> [String] {
    let root = root.appending(FileNames.queues)
    var names: [String] = []
    for entry in SegmentFiles.entries(of: root, fileSystem) {
      if let number = FileNames.parseQueueDirectory(entry.name), number <= checkpoint ?? number {
        names.append(entry.name)
      }
      guard entry.kind == .directory, entry.name != FileNames.journal else { continue }
      for file in SegmentFiles.entries(of: root.appending(entry.name), fileSystem) {
        guard let number = FileNames.parseQueueFile(file.name)?.checkpoint,
          number <= checkpoint ?? number
        else { continue }
        names.append(entry.name + "/" + file.name)
      }
    }
    return names.map { FileNames.queues + "/" + $0 }
  }

  /// The last checkpoint that queue files are of and that was finished; nil for none.
  ///
  /// Until it is, the files that it replaces stay, and its own may be torn. As may those that are
  /// damaged: what is of a later one than that goes to the quarantine, and not with the next
  /// opening.
  ///
  /// - Throws: ``IOFailure`` where a file or folder cannot be read that may tell: nothing is
  ///   concluded of it.
  func lastFinished(
    in entries: [DirectoryEntry], _ snapshot: StoreSnapshot
  ) throws(IOFailure) -> UInt32? {
    var files: [EventModel.DeviceID: [UInt32: String]] = [:]
    for folder in entries where folder.kind == .directory && folder.name.utf8.count == 2 {
      let path = FileNames.queues + "/" + folder.name
      for file in try list(path) {
        guard file.kind == .file, let parsed = FileNames.parseQueueFile(file.name) else { continue }
        files[parsed.device, default: [:]][parsed.checkpoint] = path + "/" + file.name
      }
    }
    let numbers = Set(files.values.flatMap(\.keys)).sorted(by: >)
    for number in numbers {
      var isLast = true
      for names in files.values where names.keys.contains(where: { $0 < number }) {
        if let name = names[number], try !isFinished(name, snapshot) { isLast = false }
      }
      if isLast { return number }
      for name in files.values.compactMap({ $0[number] }).sorted() {
        try setAside(name, "its checkpoint was not finished, as far as can be told")
      }
    }
    return nil
  }

  /// A folder's entries; none where there is no folder.
  func list(_ name: String) throws(IOFailure) -> [DirectoryEntry] {
    do throws(IOFailure) {
      return try fileSystem.list(root.appending(name))
    } catch {
      guard error.isMissing else { throw error }
      return []
    }
  }

  /// Whether a queue file is whole, up to the mark that it ends with.
  private func isFinished(_ name: String, _ snapshot: StoreSnapshot) throws(IOFailure) -> Bool {
    let source = try InspectedSource(root.appending(name), name: name, fileSystem: fileSystem)
    var (last, isWhole): (FrameHeader?, Bool) = (nil, false)
    if let header = FileHeaderReading(source).header,
      header.storeID == snapshot.header?.storeID
    {
      isWhole = true
      let walk = SegmentWalk(
        source: source, header: header, evidence: 0, contents: FrameContents(), isSealed: true,
        records: RecordCheck())
      _ = walk.run { item in
        switch item {
        case .frame(let frame, _): last = frame.header
        case .damage: isWhole = false
        }
        return .goOn
      }
    }
    if let failure = source.failure { throw failure.reason }
    return isWhole && last?.type == FrameHeader.FrameType.mark
  }

  /// The highest number of the journal that the records of a file state; nil for none.
  private func lastNumber(
    in name: String, _ expected: FileHeader?, _ snapshot: StoreSnapshot
  ) -> UInt64? {
    var last: UInt64?
    let walk = FileWalk(
      path: root.appending(name), name: name, fileSystem: fileSystem, contents: FrameContents())
    _ = walk.segment(expected: expected, evidence: 0, isSealed: true) { item in
      switch item {
      case .file(let file):
        let isForeign = file.header.map { $0.storeID != snapshot.header?.storeID } ?? false
        return isForeign ? .stop : .goOn
      case .record(let record):
        last = [last, record.journalNumber].compactMap { $0 }.max()
      default: break
      }
      return .goOn
    }
    return last
  }
}

extension InspectedRecord {
  /// The highest number of the journal that it states.
  fileprivate var journalNumber: UInt64? {
    let number: UInt64?
    switch queueRecord?.content {
    case .entries(_, let outcome): number = outcome
    case .filed(let message): number = message.sequence
    case .directory(let queue): number = queue.messages.map(\.message.sequence).max()
    case nil: number = nil
    }
    // None that a log could go on behind.
    return number.flatMap { $0 < Limits.numberMax ? $0 : nil }
  }
}
