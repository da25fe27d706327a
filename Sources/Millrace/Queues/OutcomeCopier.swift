internal import CommitLog
internal import EventModel
internal import LogFormat
internal import Synchronization

/// Copies what settlements say to the feedback and dead-letter streams, each exactly once.
///
/// The journal's record of a settlement is the commit. A copy carries the record's number; on
/// opening, copying goes on behind the highest number that a stream holds, so a crash between the
/// record and its copy neither loses nor doubles it. On a full disk copying waits until there is
/// room, and where one stream fails the other one goes on; the journal keeps what is not copied.
final class OutcomeCopier: Sendable {
  /// Where the copies go.
  struct Stream: Sendable {
    let id: PartitionID
    /// Gives the stream, made when the first copy needs it; blocks.
    let open: @Sendable () throws(EventStoreError) -> PartitionWriter
    /// The highest number that it held when the store was opened.
    let last: UInt64?
    /// Whether its active file is gone, or some of it cannot be read: what belongs there is copied
    /// once it is back or made anew, and the journal keeps it until then.
    let isLost: Bool
  }

  /// What was handed to a stream, and may not be durable there.
  private struct Copy {
    /// The settlement's number in the journal.
    let number: UInt64
    let stream: PartitionWriter
    /// The copy's number in the stream.
    let position: UInt64

    var isDurable: Bool { position < stream.durableNumber }
  }

  private struct State {
    /// Numbers of settlements, in their order.
    var waiting: [UInt64] = []
    var head = 0
    var copying: UInt64?
    /// In the order of the settlements.
    var copies: [Copy] = []
    /// How many of them there may be before those that are durable are forgotten.
    var copyCountMax = 1_024
    /// The first settlement that a lost or failed stream has no copy of.
    var held: UInt64?
    /// Whether a copy waits for room on the disk.
    var isHeldUp = false
    var isStopped = false
    /// Whether nothing more is copied.
    var hasEnded = false
    /// The streams that took something no more.
    var failed: Set<PartitionID> = []
    /// The first failure, of a stream or of the journal.
    var failure: EventStoreError?
    var thread: EngineThread?

    mutating func hold(_ number: UInt64) { held = min(held ?? number, number) }

    mutating func note(_ copy: Copy) {
      isHeldUp = false
      copies.append(copy)
      guard copies.count > copyCountMax else { return }
      // What is not durable is bounded by what a stream keeps in memory.
      copies.removeAll { $0.isDurable }
      copyCountMax = max(copyCountMax, 2 * copies.count)
    }
  }

  /// Time until a copy is tried again on a full disk.
  private static let patience: Duration = .seconds(1)

  private let feedback: Stream
  private let deadLetters: Stream
  private let metrics: StoreMetrics
  private let state = Gate(State())

  init(feedback: Stream, deadLetters: Stream, _ metrics: StoreMetrics) {
    self.feedback = feedback
    self.deadLetters = deadLetters
    self.metrics = metrics
  }

  deinit { stop() }

  /// The number behind the highest that a copy had when the store was opened: the journal held it.
  var testifiedNumber: UInt64 {
    [feedback.last, deadLetters.last].compactMap { $0.map { $0 &+ 1 } }.max() ?? 0
  }

