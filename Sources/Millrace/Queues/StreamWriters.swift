internal import CommitLog
internal import EventModel
internal import LogFormat
internal import StorageIO
internal import Synchronization

/// The writers of the logs besides the partitions, each made when it is first needed.
final class StreamWriters: Sendable {
  /// Makes a writer, and is told whom to tell of a roll.
  typealias MakeWriter =
    @Sendable (PartitionLog, TailSignal, @escaping @Sendable () -> Void) -> PartitionWriter

  /// Held while queues or streams are made, by threads that may wait for the disk.
  let making = Mutex<Void>(())
  private let log: CommitLog
  private let makeWriter: MakeWriter
  private let tails: [FileHeader.Stream: TailSignal]
  /// Called when the journal has been rolled.
  private let journalRolled = Mutex<(@Sendable () -> Void)?>(nil)
  private let writers = Mutex<[FileHeader.Stream: PartitionWriter]>([:])

  init(
    _ log: CommitLog, _ makeWriter: @escaping MakeWriter
  ) {
    self.log = log
    self.makeWriter = makeWriter
    var tails: [FileHeader.Stream: TailSignal] = [:]
    for stream in FileHeader.Stream.allCases where stream != .events {
      tails[stream] = TailSignal(highWatermark: log.existingLog(stream)?.highWatermark ?? 0)
    }
    self.tails = tails
  }

  /// The writer of a stream, whose log is made if there is none.
  ///
  /// Blocks.
  ///
  /// - Throws: ``EventStoreError`` where the log cannot be made, or its active file is gone
  ///   or cannot be read.
  func writer(of stream: FileHeader.Stream) throws(EventStoreError) -> PartitionWriter {
    if let writer = writers.withLock({ $0[stream] }) { return writer }
    do throws(CommitLogFailure) {
      let log = try log.log(stream)
      if let loss = log.loss { throw loss }
      return writers.withLock { writers in
        if let writer = writers[stream] { return writer }
        let writer = makeWriter(log, tail(of: stream)) { [weak self] in
          if stream == .journal { self?.journalRolled.withLock { $0 }?() }
        }
        writers[stream] = writer
        return writer
      }
    } catch {
      throw EventStoreError(error)
    }
  }

  /// Makes the journal if there is none.
  ///
  /// Blocks.
  ///
  /// - Throws: ``EventStoreError`` where it cannot be made, its active file is gone, or there is no
  ///   room to make sure of what it holds.
  func makeJournal() throws(EventStoreError) {
    do throws(CommitLogFailure) {
      let journal = try log.log(.journal)
      if let loss = journal.loss { throw loss }
      try journal.showAll()
      tail(of: .journal).publish(journal.highWatermark)
    } catch {
      throw EventStoreError(error)
    }
  }

  /// Has the journal go on behind what others tell of it, before anything is written to it.
  ///
  /// Blocks.
  ///
  /// - Returns: the records that it has lost; nil for none.
  /// - Throws: ``EventStoreError``, but not for a full disk.
  func goOn(behind number: UInt64) throws(EventStoreError) -> Range<UInt64>? {
    do throws(CommitLogFailure) {
      return try log.existingLog(.journal)?.goOn(behind: number)
    } catch {
      throw EventStoreError(error)
    }
  }

  /// Has somebody told of every roll of the journal.
  func watchJournal(_ body: @escaping @Sendable () -> Void) {
    journalRolled.withLock { $0 = body }
  }

  /// Makes feedback and dead letters durable, as far as there is room for them.
  ///
  /// Blocks.
  ///
  /// - Returns: the first failure, but not a full disk: the journal still says what has no room.
  func synchronizeOutcomes() -> EventStoreError? {
    let wait = BlockingWait()
    var failure: EventStoreError?
    for stream in [FileHeader.Stream.feedback, .deadLetter] {
      guard let writer = writers.withLock({ $0[stream] }) else { continue }
      do throws(EventStoreError) {
        try writer.lead(to: .durable(writer.nextNumber), wait)
      } catch {
        if error.code != .storageFull { failure = failure ?? error }
      }
    }
    return failure
  }

  /// Gives back the space of journal segments that nothing needs any more.
  ///
  /// - Parameter number: what is below is said elsewhere, or over, and durably so.
  /// - Throws: ``EventStoreError``; the space is given back another time.
  func releaseJournal(below number: UInt64) throws(EventStoreError) {
    do throws(CommitLogFailure) {
      guard let journal = log.existingLog(.journal) else { return }
      _ = try log.retire(journal, below: number)
    } catch {
      throw EventStoreError(error)
    }
  }

