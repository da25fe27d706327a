internal import DeviceQueueing
internal import EventModel
internal import Logging
internal import Metrics

/// Everything the store measures and says about itself.
struct StoreMetrics: Sendable {
  private let logger: Logger
  /// Events handed to the operating system.
  private let events = Counter(label: "millrace_append_events_total")
  /// Batches they were written in.
  private let batches = Counter(label: "millrace_append_batches_total")
  /// Time that one sync of a segment took.
  private let syncs = Metrics.Timer(
    label: "millrace_sync_seconds", preferredDisplayUnit: .seconds)
  /// Partitions that stopped after a failed sync or write.
  private let poisoned = Counter(label: "millrace_poisoned_partitions_total")

  /// Work on sealed segments that failed and is tried again later.
  private let maintenanceFailures = Counter(label: "millrace_maintenance_failures_total")

  /// Bytes that scrubbing has read and found sound.
  private let scrubbedBytes = Counter(label: "millrace_scrubbed_bytes_total")
  /// Damaged places and files that scrubbing has found.
  private let scrubDamages = Counter(label: "millrace_scrub_damages_total")

  /// Records of the queues' journal that could not be read.
  private let unreadableRecords = Counter(label: "millrace_unreadable_journal_records_total")

  init(logger: Logger) { self.logger = logger }

  func noteWritten(events: Int, batches: Int) {
    self.events.increment(by: events)
    self.batches.increment(by: batches)
  }

  func noteSync(_ duration: Duration) { syncs.record(duration: duration) }

  func notePoisoned(_ partition: PartitionID, _ failure: EventStoreError) {
    poisoned.increment()
    logger.error(
      "partition stopped", metadata: ["partition": "\(partition)", "failure": "\(failure)"])
  }

  func noteMaintenance(_ failure: EventStoreError) {
    maintenanceFailures.increment()
    logger.info("maintenance put off", metadata: ["failure": "\(failure)"])
  }

  func noteScrub(_ report: ScrubReport) {
    scrubbedBytes.increment(by: report.bytesRead.bytes)
    scrubDamages.increment(by: report.damages.count + report.damagedFiles.count)
    for file in report.damagedFiles {
      logger.error(
        "damage found: run `millrace fsck` on the store", metadata: ["file": "\(file)"])
    }
    for gap in report.damages {
      logger.error(
        "damage found: run `millrace fsck --repair` on the closed store",
        metadata: [
          "partition": "\(gap.partition)", "first": "\(gap.first)", "next": "\(gap.next)",
        ])
    }
  }

  func noteOutcomesHeldUp(_ failure: EventStoreError) {
    logger.warning(
      "feedback and dead letters wait in the journal for room",
      metadata: ["failure": "\(failure)"])
  }

  /// Records of the journal are damaged: what they say of messages, feedback and dead letters is
  /// lost.
  func noteUnreadable(_ numbers: Range<UInt64>) {
    unreadableRecords.increment(by: Int64(clamping: numbers.count))
    logger.error(
      "journal of the queues damaged: run `millrace fsck` on the store",
      metadata: ["first": "\(numbers.lowerBound)", "next": "\(numbers.upperBound)"])
  }

  /// Copying to the feedback or the dead letters, or to both, has ended; the next opening goes on
  /// with it.
  func noteOutcomesStopped(_ failure: EventStoreError, _ stream: PartitionID? = nil) {
    logger.error(
      "\(stream.map { "\($0)" } ?? "feedback and dead letters") stopped: open the store again",
      metadata: ["failure": "\(failure)"])
  }

  func noteDamage(_ damage: QueueDamage) {
    logger.error("queue file out of reach", metadata: ["what": "\(damage)"])
  }

  func noteDamage(_ file: QueueFile) {
    logger.error(
      "queue file damaged: run `millrace fsck` on the store",
      metadata: ["device": "\(file.device)", "checkpoint": "\(file.checkpoint)"])
  }

  func noteRecovery(_ notice: RecoveryNotice) {
    logger.notice(
      "recovery",
      metadata: [
        "partition": "\(notice.partition?.description ?? "none")", "found": "\(notice.message)",
      ])
  }
}
