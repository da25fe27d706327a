internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// Gathers ``StoreStatistics``.
final class StatisticsCollector {
  /// What counts of one segment.
  private struct Figures {
    let added: ManifestEdit.SegmentAdded
    var next: UInt64
    var tally: SegmentTally
  }

  private let snapshot: StoreSnapshot
  private let contents = FrameContents()
  private var statistics = StoreStatistics()

  init(_ snapshot: StoreSnapshot) { self.snapshot = snapshot }

  func collect() -> StoreStatistics {
    statistics.storeID = snapshot.header?.storeID
    statistics.damages = snapshot.damages
    var figures: [[Figures]] = []
    for number in 0..<snapshot.partitionCount {
      let log = ManifestEdit.LogID(stream: .events, partition: number)
      let segments = snapshot.state.logs[log] ?? []
      let found = segments.indices.map { figure(segments, at: $0) }
      figures.append(found)
      statistics.partitions.append(partition(number, found))
    }
    let names = Set(snapshot.groups.keys).union([GroupName.standard])
    for name in names.sorted() {
      for partition in statistics.partitions {
        statistics.groups.append(
          group(name, partition, figures[Int(partition.partition)]))
      }
    }
    return statistics
  }

  private func partition(_ number: UInt32, _ segments: [Figures]) -> StoreStatistics.Partition {
    let first = segments.first?.added.baseNumber ?? 0
    var partition = StoreStatistics.Partition(
      partition: number, firstSequence: first, nextSequence: segments.last?.next ?? first)
    for segment in segments {
      partition.segments += 1
      partition.events &+= segment.tally.recordCount
      partition.rawBytes &+= segment.tally.eventSize
      for suffix in [FileNames.segmentSuffix, FileNames.indexSuffix, FileNames.footerSuffix] {
        partition.bytesOnDisk &+= size(StoreSnapshot.name(of: segment.added, suffix: suffix))
      }
      partition.oldestTime = partition.oldestTime ?? segment.tally.firstTime
      partition.newestTime = segment.tally.lastTime ?? partition.newestTime
    }
    return partition
  }

  /// A file's size; 0 if there is none.
  ///
  /// Indexes come and go, and what keeps a segment from being read is told where it is read.
  private func size(_ name: String) -> UInt64 {
    do throws(IOFailure) {
      let file = try snapshot.fileSystem.open(snapshot.root.appending(name), .readOnly)
      return UInt64(try file.size().bytes)
    } catch {
      return 0
    }
  }

  private func open(_ added: ManifestEdit.SegmentAdded) -> InspectedSource? {
    let name = StoreSnapshot.name(of: added)
    do throws(IOFailure) {
      return try InspectedSource(
        snapshot.root.appending(name), name: name, fileSystem: snapshot.fileSystem)
    } catch {
      let kind = error.isMissing ? DamageKind.missingFile : .unreadable
      statistics.damages.append(Damage(kind, file: name, detail: "\(error)"))
      return nil
    }
  }

  private func figure(_ segments: [ManifestState.Segment], at index: Int) -> Figures {
    let segment = segments[index]
    var tally = SegmentTally()
    if let summary = segment.summary {
      tally.recordCount = summary.recordCount
      tally.batchCount = summary.batchCount
      tally.eventSize = summary.eventSize
      if summary.recordCount > 0 {
        tally.firstTime = summary.firstTime
        tally.lastTime = summary.lastTime
      }
      return Figures(added: segment.added, next: summary.nextNumber, tally: tally)
    }
    let evidence = snapshot.evidence(segments, at: index)
    guard let source = open(segment.added), let header = snapshot.header(of: segment.added) else {
      return Figures(added: segment.added, next: evidence, tally: tally)
    }
    let judge = FrameJudge(
      source: source, identity: header.identity, start: .behind(header), evidence: evidence,
      contents: contents)
    let survey = judge.survey()
    var next = max(survey.watermark, segment.added.baseNumber)
    let outcome = judge.run(surveyed: survey) { item in
      guard case .frame(let frame, .kept) = item,
        frame.header.type == FrameHeader.FrameType.batch
      else { return .goOn }
      // Batches become durable as a whole; behind the watermark nothing proves that they are.
      guard frame.header.baseNumber < survey.watermark else { return .stop }
      next = max(next, frame.header.nextNumber)
      if let section = prologue(of: frame, source) { tally.add(frame.header, section) }
      return .goOn
    }
    statistics.damages += outcome.damages(file: source.name, log: segment.added.log).filter {
      $0.kind.severity == .error
    }
    return Figures(added: segment.added, next: next, tally: tally)
  }

  /// The sizes at the beginning of a batch's clear section.
  ///
  /// Nothing rests on them but a number on the screen, so the devices behind them are not read for
  /// their checksum's sake.
  private func prologue(of frame: ScannedFrame, _ source: InspectedSource) -> BatchClearSection? {
    var bytes = ByteBuffer(capacity: 64)
    let start = frame.clearRange.lowerBound
    guard frame.header.clearSize >= 32, source.append(start..<start + 32, to: &bytes) else {
      return nil
    }
    do throws(FormatError) {
      return try bytes.withBytes { (clear) throws(FormatError) in
        try BatchClearSection(decoding: clear, header: frame.header)
      }
    } catch {
      return nil
    }
  }

