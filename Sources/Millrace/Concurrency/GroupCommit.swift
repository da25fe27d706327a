internal import EventModel

/// Who may do what next in one partition: a pure state machine.
///
/// Numbers are event numbers; a goal is the number behind the last event that somebody waits for.
///
/// Two stages run at once, each by one thread: flushing (compress, frame, write) and syncing. What
/// arrives while one runs forms the next group.
struct GroupCommit: Hashable, Sendable {
  enum Stage: Hashable, Sendable {
    case flush
    case sync
    case mark
  }

  /// A sync begins when so much is unsynced, whoever waits for it or not.
  static let syncSize = Limits.unsyncedSizeMax / 2
  /// Writing waits for a sync then: with one more flush the tail stays within its bound, and so
  /// does the time to open after a crash (I10).
  static let stallSize = Limits.unsyncedSizeMax - 2 * Limits.batchSizeMax

  /// Everything below is with the operating system.
  private(set) var written: UInt64
  /// Everything below survives a crash.
  private(set) var durable: UInt64
  private(set) var isFlushing = false
  private(set) var isSyncing = false
  /// Flush up to here although batches are not full.
  private(set) var flushGoal: UInt64 = 0
  /// Sync up to here.
  private(set) var syncGoal: UInt64 = 0
  /// Full batches wait to be written.
  var hasFullBatch = false
  /// Bytes that are written and not synced.
  var unsyncedSize = 0
  /// A watermark frame is due.
  private(set) var isMarkDue = false
  /// The partition takes no more writes.
  private(set) var isPoisoned = false
  /// The disk was full at the last attempt; the next one needs a request.
  private(set) var isFull = false

  init(durable: UInt64) {
    written = durable
    self.durable = durable
  }

  /// Whether every event below `end` is durable and nothing waits.
  func isSettled(at end: UInt64) -> Bool { durable >= end }

  mutating func requestWrite(upTo number: UInt64) {
    flushGoal = max(flushGoal, number)
    isFull = false
  }

  mutating func requestSync(upTo number: UInt64) {
    requestWrite(upTo: number)
    syncGoal = max(syncGoal, number)
  }

  mutating func requestMark() { isMarkDue = true }

  /// The stage that can begin now, taken by the caller, who must end it.
  mutating func begin() -> Stage? {
    guard !isPoisoned else { return nil }
    if !isFlushing, !isFull, unsyncedSize < Self.stallSize || written == durable,
      hasFullBatch || flushGoal > written
    {
      isFlushing = true
      return .flush
    }
    if !isSyncing, written > durable, syncGoal > durable || unsyncedSize >= Self.syncSize {
      isSyncing = true
      return .sync
    }
    if isMarkDue, !isFlushing, durable == written {
      isMarkDue = false
      isFlushing = true
      return .mark
    }
    return nil
  }

  mutating func endFlush(written number: UInt64) {
    precondition(isFlushing, "a flush ended that had not begun")
    isFlushing = false
    written = max(written, number)
  }

  mutating func endSync(durable number: UInt64) {
    precondition(isSyncing, "a sync ended that had not begun")
    isSyncing = false
    durable = max(durable, number)
    // A roll syncs what it seals.
    written = max(written, durable)
  }

  /// A roll in the middle of a flush has synced everything before it.
  mutating func note(durable number: UInt64) {
    durable = max(durable, number)
  }

  mutating func endFlushFull(written number: UInt64) {
    endFlush(written: number)
    isFull = true
  }

  mutating func poison(_ stage: Stage) {
    if stage == .sync { isSyncing = false } else { isFlushing = false }
    isPoisoned = true
  }
}
