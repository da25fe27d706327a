package import EventModel
package import LogFormat
package import StorageIO

/// Finds the newest event of a device.
package enum LastEvent {
  /// The batch that holds the device's last readable event below the high watermark, and the
  /// event's place in it; nil if there is none.
  package static func find(
    of device: DeviceID, in snapshot: LogSnapshot, mappings: MappingCache,
    fileSystem: any FileSystem
  ) throws(CommitLogFailure) -> (batch: DecodedBatch, index: Int)? {
    // What cannot be read now may hold a newer one.
    if let place = snapshot.unreadable { throw .unreadable(place) }
    let filter = DeviceFilter([device])
    for (index, segment) in snapshot.segments.enumerated().reversed() {
      let end = min(snapshot.end(of: index).nextNumber, snapshot.highWatermark)
      let found: (batch: DecodedBatch, index: Int)?
      if let bases = bases(of: device, in: segment, mappings) {
        found = try last(of: filter, startingAt: bases, end: end, snapshot, mappings, fileSystem)
      } else {
        found = try last(
          of: filter, from: segment.baseNumber, end: end, snapshot, mappings, fileSystem)
      }
      if let found { return found }
    }
    return nil
  }

  /// The base numbers of a sealed segment's batches that hold the device, the newest first; nil
  /// where the segment has no footer, or one that may leave batches out.
  private static func bases(
    of device: DeviceID, in segment: SegmentHandle, _ mappings: MappingCache
  ) -> [UInt64]? {
    guard let footer = mappings.footer(of: segment), !footer.footer.hasHoles,
      let known = footer.device(device)
    else { return nil }
    guard let known else { return [] }
    guard let postings = footer.postings(of: known) else { return nil }
    var bases: [UInt64] = []
    for place in postings.reversed() {
      guard let batch = footer.batch(at: place) else { return nil }
      bases.append(batch.baseNumber)
      // Usually the first is whole; whoever needs more of them has the damage to thank.
      if bases.count == 16 { break }
    }
    return bases
  }

  private static func last(
    of filter: DeviceFilter, startingAt bases: [UInt64], end: UInt64, _ snapshot: LogSnapshot,
    _ mappings: MappingCache, _ fileSystem: any FileSystem
  ) throws(CommitLogFailure) -> (batch: DecodedBatch, index: Int)? {
    for base in bases where base < end {
      let cursor = BatchCursor(from: base, mappings: mappings, fileSystem: fileSystem) { snapshot }
      guard let (batch, _) = try cursor.readDecoded(), let batch else { continue }
      let count = Int(min(UInt64(batch.count), end - batch.baseOffset))
      if let index = batch.indexes(of: filter, in: 0..<count).last { return (batch, index) }
    }
    return nil
  }

  private static func last(
    of filter: DeviceFilter, from number: UInt64, end: UInt64, _ snapshot: LogSnapshot,
    _ mappings: MappingCache, _ fileSystem: any FileSystem
  ) throws(CommitLogFailure) -> (batch: DecodedBatch, index: Int)? {
    let cursor = BatchCursor(
      from: number, of: filter, mappings: mappings, fileSystem: fileSystem
    ) { snapshot }
    let decompressor = BatchDecompressor()
    var last: StoredBatch?
    while cursor.next < end, let item = try cursor.read() {
      if case .batch(let batch, _) = item, batch.header.baseNumber < end { last = batch }
    }
    guard let last else { return nil }
    do throws(FormatError) {
      let batch = try last.decode(with: decompressor)
      let count = Int(min(UInt64(batch.count), end - batch.baseOffset))
      return batch.indexes(of: filter, in: 0..<count).last.map { (batch, $0) }
    } catch {
      return nil
    }
  }
}
