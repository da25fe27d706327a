import CommandSupport
import Millrace

/// Appends the events of some inputs.
///
/// Everything here blocks and runs on a thread of its own.
struct Ingestion: ~Copyable {
  /// What the user asked for.
  struct Options: Sendable {
    let inputs: [InputFile]
    let format: InputFormat
    let durability: Durability
    let skipsBadLines: Bool
    let keepsEntries: Bool
    let isQuiet: Bool
    /// Bytes of a batch before compression.
    let batchSize: Int
  }

  /// What came of it.
  struct Tally: Sendable {
    var events = 0
    var rejectedLines = 0
    var textBytes = 0
  }

  /// A group is closed at this size, unless there are so many partitions that their batches could
  /// not be filled.
  private static let groupSizeMin = 8 << 20
  /// A group is closed after this time.
  private static let groupTimeMax: Duration = .milliseconds(100)
  /// Events between two looks at the clock.
  private static let clockStride = 256

  private let options: Options
  private let queue: AckQueue
  private let acknowledges: Bool
  private let groupSizeMax: Int
  private var appender: EventAppender
  private var progress: Progress
  /// What has come of it so far.
  private(set) var tally = Tally()
  /// The lines of the inputs before this one.
  private var linesBefore = 0
  private var group = AckGroup()
  /// A complete group that is not put yet: until more has come, its last batches are not full, and
  /// while input is at hand no batch is sealed before it is.
  private var held: AckGroup?
  private var ends: [Offset?]
  private var groupBegan = ContinuousClock.now

  init(_ options: Options, _ store: EventStore, _ queue: AckQueue) throws(EventStoreError) {
    self.options = options
    self.queue = queue
    acknowledges = options.durability == .durable || options.keepsEntries
    appender = store.makeAppender()
    let partitionCount = store.partitions.count
    ends = Array(repeating: nil, count: partitionCount)
    groupSizeMax = max(Self.groupSizeMin, 2 * partitionCount * options.batchSize)
    progress = Progress("ingesting", unit: "events", isQuiet: options.isQuiet)
  }

  /// Reads and appends everything.
  ///
  /// What was read before a failure is still put into the queue.
  ///
  /// - Throws: the first failure of an input, of a line, or of the store.
  mutating func run() throws {
    do {
      for input in options.inputs { try read(input) }
    } catch {
      progress.finish()
      // The failure may be the queue's own: then this one says nothing new.
      do { try finishGroups() } catch { throw error }
      throw error
    }
    progress.finish()
    try finishGroups()
  }

  private mutating func read(_ file: InputFile) throws {
    let stream = try file.open()
    switch options.format {
    case .envelope: try append(EnvelopeInput(stream))
    case .ndjson(let device, let time):
      try append(NDJSONInput(stream, device: device, time: time))
    case .csv(let layout): try append(try CSVInput(stream, layout))
    }
  }

  private mutating func append(_ input: consuming some EventInput) throws {
    var untilClock = Self.clockStride
    while true {
      if try !input.hasLineAtHand() { try pause() }
      guard let item = try input.next() else { break }
      switch item {
      case .event(let event, let line): try append(event, line: line, of: input.name)
      case .bad(let problem, let line): try reject(problem.description, line: line, of: input.name)
      }
      untilClock -= 1
      if untilClock == 0 {
        untilClock = Self.clockStride
        progress.update(tally.events)
        if ContinuousClock.now - groupBegan >= Self.groupTimeMax { try closeGroup() }
      }
    }
    linesBefore += input.lineNumber
    tally.textBytes += input.textBytes
  }

  @inline(__always)
  private mutating func append(_ event: Event, line: Int, of name: String) throws {
    let position: LogPosition
    do throws(EventStoreError) {
      position = try appender.append(event)
    } catch {
      // What is wrong with the event is the line's fault; everything else is the store's.
      guard error.code == .limitExceeded || error.code == .enqueueTimeAhead else { throw error }
      try reject(error.message, line: line, of: name)
      return
    }
    tally.events += 1
    guard acknowledges else { return }
    ends[position.partition.number] = position.offset
    group.add(
      position, line: linesBefore + line, size: event.body.count, keepsEntry: options.keepsEntries)
    if group.size >= groupSizeMax { try closeGroup() }
  }

  @inline(never)
  private mutating func reject(_ problem: String, line: Int, of name: String) throws {
    let place = "\(name):\(line)"
    guard options.skipsBadLines else {
      throw CommandFailure(
        "\(place): \(problem); mend the line or use --on-error skip (events before it are stored: "
          + "\(tally.events))")
    }
    tally.rejectedLines += 1
    progress.finish()
    StandardError.notice("\(place): \(problem); skipped")
  }

  // MARK: Groups

  /// Completes the group while input is at hand.
  private mutating func closeGroup() throws {
    groupBegan = .now
    guard acknowledges, let complete = takeGroup() else { return }
    if let ready = held.take() { try queue.put(ready) }
    held = complete
  }

  /// The input has nothing at hand: what there is goes as far as was asked for.
  private mutating func pause() throws {
    if acknowledges {
      try finishGroups()
    } else if options.durability == .written {
      try appender.flush()
    }
    progress.update(tally.events)
    groupBegan = .now
  }

  private mutating func finishGroups() throws {
    var ready = held.take() ?? AckGroup()
    if let complete = takeGroup() { ready.merge([complete]) }
    if !ready.isEmpty { try queue.put(ready) }
  }

  private mutating func takeGroup() -> AckGroup? {
    guard !group.isEmpty else { return nil }
    var complete = group
    group = AckGroup()
    var last: [PartitionID: Offset] = [:]
    for (partition, offset) in ends.enumerated() {
      guard let offset else { continue }
      last[PartitionID(partition)] = offset
      ends[partition] = nil
    }
    complete.close(last)
    return complete
  }
}
