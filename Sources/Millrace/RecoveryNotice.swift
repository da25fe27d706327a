public import EventModel
internal import CommitLog
internal import ConsumerCheckpoints
internal import LogFormat

/// Something that opening the store found and dealt with.
public struct RecoveryNotice: Hashable, Sendable {
  /// What was found.
  public enum Kind: Hashable, Sendable {
    /// An unfinished write at the end was cut and kept in `quarantine/`. Nothing acknowledged is
    /// lost.
    case tornTail
    /// The last group before a crash was damaged, and nothing tells whether it was acknowledged.
    case possiblyAcknowledged
    /// Acknowledged events are gone; readers meet a `Gap`.
    case lostSuffix
    /// A flipped bit was set right.
    case healed
    /// Damage below the durable end that the scan met, or a file that is gone; readers meet a
    /// `Gap`. Without a partition: the consumer groups' checkpoints are damaged.
    case damaged
    /// A file cannot be read now, or not be written: nothing is known to be lost, and nothing can
    /// be added here before it can and the store is opened again.
    ///
    /// Where it cannot be read, readers throw where it begins.
    case unreadable
    /// There was no room for what opening has to write. What is there can be read; the rest is
    /// written with the first append, commit or settlement that finds room.
    case storageFull
  }

  /// What was found.
  public let kind: Kind
  /// Where; nil for the consumer groups, and for the store as a whole.
  public let partition: PartitionID?
  /// The events concerned; empty where none are.
  public let offsets: Range<Offset>
  /// The same, for people.
  public let message: String
}

extension RecoveryNotice {
  /// What is to be said of the consumer groups; nil for nothing.
  init?(_ table: CheckpointTable) {
    guard let loss = table.loss else { return nil }
    self.init(
      kind: .damaged, partition: nil, offsets: 0..<0,
      message: "the consumer groups' checkpoints are damaged (\(loss)): groups go on at older ones "
        + "or begin anew; `millrace fsck` tells more")
  }

  /// What is to be said where opening found no room for what it has to write; nil for nothing.
  init?(waiting reports: [RecoveryReport]) {
    guard let cause = reports.lazy.compactMap(\.waitsForRoom).first else { return nil }
    self.init(
      kind: .storageFull, partition: nil, offsets: 0..<0,
      message:
        "\(cause): what is there can be read, and nothing is lost; free some space, then the next "
        + "append finishes what opening could not write")
  }

  /// What is to be said where the queues cannot be opened for a file that cannot be read, or for
  /// want of room.
  init(queues failure: EventStoreError) {
    self.init(
      kind: failure.code == .storageFull ? .storageFull : .unreadable, partition: .journal,
      offsets: 0..<0,
      message:
        "\(failure); until then no message is sent or settled, and nothing is known to be lost")
  }

  static func notices(_ report: RecoveryReport) -> [RecoveryNotice] {
    let partition = report.log.partitionID
    func notice(_ kind: Kind, _ range: Range<UInt64>, _ message: String) -> RecoveryNotice {
      RecoveryNotice(
        kind: kind, partition: partition,
        offsets: Offset(range.lowerBound)..<Offset(range.upperBound), message: message)
    }
    var notices: [RecoveryNotice] = []
    if let cause = report.unreadable ?? report.unwritable {
      let rest =
        report.unreadable == nil
        ? "what is there can be read"
        : "readers see what comes before that file, and then this error"
      notices.append(
        notice(
          .unreadable, 0..<0,
          "\(cause): nothing is known to be lost, and nothing can be added here; \(rest). "
            + "\(EventStoreError.remedy(for: cause)), then open the store again"))
    }
    if report.unreadable != nil { return notices }
    if report.isLost {
      notices.append(
        notice(
          .damaged, report.lostSuffix ?? 0..<0,
          "the file for new records is gone: nothing can be added here before it is restored, or "
            + "`millrace fsck --repair` has made a new one"))
      return notices
    }
    if let lost = report.lostSuffix {
      notices.append(
        notice(
          .lostSuffix, lost,
          "\(lost.count) acknowledged events from \(lost.lowerBound) on are gone"))
    }
    if let range = report.possiblyAcknowledged {
      notices.append(
        notice(
          .possiblyAcknowledged, range,
          "the last write was damaged; \(range.count) events from \(range.lowerBound) on may have "
            + "been acknowledged"))
    }
    if let tail = report.tail, report.possiblyAcknowledged == nil, report.lostSuffix == nil {
      notices.append(
        notice(
          .tornTail, 0..<0,
          "\(tail.range.count) bytes of an unfinished write were moved to quarantine/\(tail.name)"))
    }
    for position in report.healed {
      notices.append(notice(.healed, 0..<0, "a flipped bit at \(position) was set right"))
    }
    for finding in report.findings {
      notices.append(
        notice(
          .damaged, finding.first..<max(finding.first, finding.next),
          "damage at \(finding.position)"))
    }
    return notices
  }
}
