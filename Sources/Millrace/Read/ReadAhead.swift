internal import CommitLog
internal import EventModel
internal import LogFormat
internal import Synchronization

/// Reads and checks batches of one partition a little ahead of their consumer, on a thread of the
/// store's: the consumer suspends instead of waiting for the disk.
final class ReadAhead: Work {
  /// Stored batches that may wait: enough to hide a thread switch, few enough to bound memory.
  private static let countMax = 16

  /// Stored batches that keep the consumer busy while the reader decodes one for it: so both share
  /// the work, whoever has more of it.
  private static let decodingCount = 4

  /// Batches that the consumer reads on its own thread, where nothing has to be waited for, before
  /// it calls the reader: many who seek want no more, nor do many who follow the tail.
  private static let residentCount = 2

  /// What was read.
  enum Item: Sendable {
    case stored(StoredBatch, from: Int)
    case decoded(DecodedBatch, from: Int)
    case gap(Gap)
  }

  enum Next: Sendable {
    case item(Item)
    /// Everything below the high watermark has been read.
    case atTail(UInt64)
    /// Everything that was asked for has been read.
    case end
    case failed(EventStoreError)
  }

  private struct State {
    var ready: [Item] = []
    /// Items that may wait now: none before the first is taken, since many who seek want no more,
    /// and twice as many with each one, up to ``countMax``.
    var countMax = 0
    /// Batches that the consumer has read by itself, since it was last at the tail.
    var residentCount = 0
    /// Why the reader stopped, until the consumer has seen it.
    var stop: Next?
    var isReading = false
    var waiting: Suspension<Next>?
  }

  /// What one thread at a time reads with.
  private struct Reading {
    let cursor: BatchCursor
    /// Batches of the default size fit; between two uses of their memory lie more bytes than the
    /// consumer's core keeps to itself.
    let decompressor = BatchDecompressor(into: MemoryPool(size: 80 << 10, restingCount: 16))
  }

  private let source: any ReadSource
  private let reading: Mutex<Reading>
  private let partition: PartitionID
  private let limit: UInt64
  private let state: Mutex<State>

  init(
    _ source: any ReadSource, in partition: PartitionID, cursor: sending BatchCursor,
    limit: UInt64
  ) {
    self.source = source
    self.partition = partition
    reading = Mutex(Reading(cursor: cursor))
    self.limit = limit
    state = Mutex(State())
  }

  /// The next item.
  ///
  /// One consumer at a time.
  func next() async -> Next {
    if let next = readResident() { return next }
    let (known, mustRead) = state.withLock { state in advance(&state) }
    let isClosed = mustRead && !startReader()
    if let known { return known }
    if isClosed { return .failed(.isClosed) }
    return await Suspension.suspend { suspension in
      // The reader may have been faster, and have stopped.
      let (known, mustRead) = state.withLock { state in
        let (known, mustRead) = advance(&state)
        if known == nil { state.waiting = suspension }
        return (known, mustRead)
      }
      let isClosed = mustRead && !startReader()
      if let known {
        suspension.resume(known)
      } else if isClosed {
        state.withLock { $0.waiting.take() }?.resume(.failed(.isClosed))
      }
    }
  }

  /// Reads on the consumer's thread; nil where that might wait, or the reader is to be called.
  private func readResident() -> Next? {
    let isAlone = state.withLock { state in
      guard !state.isReading, state.ready.isEmpty, state.stop == nil else { return false }
      if state.residentCount == Self.residentCount { state.countMax = max(2, state.countMax) }
      return state.residentCount < Self.residentCount
    }
    guard isAlone, !source.readers.isStopped else { return nil }
    let next = reading.withLock { reading -> Next? in
      guard reading.cursor.next < limit, let item = reading.cursor.readResident() else {
        return nil
      }
      switch item {
      case nil: return .atTail(reading.cursor.next)
      case .gap(let gap): return .item(.gap(gap))
      case .batch(let batch, let first): return .item(.stored(batch, from: first))
      }
    }
    guard let next else { return nil }
    state.withLock { state in
      if case .atTail = next { state.residentCount = 0 } else { state.residentCount += 1 }
    }
    return next
  }

  /// Returns false where the store is closed.
  private func startReader() -> Bool {
    let isSubmitted = source.readers.submit(self)
    if !isSubmitted { state.withLock { $0.isReading = false } }
    return isSubmitted
  }

  /// Takes what is ready, and says whether the reader must be started.
  private func advance(_ state: inout State) -> (Next?, Bool) {
    if !state.ready.isEmpty {
      let item = state.ready.removeFirst()
      state.countMax = min(Self.countMax, max(2, 2 * state.countMax))
      let mustRead =
        !state.isReading && state.stop == nil && state.ready.count <= state.countMax / 2
      if mustRead { state.isReading = true }
      return (.item(item), mustRead)
    }
    if let stop = state.stop {
      // At the tail the next call looks again; an end and a failure stay.
      if case .atTail = stop { state.stop = nil }
      return (stop, false)
    }
    if state.isReading { return (nil, false) }
    state.isReading = true
    return (nil, true)
  }

  func run() {
    while true {
      let next = read(decodes: state.withLock { $0.ready.count >= Self.decodingCount })
      let (consumer, goesOn) = state.withLock {
        state -> (Suspension<Next>?, Bool) in
        var goesOn = false
        if let consumer = state.waiting.take() {
          if case .item = next {
            goesOn = state.countMax > 0
            state.countMax = max(2, state.countMax)
          } else {
            state.stop = next.staying
          }
          state.isReading = goesOn
          return (consumer, goesOn)
        }
        if case .item(let item) = next {
          state.ready.append(item)
          goesOn = state.ready.count < state.countMax
        } else {
          state.stop = next
        }
        state.isReading = goesOn
        return (nil, goesOn)
      }
      consumer?.resume(next)
      guard goesOn else { return }
    }
  }

  private func read(decodes: Bool) -> Next {
    reading.withLock { reading in
      guard reading.cursor.next < limit else { return .end }
      do throws(CommitLogFailure) {
        switch try reading.cursor.read() {
        case nil: return .atTail(reading.cursor.next)
        case .gap(let gap): return .item(.gap(gap))
        case .batch(let batch, let first):
          guard decodes else { return .item(.stored(batch, from: first)) }
          return .item(
            batch.decoded(from: first, in: partition, with: reading.decompressor))
        }
      } catch {
        return .failed(EventStoreError(error))
      }
    }
  }
}

extension StoredBatch {
  /// The decoded batch; a gap where sound checksums cover contents that are none.
  func decoded(
    from first: Int, in partition: PartitionID, with decompressor: BatchDecompressor,
    recordCount: Int = .max
  ) -> ReadAhead.Item {
    do throws(FormatError) {
      return .decoded(try decode(with: decompressor, recordCount: recordCount), from: first)
    } catch {
      return .gap(gap(in: partition, from: first))
    }
  }
}

extension ReadAhead.Next {
  /// What a stop means for the next call: the tail moves, the rest stays as it is.
  fileprivate var staying: Self? {
    if case .atTail = self { nil } else { self }
  }
}
