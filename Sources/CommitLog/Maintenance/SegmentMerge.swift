internal import BlockCompression
internal import EventModel
internal import LogFormat
internal import StorageIO

/// Writes a sealed segment anew with its small batches put together, so that what came in one event
/// at a time reads as fast as what came in large batches.
///
/// Numbers, order, times and everything else of the events stay. The new segment has an id of its
/// own; one manifest edit puts it in the old one's place.
struct SegmentMerge: ~Copyable {
  private let source: SegmentHandle
  private let target: Int
  private let cursor: BatchCursor
  private let decompressor = BatchDecompressor()
  private var segment: ActiveSegment
  private var framer: BatchFramer
  private let encoder: BatchEncoder

  /// Whether the batches of a segment are so small that merging is worth while: their mean is below
  /// a quarter of what a batch may hold.
  static func isWorthwhile(_ summary: SegmentSummary, batchSize: Int) -> Bool {
    guard summary.batchCount > 1, summary.recordCount > summary.batchCount / 2 else { return false }
    return summary.eventSize / summary.batchCount < UInt64(batchSize) / 4
  }

  /// Writes the merged segment; its file is durable and no part of the store yet.
  ///
  /// - Returns: what it holds; nil where the source cannot be read whole, so that nothing is put in
  ///   the place of damage.
  static func write(
    _ added: ManifestEdit.SegmentAdded, from source: SegmentHandle, mappings: MappingCache,
    context: LogContext
  ) throws(CommitLogFailure) -> SegmentSummary? {
    guard let summary = source.summary else { return nil }
    let segment: ActiveSegment
    do throws(IOFailure) {
      segment = try ActiveSegment.create(added, context: context)
    } catch {
      throw CommitLogFailure(error)
    }
    let framer: BatchFramer
    do throws(CompressionFailure) {
      framer = try BatchFramer(context.settings.codec)
    } catch {
      throw .compression(error)
    }
    // The segment alone, as if nothing stood behind it.
    let snapshot = LogSnapshot(
      log: added.log, segments: [source], highWatermark: summary.nextNumber, activeEnd: 0,
      activeEventSize: 0, gaps: [])
    var merge = SegmentMerge(
      source, target: context.settings.batchSize, segment: segment, framer: framer,
      cursor: BatchCursor(
        from: source.baseNumber, mappings: mappings, fileSystem: context.fileSystem
      ) { snapshot })
    guard try merge.copy(), merge.segment.end.nextNumber == summary.nextNumber else { return nil }
    do throws(IOFailure) {
      try merge.end()
    } catch {
      throw CommitLogFailure(error)
    }
    return merge.segment.summary
  }

  private init(
    _ source: SegmentHandle, target: Int, segment: consuming ActiveSegment,
    framer: consuming BatchFramer, cursor: BatchCursor
  ) {
    self.source = source
    self.target = target
    self.segment = segment
    self.framer = framer
    self.cursor = cursor
    encoder = BatchEncoder(targetSize: target)
  }

  /// Copies every event; returns whether all were there.
  private mutating func copy() throws(CommitLogFailure) -> Bool {
    while let item = try cursor.read() {
      guard case .batch(let stored, _) = item else { return false }
      let batch: DecodedBatch
      do throws(FormatError) {
        batch = try stored.decode(with: decompressor)
      } catch {
        return false
      }
      for index in 0..<batch.count {
        encoder.append(batch, at: index)
        if encoder.size >= target || encoder.count == Limits.batchRecordCountMax { try flush() }
      }
    }
    try flush()
    return true
  }

  private mutating func flush() throws(CommitLogFailure) {
    guard encoder.count > 0 else { return }
    let size = framer.layOut(encoder)
    // Everything before it was durable long ago.
    let (header, checksum) = framer.finish(
      encoder, behind: segment.end, watermark: segment.end.nextNumber,
      identity: segment.identity)
    do throws(IOFailure) {
      try segment.write(framer.frame, size: size, sizeMax: Int(Limits.segmentSizeMax))
    } catch {
      throw CommitLogFailure(error)
    }
    segment.advance(
      behind: header, size: size, checksum: checksum, eventSize: encoder.eventSize,
      lastTime: Timestamp(microseconds: encoder.lastTime))
    encoder.removeAll()
  }

  private mutating func end() throws(IOFailure) {
    try segment.giveBackReserve()
    try segment.file.synchronize()
  }
}

extension BatchEncoder {
  /// Appends a record of another batch, with everything it has.
  fileprivate func append(_ batch: DecodedBatch, at index: Int) {
    let device = batch.withDeviceID(at: index) { DeviceID(trusted: $0) }
    let properties = batch.properties(at: index)
    let time = batch.time(at: index).microseconds
    batch.withBody(at: index) { body in
      _ = append(from: device, body: body, properties: properties, at: time)
    }
    let system = batch.systemProperties(at: index)
    if !system.isEmpty { setSystemProperties(system) }
  }
}
