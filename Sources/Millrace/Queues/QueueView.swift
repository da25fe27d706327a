internal import DeviceQueueing
internal import EventModel
internal import LogFormat
internal import Synchronization

extension ReadSource {
  /// Looks at the queues, then reads what was found, and says what cannot be read.
  ///
  /// Blocks for the disk.
  func withQueues<Found: Sendable, Result>(
    _ look: (borrowing QueueTable) -> sending Found,
    reading read: (Found, MessageReader, inout [QueueDamage]) throws(EventStoreError) -> Result
  ) throws(EventStoreError) -> QueueLook<Result> {
    let first = try lookOnce(look, reading: read)
    guard first.damages.contains(where: \.mayPass) else { return first }
    // What was settled between looking and reading is no damage: then it is not there any more.
    var second = try lookOnce(look, reading: read)
    second.damages.removeAll { $0.mayPass && !first.damages.contains($0) }
    return second
  }

  private func lookOnce<Found: Sendable, Result>(
    _ look: (borrowing QueueTable) -> sending Found,
    reading read: (Found, MessageReader, inout [QueueDamage]) throws(EventStoreError) -> Result
  ) throws(EventStoreError) -> QueueLook<Result> {
    if let core = (self as? WriterCore)?.existingQueues {
      return try rereading(while: { core.checkpoint }) { () throws(EventStoreError) in
        var damages = core.damages
        let result = try read(core.state.withLock { look($0.table) }, core.reader, &damages)
        return QueueLook(found: result, damages: damages)
      }
    }
    // Nobody writes here, or nobody can: files and journal are all there is.
    return try rereading(while: { () throws(EventStoreError) in
      try refresh()
      return queueCheckpoint?.number ?? 0
    }) { () throws(EventStoreError) in
      let replay = try JournalReplay.run(self, into: QueueTable(rules: QueueRules(), key: 0))
      var damages = replay.damages
      let result = try read(look(replay.takeTable()), MessageReader(self), &damages)
      return QueueLook(found: result, damages: damages)
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

extension QueueDamage {
  /// Whether it may be no more than what a writer has removed meanwhile.
  fileprivate var mayPass: Bool {
    if case .records = self { false } else { true }
  }
}
