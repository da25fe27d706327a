internal import CommitLog
internal import DeviceQueueing
internal import EventModel
internal import LogFormat
internal import StorageIO
internal import Synchronization

/// Moves what waits for long from the journal into queue files, so that the journal can let go of
/// its segments; on a thread of its own.
///
/// A checkpoint writes the files of the devices that need it, then their directory, makes both
/// durable with one call, and is part of the store once the manifest names it. Whatever comes of
/// one that does not get so far is no part of the store, and is removed before the next one.
final class QueueFiling: Sendable {
  /// Segments that the journal may have before everything is filed, whatever that takes.
  private static let segmentCountMax = 16
  /// Files that are worth writing for each segment that is let go.
  private static let fileCountPerSegment = 256
  /// Devices in a directory that cost as much as a file.
  private static let devicesPerFile = 64
  /// Slots that a walk looks at before others have their turn.
  static let pieceSize: UInt32 = 1_024
  /// Queue files of which nothing is left that stay until the next roll, at most.
  static let emptiedCountMax = 256

  struct State {
    var next: UInt32
    /// The checkpoint whose directory is there; 0 if none.
    var current: UInt32
    /// Whether there are no files but those of the store.
    var isClean = false
    /// Whether nobody knows which checkpoint the manifest names, or what all the files hold: then
    /// none is written and none goes.
    var isBroken = false
    /// Files of the store that cannot be read, in whole or in part.
    var damaged: Set<QueueFile> = []
  }

  let log: CommitLog
  private let metrics: StoreMetrics
  let files: QueueFiles
  let thread = FilingThread()
  /// Held by the thread while it works.
  private let state: Mutex<State>

  init(_ log: CommitLog, _ metrics: StoreMetrics) {
    self.log = log
    self.metrics = metrics
    files = QueueFiles(log.context)
    let current = log.manifest.queueCheckpoint?.number ?? 0
    state = Mutex(State(next: current + 1, current: current))
  }

  /// Begins to work for a core.
  ///
  /// - Parameters:
  ///   - damaged: files of the store that could not be read: evidence, not to be removed.
  ///   - outOfReach: what of them may be read another time, and is not known to the core. A
  ///     directory made without it would give it up: everything stays as it is until the store is
  ///     opened with all of it.
  ///   - work: asks the core to ``run(_:filing:)``.
  func start(
    damaged: [QueueFile], outOfReach: [QueueDamage],
    _ work: @escaping @Sendable (_ mayFile: Bool) -> Void
  ) {
    state.withLock { state in
      state.damaged = Set(damaged)
      state.isBroken = !outOfReach.isEmpty
    }
    for damage in outOfReach { metrics.noteDamage(damage) }
    for file in damaged { metrics.noteDamage(file) }
    thread.start(work)
  }

  /// There may be something to do.
  func wake() { thread.wake() }

  func stop() { thread.stop() }

  /// The checkpoint that moved messages last.
  var checkpoint: UInt32 { log.manifest.queueCheckpoint?.number ?? 0 }

  private var isStopped: Bool { thread.isStopped }

  // MARK: Deciding

  /// What the journal may let go of.
  private struct Release {
    /// Records below it are needed no more, as it is.
    var floor: UInt64?
    /// A checkpoint that would make it more.
    var checkpointFloor: UInt64?
  }

  /// Gives back the space of what is settled, and files what waits for long where it is worth it.
  ///
  /// Blocks. What fails is told, and tried again after the next roll: all is in the journal until
  /// then.
  ///
  /// - Parameters:
  ///   - core: the queues.
  ///   - mayFile: whether to write queue files; otherwise only space is given back.
  func run(_ core: QueueCore, filing mayFile: Bool) {
    do throws(EventStoreError) {
      try attempt(core, filing: mayFile)
    } catch {
      if mayFile, !isStopped { metrics.noteMaintenance(error) }
    }
    do throws(EventStoreError) {
      thread.noteEnd(isShort: try !core.takeReserve(), left: core.journal.spareSize)
    } catch {
      // The journal has stopped: whoever asks next hears of it.
      thread.noteEnd(isShort: false, left: .max)
    }
  }

  private func attempt(
    _ core: QueueCore, filing mayFile: Bool
  ) throws(EventStoreError) {
    try state.withLock { (state) throws(EventStoreError) in
      guard !state.isBroken else { return }
      // Files go by the checkpoint that it names.
      try Self.wrapping { () throws(CommitLogFailure) in try log.manifest.settle() }
      try removeEmptied(core, &state)
      guard let segments = log.existingLog(.journal)?.snapshot.segments, segments.count > 1 else {
        return
      }
      let release = decide(core, segments.map(\.baseNumber))
      // First what costs nothing: files may need the room.
      if let floor = release.floor { try core.releaseJournal(below: floor) }
      // Without a number left everything stays in the journal.
      guard mayFile, state.next <= Limits.queueCheckpointMax,
        let floor = release.checkpointFloor
      else { return }
      if core.journal.isShort {
        try Self.wrapping { () throws(CommitLogFailure) in try core.journal.log.lendReserve() }
      }
      let (reached, held) = try checkpoint(core, floor, &state)
      try core.releaseJournal(below: reached)
      if let held { throw held }
    }
  }

