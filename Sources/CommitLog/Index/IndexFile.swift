internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// The file of a segment's index: a header, then entries (format-spec §10).
///
/// Never synced, may be deleted or damaged at any time: every entry carries its own checksum.
enum IndexFile {
  /// Entries that are worth a write: about one for each 256 KiB of the segment.
  static let writeCount = 16

  struct Stored {
    var entries: [IndexEntry] = []
    /// Whether the file holds these entries and nothing else, so that more may be appended.
    var isExact = false
  }

  /// What the index of a segment takes at most; a larger file is none.
  private static func sizeMax(
    _ segment: SegmentHandle, _ fileSystem: any FileSystem
  ) throws(IOFailure) -> Int {
    let end =
      if let summary = segment.summary {
        Int(clamping: summary.endPosition)
      } else {
        try fileSystem.open(segment.path, .readOnly).size().bytes
      }
    return FileHeader.size + (end / Int(SparseIndex.spacing) + 1) * IndexEntry.size
  }

  /// Reads the entries that hold; an absent or unreadable file has none.
  static func read(_ segment: SegmentHandle, fileSystem: any FileSystem) -> Stored {
    var stored = Stored()
    do {
      guard try fileSystem.kind(of: segment.indexPath) == .file else { return stored }
      let file = try fileSystem.open(segment.indexPath, .readOnly)
      let source = StoredFrames(file, size: try file.size().bytes)
      var buffer = ByteBuffer(capacity: 64 << 10)
      guard try source.size <= sizeMax(segment, fileSystem),
        try source.append(0..<source.size, to: &buffer)
      else {
        return stored
      }
      var position = FileHeader.size
      while position + IndexEntry.size <= source.size {
        let entry = try buffer.withBytes(position..<position + IndexEntry.size) {
          (bytes) throws(FormatError) in
          try IndexEntry(
            decoding: bytes, identity: segment.identity, at: FilePosition(position))
        }
        position += IndexEntry.size
        guard let entry, stored.entries.last.map({ $0.position < entry.position }) ?? true else {
          continue
        }
        stored.entries.append(entry)
      }
      stored.isExact =
        source.size == FileHeader.size + stored.entries.count * IndexEntry.size
    } catch {
      // What could be read so far still holds.
      return stored
    }
    return stored
  }

  /// Appends what the file lacks.
  ///
  /// A failure costs nothing but time at the next open.
  static func write(
    _ segment: SegmentHandle, below position: Int, atLeast count: Int, context: LogContext
  ) {
    guard let rest = segment.index.unstored(below: position, atLeast: count) else { return }
    var bytes = ByteBuffer(capacity: FileHeader.size + rest.entries.count * IndexEntry.size)
    var header = context.header(of: segment.added)
    header.kind = .index
    if rest.stored == 0 { header.encode(into: &bytes) }
    let start = rest.stored == 0 ? 0 : FileHeader.size + rest.stored * IndexEntry.size
    for entry in rest.entries {
      entry.encode(
        into: &bytes, identity: segment.identity, at: FilePosition(start + bytes.count))
    }
    do {
      let fileSystem = context.fileSystem
      let exists = try fileSystem.kind(of: segment.indexPath) == .file
      let file = try fileSystem.open(segment.indexPath, exists ? .readWrite : .create)
      // Entries of an earlier writer stand in the way of these: begin anew where they differ.
      if rest.stored == 0, exists { try file.truncate(to: .zero) }
      try bytes.withBytes { (bytes) throws(IOFailure) in
        try file.write(bytes, at: FilePosition(start))
      }
      segment.index.confirmStored(rest.stored + rest.entries.count)
    } catch {
      return
    }
  }
}
