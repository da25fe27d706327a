internal import CommitLog
public import EventModel
internal import LogFormat

/// The batches of one partition, in order: an asynchronous sequence that reads a little ahead.
///
/// Each iterator begins anew. Iterating suspends and never blocks.
public struct EventBatches: AsyncSequence, Sendable {
  /// One batch.
  public typealias Element = EventBatch
  /// What an iterator may throw.
  public typealias Failure = EventStoreError

  private let source: any ReadSource
  private let partition: PartitionID
  private let follows: Bool
  private let filter: DeviceFilter?
  /// What is to be read, as it is when reading begins.
  private let stretch: @Sendable () async throws(EventStoreError) -> ReadStretch

  init(
    _ source: any ReadSource, of filter: DeviceFilter?, in partition: PartitionID, follows: Bool,
    stretch: @escaping @Sendable () async throws(EventStoreError) -> ReadStretch
  ) {
    self.source = source
    self.partition = partition
    self.filter = filter
    self.follows = follows
    self.stretch = stretch
  }

  /// Begins to read.
  public func makeAsyncIterator() -> Iterator { Iterator(self) }

  /// Reads on batch by batch.
  public struct Iterator: AsyncIteratorProtocol {
    private let batches: EventBatches
    private var limit: UInt64 = .max
    /// Events that are still to be given out.
    private var remaining = Int.max
    private var reader: ReadAhead?
    /// What finding the place to begin at has read already.
    private var found: ReadAhead.Item?
    private let decompressor = BatchDecompressor()

    init(_ batches: EventBatches) {
      self.batches = batches
    }

    /// The next batch or gap; nil at the end, or when the task is cancelled or the store closed
    /// while it waits at the tail.
    ///
    /// What is there is given out to a cancelled task as well; after nil it may ask again.
    ///
    /// - Throws: ``EventStoreError`` when the disk fails; with `closed` when the store was closed
    ///   before everything was read. Damage is no failure but a gap.
    public mutating func next(
      isolation actor: isolated (any Actor)? = #isolation
    ) async throws(EventStoreError) -> EventBatch? {
      let reader = try await begin()
      guard remaining > 0 else { return nil }
      if let item = found.take() {
        switch take(item) {
        case .batch(let batch): return batch
        case .nothing: break
        case .end: return nil
        }
      }
      while true {
        switch await reader.next() {
        case .item(let item):
          switch take(item) {
          case .batch(let batch): return batch
          case .nothing: continue
          case .end: return nil
          }
        case .end: return nil
        case .failed(let failure): throw failure
        case .atTail(let number):
          guard batches.follows,
            try await batches.source.waitForMore(in: batches.partition.number, beyond: number)
          else { return nil }
        }
      }
    }

    private enum Taken {
      case batch(EventBatch)
      /// Nothing that was asked for.
      case nothing
      case end
    }

    /// What the consumer sees of an item.
    private mutating func take(_ item: ReadAhead.Item) -> Taken {
      switch item {
      case .gap(let gap): return .batch(EventBatch(gap))
      case .stored(let stored, let first):
        // On the consumer's thread: decoding waits for nothing.
        let end = end(of: stored.header.baseNumber..<stored.header.nextNumber, from: first)
        return take(
          stored.decoded(
            from: first, in: batches.partition, with: decompressor, recordCount: end))
      case .decoded(let batch, let first):
        let base = batch.baseOffset
        let end = end(of: base..<base + UInt64(batch.count), from: first)
        guard first < end else { return .end }
        let taken = EventBatch(
          batch, indexes: first..<end, of: batches.filter, max: remaining,
          partition: batches.partition)
        remaining -= taken.count
        return taken.isEmpty ? .nothing : .batch(taken)
      }
    }

    /// The index behind the last record of a batch that may be given out.
    private func end(of numbers: Range<UInt64>, from first: Int) -> Int {
      let end = numbers.count(below: limit)
      guard batches.filter == nil, end - first > remaining else { return end }
      return first + remaining
    }

    private mutating func begin() async throws(EventStoreError) -> ReadAhead {
      if let reader { return reader }
      let stretch = try await batches.stretch()
      limit = stretch.end
      remaining = stretch.count
      var start = stretch.start.number
      if let (batch, first) = stretch.start.batch {
        found = .stored(batch, from: first)
        start = batch.header.nextNumber
      }
      let cursor = batches.source.cursor(
        in: batches.partition.number, from: start, of: batches.filter)
      let fresh = ReadAhead(
        batches.source, in: batches.partition, cursor: cursor, limit: limit)
      reader = fresh
      return fresh
    }
  }
}

