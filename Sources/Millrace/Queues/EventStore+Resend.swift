internal import DeviceQueueing
internal import EventModel
internal import LogFormat
internal import Synchronization

/// Which dead letters were sent again, by the sequence numbers that they had.
final class SentAgain: Sendable {
  private struct State {
    var numbers: Set<UInt64>
    /// From where on the stream has been read as well; nil for nowhere: what the journal tells is
    /// the newest part.
    var readFrom: Offset?
  }

  private let state: Mutex<State>

  init(_ numbers: Set<UInt64>) { state = Mutex(State(numbers: numbers)) }

  /// From where on the stream has been read; nil for nowhere.
  var readFrom: Offset? { state.withLock { $0.readFrom } }

  /// Notes what the stream says from a place on, up to where it had been read before.
  func note(_ numbers: Set<UInt64>, from offset: Offset) {
    state.withLock { state in
      state.numbers.formUnion(numbers)
      state.readFrom = min(state.readFrom ?? offset, offset)
    }
  }

  /// Notes that a dead letter is sent again; false if it was before.
  func insert(_ number: UInt64) -> Bool { state.withLock { $0.numbers.insert(number).inserted } }

  func remove(_ number: UInt64) { state.withLock { _ = $0.numbers.remove(number) } }

  var numbers: Set<UInt64> { state.withLock { $0.numbers } }
}

extension EventStore {
  /// Moves a dead letter back into its device's queue: a message with a new number and a new time
  /// to live, and the dead letter counts as sent again.
  ///
  /// Both are one record of the journal. The stream keeps the dead letter, and a record behind it
  /// says that it was sent again (``EventView/sentAgainSequenceNumber``).
  ///
  /// *Durability*: returns when the message would survive a crash.
  ///
  /// - Returns: the message's new sequence number.
  /// - Throws: ``EventStoreError`` as ``DeviceQueue/enqueue(_:)``, and with `invalidArgument` for a
  ///   dead letter that was sent again before.
  @discardableResult
  public func resend(_ letter: DeadLetter) async throws(EventStoreError) -> UInt64 {
    let core = try await writer().queues()
    // What says that it was sent again stands behind it.
    let readFrom = core.sentAgain.readFrom
    if readFrom.map({ letter.offset < $0 }) ?? true {
      let numbers = try await readSentAgain(
        from: .offset(letter.offset), until: readFrom.map { .offset($0) } ?? .highWatermark)
      core.sentAgain.note(numbers, from: letter.offset)
    }
    guard core.sentAgain.insert(letter.sequenceNumber) else {
      throw EventStoreError(
        .invalidArgument,
        "dead letter \(letter.sequenceNumber) to \(letter.device) was sent again before; it is in "
          + "its queue or settled")
    }
    var message = letter.message
    message.expiryTime = nil
    var work = QueueCore.MovingBack(
      message: message, device: letter.device, letter: letter.sequenceNumber)
    do throws(EventStoreError) {
      try await core.carryOut(&work)
    } catch {
      core.sentAgain.remove(letter.sequenceNumber)
      throw error
    }
    try await core.durable(work)
    core.wakeReceivers(of: CollectionOfOne(letter.device))
    guard let number = work.lastNumber else { preconditionFailure("a message has no number") }
    return number
  }

  /// The sequence numbers that those dead letters had which were sent again.
  ///
  /// Reads the whole stream of dead letters; where another process writes, what it has sent again
  /// in the last moments may be missing.
  public func deadLettersSentAgain() async throws(EventStoreError) -> Set<UInt64> {
    try await readSentAgain(from: .earliest, until: .highWatermark)
      .union(existingQueues?.sentAgain.numbers ?? [])
  }

  private func readSentAgain(
    from start: ReadPosition, until end: ReadEnd
  ) async throws(EventStoreError) -> Set<UInt64> {
    var numbers: Set<UInt64> = []
    for try await batch in batches(in: .deadLetters, from: start, until: end) {
      for event in batch {
        if let number = event.sentAgainSequenceNumber { numbers.insert(number) }
      }
    }
    return numbers
  }

  private var existingQueues: QueueCore? { (source as? WriterCore)?.existingQueues }
}

extension QueueCore {
  /// Puts a message that was a dead letter into a queue.
  fileprivate struct MovingBack: QueueWork {
    let message: DeviceMessage
    let device: EventModel.DeviceID
    /// The sequence number that the message had.
    let letter: UInt64
    private(set) var lastNumber: UInt64?

    mutating func goOn(
      _ core: QueueCore, _ state: inout State, _ turn: Turn
    ) throws(EventStoreError) -> Progress {
      guard !core.journal.isShort else { return .needsSpace }
      let size = message.size
      var enqueued = try core.decideEnqueue(
        message, size: size, to: device, state.table, at: turn.time)
      enqueued.deadLetter = letter
      lastNumber = try core.put(
        enqueued, message, size: size, to: device, &state, at: turn.time)
      return lastNumber == nil ? .needsRoom : .done
    }
  }
}
