internal import CommitLog
internal import DeviceQueueing
internal import EventModel
internal import LogFormat

/// The queues as their files and the journal tell of them.
struct JournalReplay: ~Copyable {
  private var table: QueueTable
  /// The time of the last record, also when that record is gone by now.
  private(set) var lastTime: Timestamp?
  /// The records that the feedback and the dead letters are made of.
  private(set) var outcomes: [UInt64] = []
  /// The numbers that dead letters had which were sent again.
  private(set) var sentAgain: Set<UInt64> = []

  /// Records that could not be read.
  private(set) var unreadable: [Range<UInt64>] = []
  /// Queue files that could not be read.
  private(set) var damaged: [QueueFile] = []
  /// Those that cannot be read now, or not by this program.
  private(set) var outOfReach: [QueueDamage] = []
  /// What is below it the files say.
  private var floor: UInt64 = 0
  /// Those of the record that is applied, here so that their memory is used again.
  private var entries: [JournalEntry] = []

  private init(_ table: consuming QueueTable) { self.table = table }

  /// The number behind the highest that a message in a queue file has: the journal held it.
  private(set) var testifiedNumber: UInt64 = 0

  /// All that could not be read.
  var damages: [QueueDamage] {
    unreadable.map { .records($0) } + damaged.map { .file($0.device) } + outOfReach
  }

  consuming func takeTable() -> QueueTable { table }

  /// Applies everything that is durable.
  ///
  /// Blocks.
  ///
  /// - Throws: ``EventStoreError``; in a process that does not write, also where the writer has
  ///   moved on meanwhile.
  static func run(
    _ source: any ReadSource, into table: consuming QueueTable
  ) throws(EventStoreError) -> JournalReplay {
    var replay = JournalReplay(table)
    let (checkpoint, snapshot) = source.queueFilesAndJournal
    if let checkpoint {
      replay.floor = checkpoint.floor
      var loading = QueueLoading(checkpoint.number, source.context)
      try loading.load(into: &replay.table)
      replay.damaged = loading.damaged
      replay.testifiedNumber = replay.table.lastLoaded.map { $0 &+ 1 } ?? 0
      replay.outOfReach = loading.outOfReach
    }
    replay.lastTime = snapshot.segments.first?.added.lastTimeBefore
    let cursor = source.cursor(
      in: PartitionID.journal.number, from: snapshot.startNumber)
    let decompressor = BatchDecompressor()
    while cursor.next < snapshot.end {
      let item: CursorItem?
      do throws(CommitLogFailure) {
        item = try cursor.read()
      } catch {
        throw EventStoreError(error)
      }
      guard let item else { break }
      switch item {
      case .gap(let gap): replay.note(gap)
      case .batch(let stored, let first):
        switch stored.decoded(from: first, in: .journal, with: decompressor) {
        case .decoded(let batch, _):
          for index in first..<batch.count {
            try replay.apply(EventView(batch, index: index, partition: .journal))
          }
        case .gap(let gap): replay.note(gap)
        case .stored: continue
        }
      }
    }
    return replay
  }

  /// Notes what the journal's end has lost, as its numbers elsewhere show.
  mutating func noteLost(_ numbers: Range<UInt64>) { unreadable.append(numbers) }

  private mutating func note(_ gap: Gap) {
    // What a writer has let go meanwhile says nothing any more.
    guard gap.reason != .retired else { return }
    unreadable.append(gap.first.value..<max(gap.first.value, gap.next.value))
  }

  private mutating func apply(_ event: EventView) throws(EventStoreError) {
    lastTime = event.enqueuedTime
    let number = event.position.offset.value
    let bodyStart: Int
    do throws(FormatError) {
      bodyStart = try JournalEntry.decodeAll(event.body, into: &entries)
    } catch .corrupt {
      // Sound checksums over what is no entry: the others go on.
      unreadable.append(number..<number + 1)
      return
    } catch {
      throw EventStoreError(.unsupportedVersion, "\(error); use a newer program")
    }
    // Also of what the files say: it may have been kept because an outcome was not yet copied.
    if entries[0].hasOutcome { outcomes.append(number) }
    var size = 0
    if case .enqueued(let enqueued) = entries[0] {
      size =
        event.bodySize - bodyStart + event.systemProperties.size + event.properties.size
      if let letter = enqueued.deadLetter { sentAgain.insert(letter) }
    }
    guard number >= floor else { return }
    let device = event.deviceID
    let time = QueueTime(wall: event.enqueuedTime, steady: 0)
    for entry in entries {
      table.apply(entry, number: number, device: device, size: size, at: time)
    }
  }
}

extension ReadSource {
  /// The last checkpoint, and the journal at a moment when it was the last.
  fileprivate var queueFilesAndJournal: (ManifestEdit.QueueCheckpoint?, LogSnapshot) {
    while true {
      let checkpoint = queueCheckpoint
      let snapshot = snapshot(of: PartitionID.journal.number)
      // One that came between may have let go of what belongs to the one before.
      if queueCheckpoint == checkpoint { return (checkpoint, snapshot) }
    }
  }
}
