internal import EventModel
internal import LogFormat

extension DecodedBatch {
  /// Whether a batch of a file that nothing is known of holds records of the queues: each of them
  /// reads as one, and their numbers and times are possible.
  ///
  /// Devices may send bytes that look so; a fleet's batch of nothing else is unheard of.
  func readsAsQueueRecords(_ header: FrameHeader) -> Bool {
    let origins: [(FileHeader.Kind, FileHeader.Stream)] = [
      (.journal, .journal), (.segment, .feedback), (.segment, .deadLetter), (.queue, .journal),
      (.queueDirectory, .journal),
    ]
    return origins.contains { kind, stream in
      // The journal is never compressed, and queue files know no watermark.
      guard kind != .journal || header.codec == .none,
        kind == .journal || kind == .segment || header.watermark == 0
      else { return false }
      return (0..<count).allSatisfy { index in
        InspectedRecord(
          file: "", kind: kind, stream: stream, partition: 0, batch: self, index: index
        ).isPossibleQueueRecord
      }
    }
  }
}

extension InspectedRecord {
  fileprivate var isPossibleQueueRecord: Bool {
    switch queueRecord?.content {
    case nil: false
    case .directory: true
    case .filed(let message): message.expiry > enqueuedTime
    case .entries(let entries, let number):
      entries.allSatisfy { $0.isPossible(number: number ?? sequenceNumber, time: enqueuedTime) }
    }
  }
}

extension JournalEntry {
  /// Whether an entry with a number can say this: it is about an earlier one, or expires later.
  fileprivate func isPossible(number: UInt64, time: Timestamp) -> Bool {
    switch self {
    case .enqueued(let enqueued): enqueued.expiry > time
    case .locked(let locked): locked.sequence < number
    case .returned(let returned): returned.sequence < number
    case .settled(let settled): settled.sequence < number
    // A single byte, which says nothing by itself.
    case .deviceRemoved: false
    }
  }
}
