internal import EventModel
package import LogFormat
package import StorageIO
internal import Synchronization
package import SystemPackage

/// One segment as readers know it: immutable, shared by every snapshot it is part of.
package final class SegmentHandle: Sendable {
  package let added: ManifestEdit.SegmentAdded
  package let path: FilePath
  package let indexPath: FilePath
  package let footerPath: FilePath
  package let footer = FooterKnowledge()
  let merging = Attempt()
  package let identity: FrameIdentity
  /// What it held when it was sealed; nil while it is active.
  package let summary: SegmentSummary?
  /// The writer's or follower's own descriptor of an active segment.
  package let activeFile: (any StorageFile)?
  package let index: SparseIndex

  package init(
    _ added: ManifestEdit.SegmentAdded, summary: SegmentSummary?, context: LogContext,
    activeFile: (any StorageFile)? = nil, index: SparseIndex? = nil
  ) {
    self.added = added
    self.summary = summary
    self.activeFile = activeFile
    path = context.segmentPath(added)
    indexPath = context.indexPath(added)
    footerPath = context.footerPath(added)
    identity = context.header(of: added).identity
    self.index = index ?? SparseIndex()
  }

  package var baseNumber: UInt64 { added.baseNumber }
}

/// Whether something was tried, so that what fails is not tried again at once.
final class Attempt: Sendable {
  private let state = Atomic(false)

  var wasTried: Bool { state.load(ordering: .relaxed) }

  func noteTried() { state.store(true, ordering: .relaxed) }

  func forgetTry() { state.store(false, ordering: .relaxed) }
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
  /// Bytes of the events in the active segment, as their batches count them.
  package let activeEventSize: UInt64
  /// Losses that were found before.
  package let gaps: [ManifestEdit.RecordedGap]
  /// Where nobody can tell what follows: there is a bad sector in the active segment, or there may
  /// be a segment behind it that the manifest does not name; nil for neither.
  package var unknown: UnreadablePlace?

  /// A log that has never been needed.
  package static func empty(_ stream: FileHeader.Stream) -> LogSnapshot {
    LogSnapshot(
      log: ManifestEdit.LogID(stream: stream, partition: 0), segments: [], highWatermark: 0,
      activeEnd: 0, activeEventSize: 0, gaps: [])
  }

  /// The first number that is still there.
  package var startNumber: UInt64 { segments.first?.baseNumber ?? highWatermark }

  /// Where the active segment begins, if it cannot be read now, or where nobody can tell what
  /// follows: readers throw there, whatever the high watermark says; nil for neither.
  package var unreadable: UnreadablePlace? {
    guard let segment = segments.last, let file = segment.activeFile as? UnreadableFile else {
      return unknown
    }
    return UnreadablePlace(
      cause: file.cause, path: segment.path, filePosition: nil, log: log,
      number: segment.baseNumber, nextSegment: nil)
  }

  /// Where a segment's readable frames end, and the number that follows them.
  package func end(of index: Int) -> (position: Int, nextNumber: UInt64) {
    if let summary = segments[index].summary {
      return (Int(summary.endPosition), summary.nextNumber)
    }
    return (activeEnd, highWatermark)
  }

  /// Bytes of the events from a number on: within a segment, in proportion to their number.
  package func eventSize(from number: UInt64) -> UInt64 {
    var size: UInt64 = 0
    let first = BatchCursor.segmentIndex(of: number, in: self)
    for (index, segment) in segments.enumerated().dropFirst(first) {
      let next = end(of: index).nextNumber
      let start = max(number, segment.baseNumber)
      let count = segment.summary?.recordCount ?? (next - min(next, segment.baseNumber))
      guard start < next, count > 0 else { continue }
      // The quotient is at most the segment's size, since no more is unread than there is.
      let share = (segment.summary?.eventSize ?? activeEventSize)
        .multipliedFullWidth(by: min(count, next - start))
      size &+= count.dividingFullWidth(share).quotient
    }
    return size
  }
}