  /// Begins to copy what was settled before, and what will be.
  func start(_ reader: JournalReader, behind journal: PartitionWriter, redoing settled: [UInt64]) {
    let (state, metrics) = (state, metrics)
    let copying = Copying(
      feedback: feedback, deadLetters: deadLetters, metrics: metrics, state: state)
    let thread = EngineThread {
      while let number = Self.next(state) {
        do throws(EventStoreError) {
          try copying.waitUntilDurable(number, in: journal)
          if let record = try reader.record(number) {
            try copying.copy(record)
          } else {
            metrics.noteUnreadable(number..<number + 1)
          }
          state.update { $0.copying = nil }
        } catch {
          // What is not copied now is copied after the next opening.
          let isStopped = state.update { state in
            state.hasEnded = true
            state.failure = state.failure ?? error
            return state.isStopped
          }
          if !isStopped { metrics.noteOutcomesStopped(error) }
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

  /// What the thread works with.
  private struct Copying: Sendable {
    let feedback: Stream
    let deadLetters: Stream
    let metrics: StoreMetrics
    let state: Gate<State>
    let wait = BlockingWait()

    /// Nothing is told that a crash could take back.
    func waitUntilDurable(
      _ number: UInt64, in journal: PartitionWriter
    ) throws(EventStoreError) {
      while true {
        do throws(EventStoreError) {
          return try journal.lead(to: .durable(number + 1), wait)
        } catch {
          guard error.code == .storageFull, !isStopped(after: error) else { throw error }
        }
      }
    }

    func copy(_ record: JournalRecord) throws(EventStoreError) {
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
      if isFeedback { try append(record, to: feedback, withMessage: false) }
      if isDeadLetter { try append(record, to: deadLetters, withMessage: isWhole) }
    }

    private func append(
      _ record: JournalRecord, to stream: Stream, withMessage: Bool
    ) throws(EventStoreError) {
      if let last = stream.last, record.number <= last { return }
      let isHeld = state.update { state in
        let isHeld = stream.isLost || state.failed.contains(stream.id)
        if isHeld { state.hold(record.number) }
        return isHeld
      }
      if isHeld { return }
      var bytes = ByteBuffer(capacity: 8 + record.event.bodySize)
      OutcomeRecord.encode(record, withMessage: withMessage, into: &bytes)
      let event = record.event
      while true {
        do throws(EventStoreError) {
          let writer = try stream.open()
          let position = try bytes.withBytes { (body) throws(EventStoreError) in
            try writer.append(
              from: event.deviceID, body: body,
              properties: withMessage ? event.properties : .empty,
              systemProperties: event.systemProperties,
              at: event.enqueuedTime.microseconds)
          }
          if let position {
            return state.update {
              $0.note(Copy(number: record.number, stream: writer, position: position))
            }
          }
          try writer.waitForRoom(wait)
        } catch {
          guard error.code == .storageFull else { return fail(stream, at: record.number, error) }
          if isStopped(after: error) { throw error }
        }
      }
    }

    /// The other stream goes on; what belongs to this one is copied after the next opening.
    private func fail(_ stream: Stream, at number: UInt64, _ failure: EventStoreError) {
      let isStopped = state.update { state in
        state.hold(number)
        state.failed.insert(stream.id)
        state.failure = state.failure ?? failure
        return state.isStopped
      }
      if !isStopped { metrics.noteOutcomesStopped(failure, stream.id) }
    }

    /// Waits a while for room; returns whether to give up.
    private func isStopped(after failure: EventStoreError) -> Bool {
      let isNews = state.update { state in
        defer { state.isHeldUp = true }
        return !state.isHeldUp
      }
      if isNews { metrics.noteOutcomesHeldUp(failure) }
      return state.wait(patience: OutcomeCopier.patience) { (state, isTimedOut) -> Bool? in
        if state.isStopped { return true }
        return isTimedOut ? false : nil
      }
    }
  }

  /// The first settlement of which a copy may not be durable; nil if all are.
  var firstUndurable: UInt64? {
    state.wait { (state, _) -> UInt64?? in
      let copied = state.copies.first { !$0.isDurable }?.number
      let next = state.head < state.waiting.count ? state.waiting[state.head] : nil
      let first = copied ?? state.copying ?? next
      return .some(state.held.map { min($0, first ?? $0) } ?? first)
    }
  }

  /// Returns once everything that was noted has been handed to the streams, or waits for room: then
  /// it is copied after the next opening.
  ///
  /// Blocks.
  func finish() throws(EventStoreError) {
    let failure = state.wait { (state, _) -> EventStoreError?? in
      let isOver =
        state.hasEnded || state.isHeldUp || state.waiting.isEmpty && state.copying == nil
      return isOver ? .some(state.failure) : nil
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
