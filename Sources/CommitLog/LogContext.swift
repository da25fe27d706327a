package import EventModel
package import LogFormat
package import StorageIO
internal import Synchronization
package import SystemPackage

/// What every partition of an open store shares.
package struct LogContext: Sendable {
  package let root: FilePath
  package let storeID: StoreID
  package let environment: EngineEnvironment
  package let settings: LogSettings
  /// Of the store.
  var space = SpaceLock()

  package var fileSystem: any FileSystem { environment.fileSystem }

  package func directory(of log: ManifestEdit.LogID) -> FilePath {
    root.appending(log.stream.folder).appending(log.folderName)
  }

  package var quarantine: Quarantine {
    Quarantine(root.appending(FileNames.quarantine), fileSystem: fileSystem)
  }

  package func segmentPath(_ added: ManifestEdit.SegmentAdded) -> FilePath {
    path(added, added.log.stream.segmentSuffix)
  }

  package func indexPath(_ added: ManifestEdit.SegmentAdded) -> FilePath {
    path(added, FileNames.indexSuffix)
  }

  package func footerPath(_ added: ManifestEdit.SegmentAdded) -> FilePath {
    path(added, FileNames.footerSuffix)
  }

  private func path(_ added: ManifestEdit.SegmentAdded, _ suffix: String) -> FilePath {
    directory(of: added.log).appending(stem(added) + suffix)
  }

  /// The name of a segment's file.
  package func segmentName(_ added: ManifestEdit.SegmentAdded) -> String {
    stem(added) + added.log.stream.segmentSuffix
  }

  /// The name of a segment's files without what tells them apart.
  package func stem(_ added: ManifestEdit.SegmentAdded) -> String {
    FileNames.segmentStem(baseNumber: added.baseNumber, segmentID: added.segmentID)
  }

  /// The header that a segment's file begins with.
  package func header(of added: ManifestEdit.SegmentAdded) -> FileHeader {
    added.header(storeID: storeID)
  }

  /// The same with the settings of a stream's logs.
  func with(_ stream: FileHeader.Stream) -> LogContext {
    LogContext(
      root: root, storeID: storeID, environment: environment, settings: settings.of(stream),
      space: space)
  }
}

/// Held while a log that gives space back takes other space for it, and by whoever takes space to
/// keep: nothing of this store comes in between on a full disk.
final class SpaceLock: Sendable {
  private let mutex = Mutex<Void>(())

  func hold<Result: ~Copyable>(
    _ body: () throws(IOFailure) -> Result
  ) throws(IOFailure) -> Result {
    try mutex.withLock { (_) throws(IOFailure) in try body() }
  }
}

/// What an opener may choose anew each time.
package struct LogSettings: Hashable, Sendable {
  /// Small, because the journal gives space back by whole segments, and each of them is read when
  /// the store opens; large enough that rolls are rare beside syncs.
  package static let journalSegmentSizeDefault = 16 << 20

  package var codec: CompressionCodec
  package var segmentSize: Int
  package var batchSize: Int
  package var journalSegmentSize: Int
  /// Space that a log keeps beyond what it has written, so that what makes room again can be
  /// written on a full disk (I9); 0 for none.
  package private(set) var reserveSize = 0

  package init(
    codec: CompressionCodec, segmentSize: Int, batchSize: Int, journalSegmentSize: Int? = nil
  ) {
    self.codec = codec
    self.segmentSize = segmentSize
    self.batchSize = batchSize
    self.journalSegmentSize = journalSegmentSize ?? Self.journalSegmentSizeDefault
  }

  /// What the journal keeps for settlements, about a hundred thousand of them.
  package var journalReserveSize: Int { min(Limits.journalReserveSize, journalSegmentSize / 2) }

  /// What holds for a stream's logs.
  func of(_ stream: FileHeader.Stream) -> LogSettings {
    guard stream == .journal else { return self }
    var settings = self
    // Its frames are small and each waits for a sync: compressing them takes longer than it saves.
    settings.codec = .none
    settings.segmentSize = journalSegmentSize
    settings.reserveSize = journalReserveSize
    return settings
  }
}