  private func decide(_ core: QueueCore, _ bases: [UInt64]) -> Release {
    // What came into the youngest sealed segment has had no time to be settled.
    let isFull = bases.count > Self.segmentCountMax
    let takesAll = isFull || core.journal.isShort
    let floor = bases[takesAll ? bases.count - 1 : max(0, bases.count - 2)]
    var found = FilingCount()
    forEachPiece(core) { table, range in found.add(table.countFilings(in: range, below: floor)) }
    var release = Release()
    let isStale = core.state.withLock { $0.table.isDirectoryStale }
    if !isStale, found.changed == 0 {
      release.floor = min(found.firstUnfiled ?? .max, bases[bases.count - 1])
    }
    let gain = bases.count { $0 < floor && $0 >= release.floor ?? 0 }
    guard gain > 0 else { return release }
    let cost = found.needed + found.filed / Self.devicesPerFile
    if isFull || cost <= gain * Self.fileCountPerSegment { release.checkpointFloor = floor }
    return release
  }

  private func forEachPiece(
    _ core: QueueCore, _ body: (inout QueueTable, Range<UInt32>) -> Void
  ) {
    let end = core.state.withLock { $0.table.slotRange.upperBound }
    var start: UInt32 = 0
    while start < end {
      let range = start..<min(end, start + Self.pieceSize)
      core.state.withLock { body(&$0.table, range) }
      start = range.upperBound
    }
  }

  // MARK: Checkpoint

  /// Devices whose files are out of reach keep theirs, and the journal what those do not say.
  ///
  /// - Returns: below which number the journal is needed no more, and why it is needed longer than
  ///   was asked for.
  private func checkpoint(
    _ core: QueueCore, _ floor: UInt64, _ state: inout State
  ) throws(EventStoreError) -> (floor: UInt64, held: EventStoreError?) {
    if !state.isClean { try clean(core, &state) }
    let number = state.next
    // Not given again: what is left of this one, if it fails, is never taken for another's.
    state.next += 1
    state.isClean = false
    let volume = try Self.wrapping { () throws(CommitLogFailure) in try files.openVolume() }
    var written: [FiledDevice] = []
    var held = Held(floor: floor)
    do throws(EventStoreError) {
      try write(core, number, &held, &written, &state.damaged)
      // Those that would be outdated below the floor: the others have been written anew.
      try removeFiles(core.state.withLock { $0.table.takeEmptied() }, core, state)
      // The files may tell of what a crash could still take back.
      try core.journal.lead(to: .durable(core.journal.nextNumber), BlockingWait())
      try Self.synchronize(volume)
      try commit(.init(number: number, floor: held.floor), &state)
    } catch {
      core.state.withLock { state in
        for device in written { state.table.revert(device, from: number) }
      }
      // On a full disk others need the room.
      if !state.isBroken, !isStopped { try clean(core, &state) }
      throw error
    }
    try Self.wrapping { () throws(CommitLogFailure) in
      if state.current != 0 { try files.removeDirectory(checkpoint: state.current) }
      state.current = number
      for device in written where device.replaced != 0 {
        try remove(QueueFile(device: device.device, checkpoint: device.replaced), state)
      }
    }
    try removeFiles(core.state.withLock { $0.table.takeEmptied() }, core, state)
    // No crash brings back one of them once a later one is gone.
    try Self.synchronize(volume)
    state.isClean = true
    return (held.floor, held.failure)
  }

  /// What a checkpoint leaves as it is, because it cannot be read now.
  private struct Held {
    /// What is below it the files say.
    var floor: UInt64
    /// Why the first of them is left.
    var failure: EventStoreError?
  }

  private func commit(
    _ checkpoint: ManifestEdit.QueueCheckpoint, _ state: inout State
  ) throws(EventStoreError) {
    do throws(CommitLogFailure) {
      try log.manifest.append([.queuesFiled(checkpoint)])
    } catch {
      if case .poisoned = error { state.isBroken = true }
      throw EventStoreError(error)
    }
  }

