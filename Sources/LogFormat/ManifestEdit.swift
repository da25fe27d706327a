package import EventModel

/// One change to what a store consists of (format-spec §8).
///
/// The manifest is a log of these.
package enum ManifestEdit: Hashable, Sendable {
  case identity(StoreIdentity)
  case configuration(StoredConfiguration)
  case segmentAdded(SegmentAdded)
  case segmentSealed(SegmentSealed)
  /// The segment is no longer part of the store; its file may still have to be unlinked.
  case segmentRetired(segmentID: UInt64)
  /// A sealed segment takes the place of another that holds the same events.
  case segmentReplaced(SegmentReplaced)
  case cut(TailCut)
  case gap(RecordedGap)
  /// No segment id up to this one may be given again.
  case segmentIDFloor(UInt64)
  /// A writer opened the store; what `closed` said before no longer holds.
  case opened(Timestamp)
  /// Every log, and the checkpoint file, ended here, synced, when the writer closed the store.
  case closed(Timestamp, [LogEnd], CheckpointsEnd)

  /// Whether segments stay until they were read.
  case readingFirst(ReadingFirst)
  /// Queue files hold what the journal said below a number.
  case queuesFiled(QueueCheckpoint)

  /// What the queue files hold: together with the journal from a number on, everything.
  package struct QueueCheckpoint: Hashable, Sendable {
    /// 1 for the first; also part of the files' names.
    package var number: UInt32
    /// The journal's records below it are in the files.
    package var floor: UInt64

    package init(number: UInt32, floor: UInt64) {
      self.number = number
      self.floor = floor
    }
  }

  /// What retention may not drop before every consumer group has read it.
  package struct ReadingFirst: Hashable, Sendable {
    package var isOn: Bool
    /// Size of all segments beyond which they go all the same; 0 for no bound.
    package var sizeMax: UInt64

    package init(isOn: Bool, sizeMax: UInt64) {
      self.isOn = isOn
      self.sizeMax = sizeMax
    }
  }

  /// What never changes after creation.
  package struct StoreIdentity: Hashable, Sendable {
    package var partitionCount: UInt32
    /// The function from device id to partition; 1 is the one of format-spec §7.
    package var partitionFunction: UInt8 = 1

    package init(partitionCount: UInt32) { self.partitionCount = partitionCount }
  }

  /// What holds for the store unless an opener says otherwise.
  ///
  /// Zero means no bound.
  package struct StoredConfiguration: Hashable, Sendable {
    package var codec: CompressionCodec
    package var segmentSize: UInt64
    package var batchSize: UInt64
    package var retentionAge: UInt64
    package var retentionSize: UInt64

    package init(
      codec: CompressionCodec, segmentSize: UInt64, batchSize: UInt64,
      retentionAge: UInt64 = 0, retentionSize: UInt64 = 0
    ) {
      self.codec = codec
      self.segmentSize = segmentSize
      self.batchSize = batchSize
      self.retentionAge = retentionAge
      self.retentionSize = retentionSize
    }
  }

  /// A log of the store: one partition of one stream.
  package struct LogID: Hashable, Sendable, Comparable {
    package var stream: FileHeader.Stream
    package var partition: UInt32

    package init(stream: FileHeader.Stream, partition: UInt32) {
      self.stream = stream
      self.partition = partition
    }

    /// The log as readers name it.
    package var partitionID: PartitionID {
      switch stream {
      case .events: PartitionID(Int(partition))
      case .feedback: .feedback
      case .deadLetter: .deadLetters
      case .journal: .journal
      }
    }

    package static func < (left: Self, right: Self) -> Bool {
      (left.stream.rawValue, left.partition) < (right.stream.rawValue, right.partition)
    }
  }

  package struct SegmentAdded: Hashable, Sendable {
    package var log: LogID
    package var segmentID: UInt64
    package var salt: UInt64
    package var baseNumber: UInt64
    package var predecessorID: UInt64
    package var predecessorChain: UInt32
    package var created: Timestamp

    package init(
      log: LogID, segmentID: UInt64, salt: UInt64, baseNumber: UInt64, predecessorID: UInt64,
      predecessorChain: UInt32, created: Timestamp
    ) {
      self.log = log
      self.segmentID = segmentID
      self.salt = salt
      self.baseNumber = baseNumber
      self.predecessorID = predecessorID
      self.predecessorChain = predecessorChain
      self.created = created
    }
  }

  package struct SegmentSealed: Hashable, Sendable {
    package var segmentID: UInt64
    package var summary: SegmentSummary

    package init(segmentID: UInt64, summary: SegmentSummary) {
      self.segmentID = segmentID
      self.summary = summary
    }
  }

  package struct SegmentReplaced: Hashable, Sendable {
    /// The segment whose place is taken.
    package var segmentID: UInt64
    package var added: SegmentAdded
    package var summary: SegmentSummary

    package init(segmentID: UInt64, added: SegmentAdded, summary: SegmentSummary) {
      self.segmentID = segmentID
      self.added = added
      self.summary = summary
    }
  }

  /// Where a log ends and what its active segment holds.
  package struct LogEnd: Hashable, Sendable {
    package var log: LogID
    package var segmentID: UInt64
    package var summary: SegmentSummary

    package init(log: LogID, segmentID: UInt64, summary: SegmentSummary) {
      self.log = log
      self.segmentID = segmentID
      self.summary = summary
    }
  }

  /// Where the checkpoint file ended: its last frame, which vouches for all before it.
  package struct CheckpointsEnd: Hashable, Sendable {
    /// Of the file's header: another one is another file's.
    package var salt: UInt64
    package var position: UInt64
    /// The header checksum of the frame that ends there.
    package var chain: UInt32

    package init(salt: UInt64, position: UInt64, chain: UInt32) {
      self.salt = salt
      self.position = position
      self.chain = chain
    }

    /// The end of a file.
    package init(_ identity: FrameIdentity, _ end: RecoveryRule.Start) {
      self.init(salt: identity.salt, position: UInt64(end.position), chain: end.chain)
    }

    /// Nobody knows where it ended.
    package static let unknown = Self(salt: 0, position: 0, chain: 0)

    package var isKnown: Bool { position > 0 }
  }

  /// A tail that recovery removed from a segment, after copying it to the quarantine.
  package struct TailCut: Hashable, Sendable {
    package var segmentID: UInt64
    package var position: UInt64
    package var size: UInt64
    package var verdict: TailVerdict
    package var nextNumber: UInt64
    package var watermark: UInt64
    package var time: Timestamp
    package var quarantineName: String

    package init(
      segmentID: UInt64, position: UInt64, size: UInt64, verdict: TailVerdict, nextNumber: UInt64,
      watermark: UInt64, time: Timestamp, quarantineName: String
    ) {
      self.segmentID = segmentID
      self.position = position
      self.size = size
      self.verdict = verdict
      self.nextNumber = nextNumber
      self.watermark = watermark
      self.time = time
      self.quarantineName = quarantineName
    }
  }

  /// Acknowledged records that are gone, found and recorded so that readers meet a gap.
  package struct RecordedGap: Hashable, Sendable {
    package var log: LogID
    package var segmentID: UInt64
    package var first: UInt64
    package var next: UInt64
    package var reason: GapReason
    package var from: Timestamp
    package var to: Timestamp

    package init(
      log: LogID, segmentID: UInt64, first: UInt64, next: UInt64, reason: GapReason,
      from: Timestamp, to: Timestamp
    ) {
      self.log = log
      self.segmentID = segmentID
      self.first = first
      self.next = next
      self.reason = reason
      self.from = from
      self.to = to
    }
  }

  package enum GapReason: UInt8, Hashable, Sendable, CaseIterable {
    case damaged = 1
    case lostSuffix = 2
    case missingSegment = 3
  }
}

