internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

extension StoreSnapshot {
  /// A log's folder, as a path inside the store.
  static func directory(of log: ManifestEdit.LogID) -> String {
    let folder =
      switch log.stream {
      case .events: FileNames.partitions
      case .feedback: "feedback"
      case .deadLetter: "dead-letter"
      }
    return folder + "/" + FileNames.partition(log.partition)
  }

  /// A segment's file, as a path inside the store.
  static func name(
    of added: ManifestEdit.SegmentAdded, suffix: String = FileNames.segmentSuffix
  ) -> String {
    let stem = FileNames.segmentStem(baseNumber: added.baseNumber, segmentID: added.segmentID)
    return directory(of: added.log) + "/" + stem + suffix
  }

  /// The header that a segment's file had when it was made; nil without a manifest.
  func header(of added: ManifestEdit.SegmentAdded) -> FileHeader? {
    guard let storeID = header?.storeID else { return nil }
    var header = FileHeader(
      kind: .segment, storeID: storeID, fileID: added.segmentID, salt: added.salt,
      created: added.created)
    header.stream = added.log.stream
    header.partition = added.log.partition
    header.baseNumber = added.baseNumber
    header.predecessorID = added.predecessorID
    header.predecessorChain = added.predecessorChain
    return header
  }

  /// The logs in their order.
  var logs: [(log: ManifestEdit.LogID, segments: [ManifestState.Segment])] {
    state.logs.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// The partitions that the store has; as many as its segments show where the manifest is silent.
  var partitionCount: UInt32 {
    let seen = state.logs.keys.filter { $0.stream == .events }.map { $0.partition + 1 }.max()
    return state.identity?.partitionCount ?? seen ?? 0
  }

  /// What testifies, outside a segment, to the records in it.
  func evidence(_ segments: [ManifestState.Segment], at index: Int) -> UInt64 {
    let segment = segments[index]
    if let summary = segment.summary { return summary.nextNumber }
    // A successor begins behind the last record, or behind a loss that the manifest records.
    if index + 1 < segments.count { return segments[index + 1].added.baseNumber }
    let log = segment.added.log
    let evidence = max(segment.added.baseNumber, state.evidence(of: log))
    return max(evidence, highestCheckpoint(of: log)?.next ?? 0)
  }

  /// The checkpoint that covers the most of a partition: all of it was durable when it was made.
  func highestCheckpoint(of log: ManifestEdit.LogID) -> CheckpointEntry.GroupCheckpoint? {
    guard log.stream == .events else { return nil }
    return groups.values.compactMap { $0[log.partition] }.max { $0.next < $1.next }
  }

  /// Whether the manifest already says that these records are gone.
  func isRecorded(_ loss: AcknowledgedLoss, log: ManifestEdit.LogID) -> Bool {
    var next = loss.firstSequence
    for gap in state.gaps.filter({ $0.log == log }).sorted(by: { $0.first < $1.first })
    where gap.first <= next && gap.next > next { next = gap.next }
    return next >= loss.nextSequence
  }
}

/// Segment files as the folders show them, for a store whose manifest is gone.
enum SegmentFiles {
  /// Names every segment file there is.
  static func walk(
    _ root: FilePath, _ fileSystem: any FileSystem, _ visit: (FilePath, String) -> Void
  ) {
    for folder in [FileNames.partitions, "feedback", "dead-letter"] {
      let directory = root.appending(folder)
      for partition in entries(of: directory, fileSystem) where partition.kind == .directory {
        let inner = directory.appending(partition.name)
        for entry in entries(of: inner, fileSystem)
        where entry.kind == .file && entry.name.hasSuffix(FileNames.segmentSuffix) {
          visit(inner.appending(entry.name), entry.name)
        }
      }
    }
  }

  /// The headers of all segment files that can be read.
  static func headers(in root: FilePath, fileSystem: any FileSystem) -> [FileHeader] {
    var headers: [FileHeader] = []
    walk(root, fileSystem) { path, _ in
      guard let source = source(at: path, fileSystem),
        let header = FileHeaderReading(source).header, header.kind == .segment
      else { return }
      headers.append(header)
    }
    return headers
  }

  /// An open file; nil if it cannot be opened, which is told where it matters.
  static func source(at path: FilePath, _ fileSystem: any FileSystem) -> InspectedSource? {
    do throws(IOFailure) {
      return try InspectedSource(path, name: path.string, fileSystem: fileSystem)
    } catch {
      return nil
    }
  }

  /// A folder's entries; none if it is missing or unreadable.
  static func entries(
    of directory: FilePath, _ fileSystem: any FileSystem
  ) -> [DirectoryEntry] {
    do throws(IOFailure) {
      return try fileSystem.list(directory)
    } catch {
      return []
    }
  }
}
