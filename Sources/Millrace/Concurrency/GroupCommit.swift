internal import EventModel

/// Who may do what next in one partition: a pure state machine.
///
/// Numbers are event numbers; a goal is the number behind the last event that somebody waits for.
///
/// Two stages run at once, each by one thread: flushing (compress, frame, write) and syncing. What
/// arrives while one runs forms the next group. What waits for a sync and fills no batch is not
/// flushed beside the sync before it: nothing would come of it sooner, and the group grows. For the
/// same reason a sync waits for the flush that runs where nobody waits for less than that.
package struct GroupCommit: Hashable, Sendable {
  package enum Stage: Hashable, Sendable {
    case flush
    case sync
    case mark
  }

  /// A sync begins when so much is unsynced, whoever waits for it or not.
  package static let syncSize = Limits.unsyncedSizeMax / 2
  /// Writing waits for a sync then: with one more flush the tail stays within its bound, and so
  /// does the time to open after a crash (I10).
  package static let stallSize = Limits.unsyncedSizeMax - 2 * Limits.batchSizeMax

  /// Everything below is with the operating system.
  package private(set) var written: UInt64
  /// Everything below survives a crash.
  package private(set) var durable: UInt64
  package private(set) var isFlushing = false
  package private(set) var isSyncing = false
  /// Whether the flush that runs takes the batch that is not full.
  package private(set) var isFlushingAll = false
  /// Flush up to here although batches are not full.
  package private(set) var flushGoal: UInt64 = 0
  /// Sync up to here.
  package private(set) var syncGoal: UInt64 = 0
  /// The lowest number that a sync is asked for: one of less would help nobody.
  package private(set) var firstSyncGoal = UInt64.max
  /// Full batches wait to be written.
  package var hasFullBatch = false
  /// The batch whose turn it is to be written is being laid out by somebody: nothing is flushed
  /// until it is.
  package var isHeldUp = false
  /// Bytes that are written and not synced.
  package var unsyncedSize = 0
  /// A watermark frame is due.
  package private(set) var isMarkDue = false
  /// The partition takes no more writes.
  package private(set) var isPoisoned = false
  /// The disk was full at the last attempt; the next one needs a request.
  package private(set) var isFull = false

  package init(durable: UInt64) {
    written = durable
    self.durable = durable
  }

  /// Whether every event below `end` is durable and nothing waits.
  package func isSettled(at end: UInt64) -> Bool { durable >= end }

  package mutating func requestWrite(upTo number: UInt64) {
    flushGoal = max(flushGoal, number)
    isFull = false
  }

  package mutating func requestSync(upTo number: UInt64) {
    syncGoal = max(syncGoal, number)
    firstSyncGoal = min(firstSyncGoal, number)
    isFull = false
  }

  /// Whoever waits for a sync still waits for this number or a higher one.
  package mutating func note(firstSyncGoal number: UInt64) {
    firstSyncGoal = syncGoal > durable ? min(number, syncGoal) : .max
  }

  package mutating func requestMark() { isMarkDue = true }

  /// The stage that can begin now, taken by the caller, who must end it.
  package mutating func begin() -> Stage? {
    guard !isPoisoned else { return nil }
    if !isFlushing, !isFull, !isHeldUp, unsyncedSize < Self.stallSize || written == durable,
      hasFullBatch || isFlushAsked
    {
      isFlushing = true
      isFlushingAll = isFlushAsked
      return .flush
    }
    if !isSyncing, written > durable, isSyncAsked || unsyncedSize >= Self.syncSize {
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

  /// Whether a sync would help somebody, or may help all who wait because nothing is being written
  /// nor about to be.
  private var isSyncAsked: Bool {
    syncGoal > durable && (firstSyncGoal <= written || !isFlushing && !isHeldUp)
  }

  /// Whether a batch is to be written although it is not full.
  private var isFlushAsked: Bool { isWriteAwaited || !isSyncing && syncGoal > written }

  /// Whether somebody waits for more to be written and for no sync.
  package var isWriteAwaited: Bool { flushGoal > written }

  /// Whether somebody waits for more than is written.
  package var isFlushAwaited: Bool { max(flushGoal, syncGoal) > written }

  package mutating func endFlush(written number: UInt64) {
    precondition(isFlushing, "a flush ended that had not begun")
    isFlushing = false
    written = max(written, number)
  }

  package mutating func endSync(durable number: UInt64) {
    precondition(isSyncing, "a sync ended that had not begun")
    isSyncing = false
    durable = max(durable, number)
    // A roll syncs what it seals.
    written = max(written, durable)
  }

  /// A roll in the middle of a flush has synced everything before it.
  package mutating func note(durable number: UInt64) {
    durable = max(durable, number)
  }

  package mutating func endFlushFull(written number: UInt64) {
    endFlush(written: number)
    isFull = true
  }

  package mutating func poison(_ stage: Stage) {
    if stage == .sync { isSyncing = false } else { isFlushing = false }
    isPoisoned = true
  }
}