/// A segment's contents in numbers, exact at the end position they were taken at.
package struct SegmentSummary: Hashable, Sendable {
  package var endPosition: UInt64
  package var nextNumber: UInt64
  package var chain: UInt32
  package var epoch: UInt16
  package var recordCount: UInt64 = 0
  package var batchCount: UInt64 = 0
  package var eventSize: UInt64 = 0
  /// Enqueue time of the first and last record; both zero if there are none.
  package var firstTime = Timestamp(microseconds: 0)
  package var lastTime = Timestamp(microseconds: 0)

  package init(endPosition: UInt64, nextNumber: UInt64, chain: UInt32, epoch: UInt16) {
    self.endPosition = endPosition
    self.nextNumber = nextNumber
    self.chain = chain
    self.epoch = epoch
  }
}

/// What recovery found behind the last good frame of an active file (format-spec §5).
package enum TailVerdict: UInt8, Hashable, Sendable, CaseIterable {
  /// Nothing, or only zeros.
  case clean = 0
  /// Bytes that no surviving watermark proves and that hold no whole frame behind the break.
  case tornTail = 1
  /// Whole frames behind a missing one, none of them proven: written, not yet synced.
  case reorderedTail = 2
  /// The last frame's header is whole and its body is not: unfinished, or damaged after it was
  /// acknowledged. No evidence tells.
  case undecidableTail = 3
  /// A surviving watermark proves records that are no longer there.
  case lostSuffix = 4
}
