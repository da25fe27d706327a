internal import EventModel
internal import LogFormat
package import StorageIO
internal import Synchronization

/// The maps of sealed segments that readers used last: a bounded number, whatever the size of the
/// store (I13).
///
/// A reader keeps the map it holds; the cache only forgets it.
package final class MappingCache: Sendable {
  /// Address space is plenty; this bounds descriptors and kernel structures.
  package static let countMax = 64

  private let fileSystem: any FileSystem
  private let entries = Mutex<[(segmentID: UInt64, mapping: FileMapping)]>([])

  package init(_ fileSystem: any FileSystem) { self.fileSystem = fileSystem }

  /// A map of a sealed segment's frames, no longer than its file is.
  func mapping(of segment: SegmentHandle, size: Int) throws(IOFailure) -> FileMapping {
    let id = segment.added.segmentID
    let known = entries.withLock { entries -> FileMapping? in
      guard let index = entries.firstIndex(where: { $0.segmentID == id }) else { return nil }
      let entry = entries.remove(at: index)
      entries.append(entry)
      return entry.mapping
    }
    if let known { return known }
    let file = try fileSystem.open(segment.path, .readOnly)
    let mapping = try file.map(ByteCount(min(size, try file.size().bytes)))
    entries.withLock { entries in
      guard !entries.contains(where: { $0.segmentID == id }) else { return }
      if entries.count == Self.countMax { entries.removeFirst() }
      entries.append((id, mapping))
    }
    return mapping
  }
}
