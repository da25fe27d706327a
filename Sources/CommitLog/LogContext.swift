package import EventModel
package import LogFormat
package import StorageIO
package import SystemPackage

/// What every partition of an open store shares.
package struct LogContext: Sendable {
  package let root: FilePath
  package let storeID: StoreID
  package let environment: EngineEnvironment
  package let settings: LogSettings

  package var fileSystem: any FileSystem { environment.fileSystem }

  package func directory(of log: ManifestEdit.LogID) -> FilePath {
    let folder =
      switch log.stream {
      case .events: FileNames.partitions
      case .feedback: "feedback"
      case .deadLetter: "dead-letter"
      }
    return root.appending(folder).appending(FileNames.partition(log.partition))
  }

  package var quarantine: Quarantine {
    Quarantine(root.appending(FileNames.quarantine), fileSystem: fileSystem)
  }

  package func segmentPath(_ added: ManifestEdit.SegmentAdded) -> FilePath {
    path(added, FileNames.segmentSuffix)
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
    stem(added) + FileNames.segmentSuffix
  }

  /// The name of a segment's files without what tells them apart.
  package func stem(_ added: ManifestEdit.SegmentAdded) -> String {
    FileNames.segmentStem(baseNumber: added.baseNumber, segmentID: added.segmentID)
  }

  /// The header that a segment's file begins with.
  ///
  /// The manifest holds all of it, so that a lost header makes no frame unreadable.
  package func header(of added: ManifestEdit.SegmentAdded) -> FileHeader {
    var header = FileHeader(
      kind: .segment, storeID: storeID, fileID: added.segmentID, salt: added.salt,
      created: added.created)
    header.stream = added.log.stream
    header.partition = added.log.partition
    header.baseNumber = added.baseNumber
    header.predecessorID = added.predecessorID
    header.predecessorChain = added.predecessorChain
    return header
  }
}

/// What an opener may choose anew each time.
package struct LogSettings: Hashable, Sendable {
  package var codec: CompressionCodec
  package var segmentSize: Int
  package var batchSize: Int

  package init(codec: CompressionCodec, segmentSize: Int, batchSize: Int) {
    self.codec = codec
    self.segmentSize = segmentSize
    self.batchSize = batchSize
  }
}
