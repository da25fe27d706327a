internal import CommitLog
internal import DeviceQueueing
internal import EventModel
internal import LogFormat

/// The queues as the journal tells of them.
struct JournalReplay: ~Copyable {
  private var table: QueueTable
  /// The time of the last record, also when that record is gone by now.
  private(set) var lastTime: Timestamp?
  /// The records that the feedback and the dead letters are made of.
  private(set) var outcomes: [UInt64] = []
  /// The numbers that dead letters had which were sent again.
  private(set) var sentAgain: Set<UInt64> = []

  private init(_ table: consuming QueueTable) { self.table = table }

  consuming func takeTable() -> QueueTable { table }

  /// Applies everything that is durable.
  ///
  /// Blocks.
  static func run(
    _ source: any ReadSource, into table: consuming QueueTable
  ) throws(EventStoreError) -> JournalReplay {
    var replay = JournalReplay(table)
    let snapshot = source.snapshot(of: PartitionID.journal.number)
    replay.lastTime = snapshot.segments.first?.added.lastTimeBefore
    let cursor = source.cursor(
      in: PartitionID.journal.number, from: snapshot.startNumber)
    let decompressor = BatchDecompressor()
    while cursor.next < snapshot.highWatermark {
      let item: CursorItem?
      do throws(CommitLogFailure) {
        item = try cursor.read()
      } catch {
        throw EventStoreError(error)
      }
      guard let item else { break }
      guard case .batch(let stored, let first) = item,
        case .decoded(let batch, _) = stored.decoded(from: first, in: .journal, with: decompressor)
      else { continue }
      for index in first..<batch.count {
        try replay.apply(EventView(batch, index: index, partition: .journal))
      }
    }
    return replay
  }

  private mutating func apply(_ event: EventView) throws(EventStoreError) {
    lastTime = event.enqueuedTime
    let record: JournalRecord
    do throws(FormatError) {
      record = try JournalRecord(event)
    } catch .corrupt {
      // Sound checksums over what is no entry: fsck tells of it, the others go on.
      return
    } catch {
      throw EventStoreError(.unsupportedVersion, "\(error); use a newer program")
    }
    if record.entry.hasOutcome { outcomes.append(record.number) }
    var size = 0
    if case .enqueued(let enqueued) = record.entry {
      size = record.messageSize
      if let letter = enqueued.deadLetter { sentAgain.insert(letter) }
    }
    table.apply(
      record.entry, number: record.number, device: event.deviceID, size: size,
      at: QueueTime(wall: event.enqueuedTime, steady: 0))
  }
}
