package import EventModel
internal import LogFormat
package import StorageIO

/// Where the events enqueued at or after a time begin.
package struct TimePlace: Sendable {
  /// The first record's number; the high watermark if there is none yet.
  package let number: UInt64
  /// Where a reader begins: at the record, or at the gap before it that may have held earlier ones
  /// of them, so that it meets the gap (I4).
  package let start: UInt64
  /// The batch of the record, and the record's index.
  package let batch: (StoredBatch, index: Int)?
}

/// Finds events by enqueue time, which never steps back within a partition.
package enum TimeSearch {
  /// Finds the first record enqueued at or after a time.
  ///
  /// - Throws: ``CommitLogFailure``; `mightWait` where it may not wait for the disk and
  ///   might have to.
  package static func find(
    atOrAfter time: Timestamp, in snapshot: LogSnapshot, mappings: MappingCache,
    fileSystem: any FileSystem, waits: Bool = true
  ) throws(CommitLogFailure) -> TimePlace {
    let segment = snapshot.segments.first { segment in
      guard let summary = segment.summary else { return true }
      return summary.recordCount > 0 && summary.lastTime >= time
    }
    let end = snapshot.highWatermark
    guard let segment else { return TimePlace(number: end, start: end, batch: nil) }
    guard waits || mappings.isReady(segment) else {
      throw .io(.mightWait(for: segment.path))
    }
    let start = start(before: time, in: segment, mappings: mappings, fileSystem: fileSystem)
    let cursor = BatchCursor(
      from: start, mappings: mappings, fileSystem: fileSystem, readsFew: true, waits: waits
    ) { snapshot }
    // Where records are missing behind the last one that was enqueued earlier.
    var gapStart: UInt64?
    var next = start
    while let (stored, times, first) = try cursor.readTimes() {
      let before = next
      next = cursor.next
      guard let batch = stored else {
        gapStart = gapStart ?? before
        continue
      }
      guard let last = times.last, last >= time.microseconds else {
        gapStart = nil
        continue
      }
      var low = first
      var high = times.count - 1
      while low < high {
        let middle = (low + high) / 2
        if times[middle] >= time.microseconds { high = middle } else { low = middle + 1 }
      }
      let number = batch.header.baseNumber + UInt64(low)
      let start = low == first ? gapStart ?? number : number
      return TimePlace(number: number, start: start, batch: (batch, low))
    }
    return TimePlace(number: end, start: gapStart ?? end, batch: nil)
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