  /// Writes the files of the devices that need it, then the directory of all.
  private func write(
    _ core: QueueCore, _ number: UInt32, _ held: inout Held, _ written: inout [FiledDevice],
    _ damaged: inout Set<QueueFile>
  ) throws(EventStoreError) {
    let floor = held.floor
    var writer = try Self.wrapping { () throws(CommitLogFailure) in
      try BatchFileWriter(log.context.settings.codec)
    }
    let end = core.state.withLock { $0.table.slotRange.upperBound }
    var start: UInt32 = 0
    while start < end {
      guard !isStopped else { throw .isClosed }
      let range = start..<min(end, start + Self.pieceSize)
      let filings = core.state.withLock { $0.table.takeFilings(in: range, below: floor) }
      written += filings.map(\.filed)
      // What is not durable cannot be read.
      if !filings.isEmpty {
        try core.journal.lead(to: .durable(core.journal.nextNumber), BlockingWait())
      }
      var done: [DeviceFiling] = []
      for filing in filings {
        do throws(EventStoreError) {
          let isWhole = try write(filing, core.reader, number, &writer)
          done.append(filing)
          if isWhole { continue }
          // What it still holds is evidence.
          let file = QueueFile(device: filing.device, checkpoint: filing.filed.replaced)
          if file.checkpoint != 0, damaged.insert(file).inserted { metrics.noteDamage(file) }
        } catch {
          guard isAboutFile(of: filing, error) else { throw error }
          try hold(filing, core, number, &held, error)
          written.removeAll { $0.device == filing.device }
        }
      }
      core.state.withLock { state in
        for filing in done { state.table.noteFiled(filing, in: number) }
      }
      start = range.upperBound
    }
    try writeDirectory(core, number, &writer)
  }

  /// Returns whether all of it could be read.
  private func write(
    _ filing: DeviceFiling, _ reader: MessageReader, _ number: UInt32,
    _ writer: inout BatchFileWriter
  ) throws(EventStoreError) -> Bool {
    try Self.wrapping { () throws(CommitLogFailure) in
      try files.begin(filing.device, checkpoint: number, &writer)
    }
    var time = Timestamp(microseconds: .min)
    var isWhole = true
    for message in filing.messages {
      var filed = message.filed
      let sent = try reader.message(
        message.sequence, to: filing.device, checkpoint: message.checkpoint)
      filed.isLost = sent == nil
      if filed.isLost { isWhole = false }
      time = max(time, sent?.enqueued ?? time)
      var body = ByteBuffer(capacity: 64 + (sent?.message.body.count ?? 0))
      filed.encode(into: &body)
      sent?.message.body.withBytes { body.append($0) }
      try body.withBytes { (body) throws(EventStoreError) in
        try Self.wrapping { () throws(CommitLogFailure) in
          try writer.append(
            from: filing.device, body: body, properties: sent?.message.properties ?? .empty,
            systemProperties: sent?.message.systemProperties ?? .empty, at: time)
        }
      }
    }
    try Self.wrapping { () throws(CommitLogFailure) in try writer.finish() }
    return isWhole
  }

  /// Whether a failure is that a device's file is out of reach.
  private func isAboutFile(of filing: DeviceFiling, _ failure: EventStoreError) -> Bool {
    let checkpoint = filing.filed.replaced
    guard checkpoint != 0, failure.isOutOfReach else { return false }
    let path = files.path(of: filing.device, checkpoint: checkpoint)
    return failure.code == .unsupportedVersion || failure.cause?.path == path
  }

  /// Leaves a device's file as it is, because it cannot be read now, or not by this program.
  ///
  /// What it holds is not lost; what it does not say stays in the journal until it can be written
  /// anew.
  private func hold(
    _ filing: DeviceFiling, _ core: QueueCore, _ number: UInt32, _ held: inout Held,
    _ failure: EventStoreError
  ) throws(EventStoreError) {
    try Self.wrapping { () throws(CommitLogFailure) in
      try files.remove(filing.device, checkpoint: number)
    }
    let needed = filing.isChanged ? log.manifest.queueCheckpoint?.floor : filing.firstUnfiled
    held.floor = min(held.floor, needed ?? 0)
    held.failure = held.failure ?? failure
    core.state.withLock { $0.table.postpone(filing) }
  }

  private func writeDirectory(
    _ core: QueueCore, _ number: UInt32, _ writer: inout BatchFileWriter
  ) throws(EventStoreError) {
    try Self.wrapping { () throws(CommitLogFailure) in
      try files.beginDirectory(checkpoint: number, &writer)
    }
    let end = core.state.withLock { state in
      state.table.beginDirectory()
      return state.table.slotRange.upperBound
    }
    let time = log.context.environment.now()
    var start: UInt32 = 0
    while start < end {
      let range = start..<min(end, start + Self.pieceSize)
      let queues = core.state.withLock { $0.table.filedQueues(in: range) }
      for (device, queue) in queues {
        var body = ByteBuffer(capacity: 16 + 32 * queue.messages.count)
        queue.encode(into: &body)
        try body.withBytes { (body) throws(EventStoreError) in
          try Self.wrapping { () throws(CommitLogFailure) in
            try writer.append(from: device, body: body, at: time)
          }
        }
      }
      start = range.upperBound
    }
    try Self.wrapping { () throws(CommitLogFailure) in try writer.finish() }
  }

  static func synchronize(_ volume: any StorageVolume) throws(EventStoreError) {
    try wrapping { () throws(CommitLogFailure) in
      try CommitLogFailure.wrapping { () throws(IOFailure) in try volume.synchronize() }
    }
  }

  static func wrapping<Result: ~Copyable>(
    _ body: () throws(CommitLogFailure) -> Result
  ) throws(EventStoreError) -> Result {
    do throws(CommitLogFailure) {
      return try body()
    } catch {
      throw EventStoreError(error)
    }
  }
}
