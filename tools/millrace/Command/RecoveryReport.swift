import ArgumentParser
import CommandSupport
import Millrace

/// What opening a store, and looking at its queues, found: told on standard error at once, and by
/// the command's status at the end.
struct RecoveryReport {
  private let path: String
  /// Whether something is damaged, or gone although it was acknowledged.
  private(set) var isDamage = false
  private var told: Set<EventStoreError> = []

  /// Tells what opening a store for writing found and dealt with.
  init(_ store: EventStore, path: String) {
    self.path = path
    for notice in store.recoveryNotices { show(notice) }
  }

  /// Tells of the queues' journal alone, for those who look at queues and change nothing.
  init(ofQueues store: EventStore, path: String) {
    self.path = path
    for notice in store.recoveryNotices where notice.partition == .journal && notice.isLoss {
      show(notice)
    }
  }

  /// Tells of consumer groups alone, for those who ask where one stands and change nothing.
  init(ofGroups store: EventStore, path: String) {
    self.path = path
    for notice in store.recoveryNotices where notice.partition == nil { show(notice) }
  }

  private mutating func show(_ notice: RecoveryNotice) {
    let others = notice.kind == .storageFull ? "store" : "groups"
    StandardError.notice("\(path), \(notice.partition?.name ?? others): \(notice.message)")
    switch notice.kind {
    case .damaged, .lostSuffix, .unreadable: isDamage = true
    case .tornTail, .possiblyAcknowledged, .healed, .storageFull: return
    }
  }

  /// Tells what of the queues cannot be read, and gives what can.
  mutating func take<Found>(_ look: QueueLook<Found>) -> Found {
    for damage in look.damages { StandardError.notice("\(path), \(damage)") }
    if !look.damages.isEmpty { isDamage = true }
    return look.found
  }

  /// Tells, once, what kept a part of the answer from being given.
  mutating func take(_ failure: EventStoreError) {
    if told.insert(failure).inserted { StandardError.notice("\(path), \(failure)") }
    isDamage = true
  }

  /// Ends the command, which has done its work.
  ///
  /// - Throws: the status for damage, if there was any.
  func end() throws(ExitCode) {
    if isDamage { throw ExitCode(ExitStatus.damage) }
  }
}

extension RecoveryNotice {
  /// Whether records are, or may be, gone.
  fileprivate var isLoss: Bool {
    switch kind {
    case .lostSuffix, .damaged, .possiblyAcknowledged, .unreadable: true
    case .tornTail, .healed, .storageFull: false
    }
  }
}

extension PartitionID {
  fileprivate var name: String {
    self < .feedback ? "partition \(number)" : "\(self)"
  }
}
