import CommandSupport
import Millrace

/// Tells what opening a store for writing found and dealt with.
enum RecoveryReport {
  static func show(_ store: EventStore, path: String) {
    for notice in store.recoveryNotices {
      StandardError.notice("\(path), partition \(notice.partition.number): \(notice.message)")
    }
  }
}
