internal import DeviceQueueing
internal import EventModel
internal import LogFormat
internal import Synchronization

extension ReadSource {
  /// Looks at the queues, then reads what was found.
  ///
  /// Blocks for the disk.
  func withQueues<Found: Sendable, Result>(
    _ look: (borrowing QueueTable) -> sending Found,
    reading read: (Found, JournalReader) throws(EventStoreError) -> Result
  ) throws(EventStoreError) -> Result {
    if let writer = self as? WriterCore {
      if let core = writer.existingQueues {
        return try read(core.state.withLock { look($0.table) }, core.reader)
      }
      return try read(look(QueueTable(rules: QueueRules(), key: 0)), JournalReader(self))
    }
    // Another process writes, or none: what the journal holds is all there is.
    try refresh()
    let replay = try JournalReplay.run(self, into: QueueTable(rules: QueueRules(), key: 0))
    return try read(look(replay.takeTable()), JournalReader(self))
  }
}