  private func group(
    _ name: GroupName, _ partition: StoreStatistics.Partition, _ segments: [Figures]
  ) -> StoreStatistics.Group {
    let checkpoint = snapshot.groups[name]?[partition.partition]?.next
    let start = max(checkpoint ?? 0, partition.firstSequence)
    var group = StoreStatistics.Group(
      name: name, partition: partition.partition, checkpoint: checkpoint, lagEvents: 0,
      lagBytes: 0, lagSeconds: 0)
    for segment in segments where segment.next > start {
      let records = segment.tally.recordCount
      guard records > 0 else { continue }
      let behind = segment.next - max(start, min(segment.added.baseNumber, segment.next))
      let unread = min(records, behind)
      group.lagEvents &+= unread
      // The quotient is at most the event size, since no more is unread than there is.
      let share = segment.tally.eventSize.multipliedFullWidth(by: unread)
      group.lagBytes &+= records.dividingFullWidth(share).quotient
    }
    if group.lagEvents > 0, let newest = partition.newestTime,
      let oldest = time(of: start, segments)
    {
      let (difference, overflow) = newest.microseconds.subtractingReportingOverflow(
        oldest.microseconds)
      group.lagSeconds = overflow ? 0 : max(0, Double(difference) / 1_000_000)
    }
    return group
  }

  /// When the event with a number was enqueued; the first one behind it if it is gone.
  private func time(of number: UInt64, _ segments: [Figures]) -> Timestamp? {
    let holders = segments.filter { $0.next > number && $0.tally.recordCount > 0 }
    guard let segment = holders.first else { return nil }
    guard number > segment.added.baseNumber, let source = open(segment.added),
      let header = snapshot.header(of: segment.added)
    else { return segment.tally.firstTime }
    let judge = FrameJudge(
      source: source, identity: header.identity, start: .behind(header), evidence: 0,
      contents: contents)
    var position = start(of: number, segment.added)
    while position < source.size {
      let piece = judge.scanPiece(at: position)
      let frame = piece.frames.first {
        $0.header.type == FrameHeader.FrameType.batch && $0.header.nextNumber > number
      }
      if let frame { return time(of: number, in: frame, source, header.identity) }
      position = piece.next
    }
    return segment.tally.lastTime
  }

  private func time(
    of number: UInt64, in frame: ScannedFrame, _ source: InspectedSource,
    _ identity: FrameIdentity
  ) -> Timestamp {
    guard number > frame.header.baseNumber else { return frame.header.baseTime }
    do throws(FormatError) {
      let batch = try contents.batch(frame, source, identity)
      return batch.decoded.time(at: Int(number - frame.header.baseNumber))
    } catch {
      return frame.header.baseTime
    }
  }

  /// Where to begin to look for a number: at a batch that the footer or the index knows, else at
  /// the beginning.
  private func start(of number: UInt64, _ added: ManifestEdit.SegmentAdded) -> Int {
    footerStart(of: number, added) ?? indexStart(of: number, added)
  }

  private func footerStart(of number: UInt64, _ added: ManifestEdit.SegmentAdded) -> Int? {
    let name = StoreSnapshot.name(of: added, suffix: FileNames.footerSuffix)
    do {
      let source = try InspectedSource(
        snapshot.root.appending(name), name: name, fileSystem: snapshot.fileSystem)
      guard let header = FileHeaderReading(source).header, header.kind == .footer else {
        return nil
      }
      let reading = try FooterReading(source, identity: header.identity)
      guard reading.damage == nil else { return nil }
      var (low, high) = (0, reading.footer.batchCount)
      while low < high {
        let middle = (low + high) / 2
        guard let batch = reading.batch(at: middle) else { return nil }
        if batch.baseNumber <= number { low = middle + 1 } else { high = middle }
      }
      guard low > 0, let batch = reading.batch(at: low - 1) else { return nil }
      let place = Int(clamping: batch.position)
      return place >= FileHeader.size && place % FrameHeader.alignment == 0 ? place : nil
    } catch {
      return nil
    }
  }

  private func indexStart(of number: UInt64, _ added: ManifestEdit.SegmentAdded) -> Int {
    let name = StoreSnapshot.name(of: added, suffix: FileNames.indexSuffix)
    var position = FileHeader.size
    do throws(IOFailure) {
      let source = try InspectedSource(
        snapshot.root.appending(name), name: name, fileSystem: snapshot.fileSystem)
      guard let header = FileHeaderReading(source).header else { return position }
      var cursor = IndexCursor(source, identity: header.identity)
      while let found = cursor.next() {
        guard let entry = found.entry, entry.baseNumber <= number else { continue }
        let place = Int(clamping: entry.position)
        if place >= FileHeader.size, place % FrameHeader.alignment == 0 { position = place }
      }
    } catch {
      return FileHeader.size
    }
    return position
  }
}
