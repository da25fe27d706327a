internal import EventModel
package import LogFormat
package import StorageIO

/// What opening found in one partition, for people.
package struct RecoveryReport: Hashable, Sendable {
  package let log: ManifestEdit.LogID
  /// What was cut from the active segment, nil if nothing was.
  package var tail: QuarantinedTail?
  /// Records in the cut tail that may have been acknowledged although nothing proves it.
  package var possiblyAcknowledged: Range<UInt64>?
  /// Acknowledged records that are gone; now a recorded gap.
  package var lostSuffix: Range<UInt64>?
  /// Damage below the watermark that the scan came across; its bytes stay where they are.
  package var findings: [RecoveryRule.Finding] = []
  /// The bits that were found flipped and set right, as file positions.
  package var healed: [Int] = []
  /// The active segment's file header was unreadable; the segment was sealed.
  package var lostHeader = false
  /// The active segment's file is not there: the log takes nothing.
  package var isLost = false
  /// Why the active segment cannot be read: the log takes nothing and shows nothing of it.
  package var unreadable: IOFailure?
  /// Why the log takes nothing although it can be read.
  package var unwritable: IOFailure?
  /// Why what must be written before the first write could not be, for want of room: it is tried
  /// again with that, and nil once it is done.
  package var waitsForRoom: IOFailure?

  package init(log: ManifestEdit.LogID) { self.log = log }

  /// Notes what a scan of the active segment found.
  mutating func note(_ verdict: RecoveryRule.Verdict) {
    findings = verdict.findings
    lostSuffix = verdict.lostSuffix
    possiblyAcknowledged = verdict.possiblyAcknowledged
  }

  package var isClean: Bool {
    tail == nil && possiblyAcknowledged == nil && lostSuffix == nil && findings.isEmpty
      && healed.isEmpty && !lostHeader && !isLost && unreadable == nil && unwritable == nil
  }
}
