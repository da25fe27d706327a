package import EventModel
internal import LogFormat
package import StorageIO

/// Finds events by enqueue time, which never steps back within a partition.
package enum TimeSearch {
  /// The number of the first record enqueued at or after a time; the high watermark if there is
  /// none yet.
  package static func firstNumber(
    atOrAfter time: Timestamp, in snapshot: LogSnapshot, mappings: MappingCache,
    fileSystem: any FileSystem
  ) throws(CommitLogFailure) -> UInt64 {
    let segment = snapshot.segments.first { segment in
      guard let summary = segment.summary else { return true }
      return summary.recordCount > 0 && summary.lastTime >= time
    }
    guard let segment else { return snapshot.highWatermark }
    let start = start(before: time, in: segment, mappings: mappings, fileSystem: fileSystem)
    let cursor = BatchCursor(
      from: start, mappings: mappings, fileSystem: fileSystem
    ) { snapshot }
    while let (decoded, first) = try cursor.readDecoded() {
      guard let batch = decoded else { continue }
      guard batch.time(at: batch.count - 1) >= time else { continue }
      var low = first
      var high = batch.count - 1
      while low < high {
        let middle = (low + high) / 2
        if batch.time(at: middle) >= time { high = middle } else { low = middle + 1 }
      }
      return batch.baseOffset + UInt64(low)
    }
    return snapshot.highWatermark
  }

  /// The number of a batch at or before the first record enqueued at or after a time.
  private static func start(
    before time: Timestamp, in segment: SegmentHandle, mappings: MappingCache,
    fileSystem: any FileSystem
  ) -> UInt64 {
    if let footer = mappings.footer(of: segment), !footer.footer.hasHoles,
      let place = footer.firstBatch(where: { $0.lastTime >= time }), place < footer.batchCount,
      let batch = footer.batch(at: place)
    {
      return batch.baseNumber
    }
    if segment.summary != nil {
      segment.index.load { IndexFile.read(segment, fileSystem: fileSystem).entries }
    }
    return segment.index.entry(before: time)?.baseNumber ?? segment.baseNumber
  }
}