  /// Has what was found in a stream be read, all of it: who copies to it goes by that.
  ///
  /// Blocks.
  func showAll(of stream: FileHeader.Stream) throws(CommitLogFailure) {
    guard let log = log.existingLog(stream), !log.isLost else { return }
    try log.showAll()
    tail(of: stream).publish(log.highWatermark)
  }

  /// Whether a stream takes nothing, because its active file is gone or cannot be read.
  func isLost(_ stream: FileHeader.Stream) -> Bool { log.isLost(stream) }

  var all: [PartitionWriter] { writers.withLock { Array($0.values) } }

  func tail(of stream: FileHeader.Stream) -> TailSignal {
    guard let tail = tails[stream] else { preconditionFailure("\(stream) is no stream") }
    return tail
  }

  func closeTails() {
    for tail in tails.values { tail.close() }
  }
}

/// The store as the queues read it: they are part of it and must not keep it alive.
final class StreamSource: ReadSource {
  let readers: WorkerPool
  let mappings: MappingCache
  private let log: CommitLog

  init(_ core: WriterCore) {
    readers = core.readers
    mappings = core.mappings
    log = core.log
  }

  var partitionCount: Int { 0 }
  var context: LogContext { log.context }
  var queueCheckpoint: ManifestEdit.QueueCheckpoint? { log.manifest.queueCheckpoint }

  func snapshot(of partition: Int) -> LogSnapshot {
    let stream = PartitionID.stream(partition) ?? .journal
    return log.existingLog(stream)?.snapshot ?? .empty(stream)
  }

  func refresh() {}
  var renewal: (@Sendable () throws(CommitLogFailure) -> Void)? { nil }
  func waitForMore(in partition: Int, beyond number: UInt64) async throws(EventStoreError) -> Bool {
    false
  }
}

extension PartitionID {
  /// The stream that a partition's number stands for; nil for a partition of events.
  static func stream(_ number: Int) -> FileHeader.Stream? {
    guard number > streamBase else { return nil }
    return FileHeader.Stream(rawValue: UInt32(number - streamBase))
  }
}

extension OutcomeCopier.Stream {
  /// - Throws: what reading the stream's last record throws; but where the disk does not read it,
  ///   the stream counts as lost: nobody can tell which copies it has.
  init(
    _ stream: FileHeader.Stream, _ writers: StreamWriters, _ source: any ReadSource
  ) throws(EventStoreError) {
    var (last, isLost) = (UInt64?.none, writers.isLost(stream))
    do throws(CommitLogFailure) {
      try writers.showAll(of: stream)
      last = try Self.lastNumber(stream, source)
    } catch .unreadable {
      isLost = true
    } catch {
      throw EventStoreError(error)
    }
    self.init(
      id: ManifestEdit.LogID.only(of: stream).partitionID,
      open: { () throws(EventStoreError) in try writers.writer(of: stream) }, last: last,
      isLost: isLost)
  }

  /// The number that the last record carries which can be read: what is missing behind it is copied
  /// again.
  private static func lastNumber(
    _ stream: FileHeader.Stream, _ source: any ReadSource
  ) throws(CommitLogFailure) -> UInt64? {
    let id = ManifestEdit.LogID.only(of: stream).partitionID
    let partition = id.number
    let snapshot = source.snapshot(of: partition)
    if let place = snapshot.unreadable { throw .unreadable(place) }
    guard snapshot.highWatermark > snapshot.startNumber else { return nil }
    var start = snapshot.highWatermark - 1
    let decompressor = BatchDecompressor()
    while true {
      let cursor = source.cursor(in: partition, from: start)
      var last: UInt64?
      while let item = try cursor.read() {
        guard case .batch(let stored, let first) = item,
          case .decoded(let batch, _) = stored.decoded(
            from: first, in: id, with: decompressor)
        else { continue }
        last = Self.lastNumber(in: batch, of: id) ?? last
      }
      if let last { return last }
      guard start > snapshot.startNumber else { return nil }
      // Damage at the end: further back, in steps that grow.
      let step = 2 * (snapshot.highWatermark - start)
      start = start > snapshot.startNumber + step ? start - step : snapshot.startNumber
    }
  }

  private static func lastNumber(in batch: DecodedBatch, of partition: PartitionID) -> UInt64? {
    for index in (0..<batch.count).reversed() {
      do throws(FormatError) {
        return try OutcomeRecord(EventView(batch, index: index, partition: partition)).number
      } catch {
        continue
      }
    }
    return nil
  }
}
