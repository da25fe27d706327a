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
    reading read: (Found, MessageReader) throws(EventStoreError) -> Result
  ) throws(EventStoreError) -> Result {
    if let core = (self as? WriterCore)?.existingQueues {
      return try rereading(while: { core.checkpoint }) { () throws(EventStoreError) in
        try read(core.state.withLock { look($0.table) }, core.reader)
      }
    }
    // Nobody writes here, or nobody can: files and journal are all there is.
    return try rereading(while: { () throws(EventStoreError) in
      try refresh()
      return queueCheckpoint?.number ?? 0
    }) { () throws(EventStoreError) in
      let replay = try JournalReplay.run(self, into: QueueTable(rules: QueueRules(), key: 0))
      return try read(look(replay.takeTable()), MessageReader(self))
    }
  }

  /// Reads again if a checkpoint has moved messages meanwhile.
  private func rereading<Result>(
    while checkpoint: () throws(EventStoreError) -> UInt32,
    _ read: () throws(EventStoreError) -> Result
  ) throws(EventStoreError) -> Result {
    var before = try checkpoint()
    while true {
      let result: Swift.Result<Result, EventStoreError>
      do throws(EventStoreError) {
        result = .success(try read())
      } catch {
        result = .failure(error)
      }
      let after = try checkpoint()
      guard after != before else { return try result.get() }
      before = after
    }
  }
}
