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
  private let footers = Mutex<[FooterView]>([])

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

  /// Whether a place in a segment can be looked up without waiting for the disk.
  func isReady(_ segment: SegmentHandle) -> Bool {
    guard segment.summary != nil, segment.activeFile == nil else { return true }
    let id = segment.added.segmentID
    guard entries.withLock({ entries in entries.contains { $0.segmentID == id } }) else {
      return false
    }
    if segment.footer.isAbsent { return segment.index.isReady }
    let footer = footers.withLock { footers in footers.first { $0.segmentID == id } }
    return footer?.isResident ?? false
  }

  /// Lets go of a segment that is no longer part of the store, so that its space comes back once
  /// its last reader is done.
  func forget(_ segment: SegmentHandle) {
    entries.withLock { $0.removeAll { $0.segmentID == segment.added.segmentID } }
    forgetFooter(of: segment)
  }

  /// The footer of a sealed segment; nil while there is none that can be believed.
  package func footer(of segment: SegmentHandle) -> FooterView? {
    guard segment.summary != nil, !segment.footer.isAbsent else { return nil }
    let id = segment.added.segmentID
    let known = footers.withLock { footers -> FooterView? in
      guard let index = footers.firstIndex(where: { $0.segmentID == id }) else { return nil }
      let view = footers.remove(at: index)
      footers.append(view)
      return view
    }
    if let known { return known }
    guard let view = FooterView.open(segment, fileSystem: fileSystem) else { return nil }
    footers.withLock { footers in
      guard !footers.contains(where: { $0.segmentID == id }) else { return }
      if footers.count == Self.countMax { footers.removeFirst() }
      footers.append(view)
    }
    return view
  }

  /// Forgets a footer that turned out not to be readable.
  func forgetFooter(of segment: SegmentHandle) {
    segment.footer.noteAbsent()
    footers.withLock { $0.removeAll { $0.segmentID == segment.added.segmentID } }
  }
}
