internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

extension StoreSnapshot {
  /// A segment's file, as a path inside the store.
  static func name(of added: ManifestEdit.SegmentAdded) -> String {
    name(of: added, suffix: added.log.stream.segmentSuffix)
  }

  /// The file of a segment or of what is derived from it, as a path inside the store.
  static func name(of added: ManifestEdit.SegmentAdded, suffix: String) -> String {
    let stem = FileNames.segmentStem(baseNumber: added.baseNumber, segmentID: added.segmentID)
    return added.log.folder + "/" + stem + suffix
  }

  /// The header that a segment's file had when it was made; nil without a manifest.
  func header(of added: ManifestEdit.SegmentAdded) -> FileHeader? {
    header.map { added.header(storeID: $0.storeID) }
  }

  /// The logs in their order.
  var logs: [(log: ManifestEdit.LogID, segments: [ManifestState.Segment])] {
    state.logs.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// The partitions that the store has; as many as its segments and the groups' checkpoints show
  /// where the manifest is silent.
  var partitionCount: UInt32 {
    if let identity = state.identity { return identity.partitionCount }
    let logs = state.logs.keys.filter { $0.stream == .events }.map(\.partition)
    let checkpoints = groups.values.joined().map(\.key).filter { $0 < Limits.partitionCountMax }
    return (logs + checkpoints).max().map { $0 + 1 } ?? 0
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
}

/// Segment files as the folders show them, for a store whose manifest is gone.
enum SegmentFiles {
  /// Names every segment file there is.
  static func walk(
    _ root: FilePath, _ fileSystem: any FileSystem, _ visit: (FilePath, String) -> Void
  ) {
    for stream in FileHeader.Stream.allCases {
      for folder in folders(of: stream, root, fileSystem) {
        for entry in entries(of: folder, fileSystem)
        where entry.kind == .file && entry.name.hasSuffix(stream.segmentSuffix) {
          visit(folder.appending(entry.name), entry.name)
        }
      }
    }
  }

  /// The folders that may hold logs of a stream.
  private static func folders(
    of stream: FileHeader.Stream, _ root: FilePath, _ fileSystem: any FileSystem
  ) -> [FilePath] {
    let directory = root.appending(stream.folder)
    // Beside the journal there are folders of other files.
    if stream == .journal { return [directory.appending(FileNames.journal)] }
    return entries(of: directory, fileSystem).filter { $0.kind == .directory }
      .map { directory.appending($0.name) }
  }

  /// The headers of all segment files that can be read.
  static func headers(in root: FilePath, fileSystem: any FileSystem) -> [FileHeader] {
    var headers: [FileHeader] = []
    walk(root, fileSystem) { path, _ in
      guard let source = source(at: path, fileSystem),
        let header = FileHeaderReading(source).header, header.isSegment
      else { return }
      headers.append(header)
    }
    return headers
  }

  /// An open file; nil if it cannot be opened, which is told where it matters.
  static func source(
    at path: FilePath, name: String? = nil, _ fileSystem: any FileSystem
  ) -> InspectedSource? {
    do throws(IOFailure) {
      return try InspectedSource(path, name: name ?? path.string, fileSystem: fileSystem)
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
