package import EventModel

/// Where the files of each log stand (format-spec §11).
extension FileHeader.Stream {
  /// The streams that have one log each, made when it is first needed.
  package static let madeOnDemand: [Self] = [.feedback, .deadLetter, .journal]

  /// The folder of the store that holds the folders of the stream's logs.
  package var folder: String {
    switch self {
    case .events: FileNames.partitions
    case .feedback: FileNames.feedback
    case .deadLetter: FileNames.deadLetter
    case .journal: FileNames.queues
    }
  }

  /// The kind of the stream's segment files.
  package var segmentKind: FileHeader.Kind { self == .journal ? .journal : .segment }

  /// What the names of the stream's segment files end in.
  package var segmentSuffix: String {
    self == .journal ? FileNames.journalSuffix : FileNames.segmentSuffix
  }
}

extension FileHeader {
  /// Whether the file is a segment of a log.
  package var isSegment: Bool { kind == stream.segmentKind }
}

extension ManifestEdit.LogID {
  /// The only log of a stream that is made on demand.
  package static func only(of stream: FileHeader.Stream) -> Self {
    Self(stream: stream, partition: 0)
  }

  /// The log that a segment's header names.
  package init(_ header: FileHeader) {
    self.init(stream: header.stream, partition: header.partition)
  }

  /// Whether the format has a place for it: there is one journal.
  package var isPossible: Bool {
    partition < (stream == .journal ? 1 : UInt32(Limits.partitionCountMax))
  }

  /// Its own folder, inside that of its stream.
  package var folderName: String {
    stream == .journal ? FileNames.journal : FileNames.partition(partition)
  }

  /// Its folder, as a path inside the store.
  package var folder: String { stream.folder + "/" + folderName }

  /// The log in a sentence.
  package var text: String {
    switch stream {
    case .events: "partition \(partition)"
    case .feedback: "feedback partition \(partition)"
    case .deadLetter: "dead-letter partition \(partition)"
    case .journal: "the queue journal"
    }
  }
}

extension ManifestEdit.SegmentAdded {
  /// The time of the last record before the segment, also when that record is gone by now; nil
  /// where there was none.
  package var lastTimeBefore: Timestamp? { predecessorID == 0 ? nil : created }

  /// The header that the segment's file begins with.
  ///
  /// The manifest holds all of it, so that a lost header makes no frame unreadable.
  package func header(storeID: StoreID) -> FileHeader {
    var header = FileHeader(
      kind: log.stream.segmentKind, storeID: storeID, fileID: segmentID, salt: salt,
      created: created)
    header.stream = log.stream
    header.partition = log.partition
    header.baseNumber = baseNumber
    header.predecessorID = predecessorID
    header.predecessorChain = predecessorChain
    return header
  }
}

extension ManifestState {
  /// Whether a file's header is that of a segment which the edits never named, although they named
  /// others: where it holds records, the edit that did is lost.
  ///
  /// Its id is later than all of them. Where other logs have taken later ones since, for it could
  /// not be read, it still follows the last segment of its log.
  package func neverNamed(_ header: FileHeader) -> Bool {
    guard header.isSegment else { return false }
    let last = logs[ManifestEdit.LogID(header)]?.last?.added.segmentID ?? 0
    return header.fileID > segmentIDMax || header.predecessorID == last
  }
}
