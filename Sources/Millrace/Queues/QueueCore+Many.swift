internal import DeviceQueueing
internal import EventModel
internal import LogFormat

/// Operations on many messages with one wait for the disk: what each step decides, however whoever
/// asked waits.
extension QueueCore {
  /// Puts messages into their queues until one is refused.
  struct Sending {
    private let messages: [(EventModel.DeviceID, DeviceMessage)]
    /// Why the next one was refused.
    private(set) var refusal: EventStoreError?

    init(_ messages: [(EventModel.DeviceID, DeviceMessage)]) { self.messages = messages }

    mutating func decide(
      _ core: QueueCore, _ table: borrowing QueueTable, _ time: QueueTime, _ applied: [Applied]
    ) -> [Decision] {
      guard refusal == nil, applied.count < messages.count else { return [] }
      let (device, message) = messages[applied.count]
      do throws(EventStoreError) {
        return [try core.decideEnqueue(message, to: device, table, at: time)]
      } catch {
        refusal = error
        return []
      }
    }

    func outcome(_ applied: [Applied]) -> EnqueueOutcome {
      EnqueueOutcome(sequenceNumbers: applied.map(\.number), refusal: refusal)
    }
  }

  /// Completes messages, passing over those whose lock is lost.
  struct Completing {
    private let deliveries: [(device: EventModel.DeviceID, token: LockToken)]
    /// For each whether its token held the lock.
    private(set) var done: [Bool]
    private var next = 0
    private var asked: Int?
    private var doneCount = 0

    init(_ deliveries: [(device: EventModel.DeviceID, token: LockToken)]) {
      self.deliveries = deliveries
      done = Array(repeating: false, count: deliveries.count)
    }

    mutating func decide(
      _ table: borrowing QueueTable, _ time: QueueTime, _ applied: [Applied]
    ) -> [Decision] {
      // What was decided last has been applied, or is decided once more.
      if let index = asked, applied.count > doneCount {
        done[index] = true
        doneCount += 1
        next = index + 1
      }
      while next < deliveries.count {
        let (device, token) = deliveries[next]
        do throws(QueueRejection) {
          let entry = try table.decideSettle(token, of: device, .complete, at: time)
          asked = next
          return [Decision(device: device, entry: entry)]
        } catch {
          next += 1
        }
      }
      return []
    }
  }
}

extension QueueCore {
  /// Settles one message.
  static func settling(
    _ token: LockToken, of device: EventModel.DeviceID, _ verb: @escaping (QueueTime) -> QueueVerb
  ) -> Plan {
    { table, time, applied throws(QueueRejection) in
      guard applied.isEmpty else { return [] }
      let entry = try table.decideSettle(token, of: device, verb(time), at: time)
      return [Decision(device: device, entry: entry)]
    }
  }

  /// Blocks until everything up to the last change is durable: the caller leads its group.
  func lead(_ applied: [Applied], _ wait: BlockingWait) throws(EventStoreError) {
    guard let last = applied.last else { return }
    try journal.lead(to: .durable(last.number + 1), wait)
  }
}

extension QueueVerb {
  /// - Throws: ``EventStoreError`` with `invalidArgument` for a delay that is none.
  static func abandoning(
    after delay: Duration
  ) throws(EventStoreError) -> (QueueTime) -> QueueVerb {
    try delay.check(asA: "delay", from: .zero)
    return { .abandon(availableFrom: delay == .zero ? nil : $0.wall.advanced(by: delay)) }
  }

  /// - Throws: ``EventStoreError`` with `limitExceeded` for a reason that is too long.
  static func rejecting(_ reason: String) throws(EventStoreError) -> (QueueTime) -> QueueVerb {
    guard reason.utf8.count <= JournalEntry.descriptionSizeMax else {
      throw .limit(
        LimitExceeded(
          "reason", maximum: JournalEntry.descriptionSizeMax, value: reason.utf8.count))
    }
    return { _ in .reject(reason: reason.isEmpty ? SettlementStatus.rejected.name : reason) }
  }
}