extension Range<UInt64> {
  fileprivate func count(below limit: UInt64) -> Int { clamped(to: 0..<limit).count }
}

/// Where reading begins in a partition.
public enum ReadPosition: Hashable, Sendable {
  /// At the first event that is still there.
  case earliest
  /// Behind the last durable event: only what comes.
  case latest
  /// At an offset; the next one that is there if it is gone.
  case offset(Offset)
  /// At the first event enqueued at or after a time, or at a gap before it that may have held one;
  /// behind the last durable event if there is none yet, whatever the time of what comes then.
  case time(Timestamp)
}

/// Where reading ends.
public enum ReadEnd: Hashable, Sendable {
  /// Never: at the tail the reader waits for more.
  case never
  /// At what is durable when the iterator is asked for the first batch.
  case highWatermark
  /// Before an offset, or at the tail if that comes first.
  case offset(Offset)
  /// Before the first event enqueued at or after a time, or at what is durable when the iterator is
  /// asked for the first batch if there is none yet.
  case time(Timestamp)
  /// Behind so many events, or at what is durable when the iterator is asked for the first batch if
  /// there are fewer: bodies behind them are not even decompressed.
  case count(Int)
}

/// Where reading begins, before which number it ends, and how many events it gives out.
struct ReadStretch: Sendable {
  let start: ReadStart
  let end: UInt64
  var count = Int.max
}

/// Where reading begins.
struct ReadStart: Sendable {
  let number: UInt64
  /// The batch that holds the number, where it was read to find that, and the number's index.
  var batch: (StoredBatch, index: Int)?
}

extension ReadSource {
  /// What reading from a position up to an end means now.
  ///
  /// Blocks for the disk where one of them is a time.
  func stretch(
    from position: ReadPosition, until end: ReadEnd, in partition: Int
  ) throws(EventStoreError) -> ReadStretch {
    do throws(CommitLogFailure) {
      return try stretch(from: position, until: end, in: partition, waits: true)
    } catch {
      throw EventStoreError(error)
    }
  }

  /// The same where it waits for no disk; nil where it may.
  func residentStretch(
    from position: ReadPosition, until end: ReadEnd, in partition: Int
  ) throws(EventStoreError) -> ReadStretch? {
    guard renewal == nil else { return nil }
    guard !readers.isStopped else { throw .isClosed }
    do throws(CommitLogFailure) {
      return try stretch(from: position, until: end, in: partition, waits: false)
    } catch {
      // Whatever it is, who may wait meets it again.
      return nil
    }
  }

  private func stretch(
    from position: ReadPosition, until end: ReadEnd, in partition: Int, waits: Bool
  ) throws(CommitLogFailure) -> ReadStretch {
    let start = try start(of: position, in: partition, waits: waits)
    let number =
      switch end {
      case .never: UInt64.max
      case .highWatermark, .count: snapshot(of: partition).end
      case .offset(let offset): offset.value
      case .time(let time): try find(time, in: partition, waits: waits).number
      }
    let stretch = ReadStretch(start: start, end: max(start.number, number))
    guard case .count(let count) = end else { return stretch }
    return ReadStretch(start: stretch.start, end: stretch.end, count: max(0, count))
  }

  /// What a position means now.
  ///
  /// Blocks for the disk when it is a time.
  func start(of position: ReadPosition, in partition: Int) throws(EventStoreError) -> ReadStart {
    do throws(CommitLogFailure) {
      return try start(of: position, in: partition, waits: true)
    } catch {
      throw EventStoreError(error)
    }
  }

  private func start(
    of position: ReadPosition, in partition: Int, waits: Bool
  ) throws(CommitLogFailure) -> ReadStart {
    let snapshot = snapshot(of: partition)
    switch position {
    case .earliest: return ReadStart(number: snapshot.startNumber)
    case .latest: return ReadStart(number: snapshot.highWatermark)
    case .offset(let offset): return ReadStart(number: offset.value)
    case .time(let time):
      let place = try find(time, in: partition, waits: waits)
      // At a gap reading begins with that.
      return ReadStart(
        number: place.start, batch: place.start == place.number ? place.batch : nil)
    }
  }

  private func find(
    _ time: Timestamp, in partition: Int, waits: Bool
  ) throws(CommitLogFailure) -> TimePlace {
    try TimeSearch.find(
      atOrAfter: time, in: snapshot(of: partition), mappings: mappings, fileSystem: fileSystem,
      waits: waits)
  }
}

extension LogSnapshot {
  /// Where reading ends that shows everything: never where nobody can tell how much there is, so
  /// that readers come to the place that says so.
  var end: UInt64 { unreadable == nil ? highWatermark : .max }
}
