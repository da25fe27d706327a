import CommandSupport
import Millrace

/// Tells what opening a store for writing found and dealt with.
enum RecoveryReport {
  static func show(_ store: EventStore, path: String) {
    for notice in store.recoveryNotices {
      StandardError.notice("\(path), \(notice.partition?.name ?? "groups"): \(notice.message)")
    }
  }
}

extension PartitionID {
  fileprivate var name: String {
    self < .feedback ? "partition \(number)" : "\(self)"
  }
}
