internal import EventModel
package import LogFormat
package import StorageIO
package import SystemPackage

/// One segment as readers know it: immutable, shared by every snapshot it is part of.
package final class SegmentHandle: Sendable {
  package let added: ManifestEdit.SegmentAdded
  package let path: FilePath
  package let indexPath: FilePath
  package let identity: FrameIdentity
  /// What it held when it was sealed; nil while it is active.
  package let summary: SegmentSummary?
  /// The writer's or follower's own descriptor of an active segment.
  package let activeFile: (any StorageFile)?
  package let index: SparseIndex

  init(
    _ added: ManifestEdit.SegmentAdded, summary: SegmentSummary?, context: LogContext,
    activeFile: (any StorageFile)? = nil, index: SparseIndex? = nil
  ) {
    self.added = added
    self.summary = summary
    self.activeFile = activeFile
    path = context.segmentPath(added)
    indexPath = context.indexPath(added)
    identity = context.header(of: added).identity
    self.index = index ?? SparseIndex()
  }

  package var baseNumber: UInt64 { added.baseNumber }
}

/// What a reader may see of a partition at one moment: pinned once a batch, never changed.
package struct LogSnapshot: Sendable {
  package let log: ManifestEdit.LogID
  /// In the order of their base numbers; the last one is active.
  package let segments: [SegmentHandle]
  /// The first number that readers may not see.
  package let highWatermark: UInt64
  /// Where the active segment's readable frames end.
  package let activeEnd: Int
  /// Losses that were found before.
  package let gaps: [ManifestEdit.RecordedGap]

  /// The first number that is still there.
  package var startNumber: UInt64 { segments.first?.baseNumber ?? highWatermark }

  /// Where a segment's readable frames end, and the number that follows them.
  package func end(of index: Int) -> (position: Int, nextNumber: UInt64) {
    if let summary = segments[index].summary {
      return (Int(summary.endPosition), summary.nextNumber)
    }
    return (activeEnd, highWatermark)
  }
}
