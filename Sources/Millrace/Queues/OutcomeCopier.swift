internal import CommitLog
internal import EventModel
internal import LogFormat
internal import Synchronization

/// Copies what settlements say to the feedback and dead-letter streams, each exactly once.
///
/// The journal's record of a settlement is the commit. A copy carries the record's number; on
/// opening, copying goes on behind the highest number that a stream holds, so a crash between the
/// record and its copy neither loses nor doubles it.
final class OutcomeCopier: Sendable {
  /// Where the copies go.
  struct Stream: Sendable {
    /// Gives the stream, made when the first copy needs it; blocks.
    let open: @Sendable () throws(EventStoreError) -> PartitionWriter
    /// The highest number that it held when the store was opened.
    let last: UInt64?
  }

  private struct State {
    /// Numbers of settlements, in their order.
    var waiting: [UInt64] = []
    var head = 0
    var copying: UInt64?
    var isStopped = false
    var failure: EventStoreError?
    var thread: EngineThread?
  }

  private let feedback: Stream
  private let deadLetters: Stream
  private let state = Gate(State())

  init(feedback: Stream, deadLetters: Stream) {
    self.feedback = feedback
    self.deadLetters = deadLetters
  }

  deinit { stop() }

  /// Begins to copy what was settled before, and what will be.
  func start(_ reader: JournalReader, behind journal: PartitionWriter, redoing settled: [UInt64]) {
    let (state, feedback, deadLetters) = (state, feedback, deadLetters)
    let thread = EngineThread {
      let wait = BlockingWait()
      while let number = Self.next(state) {
        do throws(EventStoreError) {
          // Nothing is told that a crash could take back.
          try journal.lead(to: .durable(number + 1), wait)
          if let record = try reader.record(number) {
            try Self.copy(record, feedback, deadLetters, wait)
          }
          state.update { $0.copying = nil }
        } catch {
          // What is not copied now is copied after the next opening.
          state.update { state in
            state.failure = error
          }
          return
        }
      }
    }
    state.update { state in
      state.waiting = settled + state.waiting
      state.thread = thread
    }
  }

  /// A settlement with an outcome has been written.
  func note(_ number: UInt64) { state.update { $0.waiting.append(number) } }

  private static func next(_ state: Gate<State>) -> UInt64? {
    state.wait { (state, _) -> UInt64?? in
      if state.head < state.waiting.count {
        let number = state.waiting[state.head]
        state.head += 1
        if state.head == state.waiting.count {
          state.waiting.removeAll(keepingCapacity: true)
          state.head = 0
        }
        state.copying = number
        return .some(number)
      }
      return state.isStopped ? .some(nil) : nil
    }
  }

  private static func copy(
    _ record: JournalRecord, _ feedback: Stream, _ deadLetters: Stream, _ wait: BlockingWait
  ) throws(EventStoreError) {
    var isFeedback = false
    var isDeadLetter = false
    var isWhole = false
    switch record.entry {
    case .enqueued(let enqueued): isDeadLetter = enqueued.deadLetter != nil
    case .settled(let settled):
      isFeedback = settled.givesFeedback
      isWhole = settled.deadLetter != nil
      isDeadLetter = isWhole
    default: return
    }
    if isFeedback, feedback.last.map({ record.number > $0 }) ?? true {
      try append(record, to: try feedback.open(), wait, withMessage: false)
    }
    if isDeadLetter, deadLetters.last.map({ record.number > $0 }) ?? true {
      try append(record, to: try deadLetters.open(), wait, withMessage: isWhole)
    }
  }

  private static func append(
    _ record: JournalRecord, to stream: PartitionWriter, _ wait: BlockingWait, withMessage: Bool
  ) throws(EventStoreError) {
    var bytes = ByteBuffer(capacity: 8 + record.event.bodySize)
    OutcomeRecord.encode(record, withMessage: withMessage, into: &bytes)
    let event = record.event
    while true {
      let number = try bytes.withBytes { (body) throws(EventStoreError) in
        try stream.append(
          from: event.deviceID, body: body,
          properties: withMessage ? event.properties : .empty,
          systemProperties: event.systemProperties,
          at: event.enqueuedTime.microseconds)
      }
      guard number == nil else { return }
      try stream.waitForRoom(wait)
    }
  }

  /// The first settlement that may not have been copied yet; nil if all have been.
  var firstWaiting: UInt64? {
    state.wait { (state, _) -> UInt64?? in
      .some(state.copying ?? (state.head < state.waiting.count ? state.waiting[state.head] : nil))
    }
  }

  /// Returns once everything that was noted has been handed to the streams.
  ///
  /// Blocks.
  func finish() throws(EventStoreError) {
    let failure = state.wait { (state, _) -> EventStoreError?? in
      if let failure = state.failure { return .some(failure) }
      return state.waiting.isEmpty && state.copying == nil ? .some(nil) : nil
    }
    if let failure { throw failure }
  }

  func stop() {
    let thread = state.update { state -> EngineThread? in
      state.isStopped = true
      // What is left is copied after the next opening.
      state.waiting = []
      state.head = 0
      return state.thread.take()
    }
    thread?.join()
  }
}
