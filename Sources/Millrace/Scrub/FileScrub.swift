internal import CommitLog
internal import ConsumerCheckpoints
internal import DeviceQueueing
internal import EventModel
internal import LogFormat
internal import StorageIO

/// Reads the files of a store that are no logs, one at a time: its manifest, the checkpoints, the
/// queue files and their directory.
struct FileScrub {
  fileprivate enum File {
    case manifest
    case checkpoints
    case directory(UInt32)
    case queue(QueueFile)
  }

  /// What has not been read, the next one last; nil before the first.
  private var waiting: [File]?
  /// What the manifest says of the checkpoints, which are read behind it.
  private var witness = CheckpointWitness.none
  private let decompressor = BatchDecompressor()

  /// Reads the next file, and adds to the report what it comes to.
  ///
  /// Blocks.
  ///
  /// - Returns: how many bytes were read; nil when there is nothing more.
  /// - Throws: ``EventStoreError`` where a file or folder cannot be read now, or not by this
  ///   program; the next call goes on behind it.
  mutating func readNext(
    of source: any ReadSource, into report: inout ScrubReport
  ) throws(EventStoreError) -> Int? {
    if waiting == nil {
      waiting = [.checkpoints, .manifest]
      try addQueueFiles(of: source)
    }
    guard let file = waiting?.popLast() else { return nil }
    guard let size = try read(file, of: source) else {
      report.note(file.name)
      return 0
    }
    report.bytesRead = ByteCount(report.bytesRead.bytes + size)
    return size
  }

  /// Those that the last checkpoint of the queues stands on: a younger one is being written, and of
  /// older ones of the same device nothing is read any more.
  private mutating func addQueueFiles(of source: any ReadSource) throws(EventStoreError) {
    guard let checkpoint = source.queueCheckpoint?.number else { return }
    waiting?.insert(.directory(checkpoint), at: 0)
    var youngest: [EventModel.DeviceID: UInt32] = [:]
    do throws(CommitLogFailure) {
      for (device, number) in try QueueFiles(source.context).list() where number <= checkpoint {
        youngest[device] = max(youngest[device] ?? 0, number)
      }
    } catch {
      throw EventStoreError(error)
    }
    waiting?.insert(
      contentsOf: youngest.map { .queue(QueueFile(device: $0.key, checkpoint: $0.value)) }, at: 0)
  }

  /// The size of a file; nil where it is damaged.
  private mutating func read(_ file: File, of source: any ReadSource) throws(EventStoreError)
    -> Int?
  {
    let (context, files) = (source.context, QueueFiles(source.context))
    do throws(CommitLogFailure) {
      switch file {
      case .manifest:
        let image = try ManifestImage.read(root: context.root, fileSystem: context.fileSystem)
        witness = image.state.checkpointWitness
        return image.repairs.isEmpty ? image.verdict.end.position : nil
      case .checkpoints:
        let image = try CheckpointImage.read(
          besideWriterOf: context.root, context.storeID, witness, context.fileSystem)
        return image.table.loss == nil ? image.verdict?.end.position ?? 0 : nil
      case .directory(let checkpoint): return try read(files.directory(checkpoint: checkpoint))
      case .queue(let file):
        return try read(files.file(of: file.device, checkpoint: file.checkpoint))
      }
    } catch .io(let failure) where failure.isMissing {
      // A checkpoint of the queues has removed it meanwhile. What is missing that should be there
      // is for a check that knows what it held.
      return 0
    } catch .notAStore, .lostManifest {
      return nil
    } catch {
      guard error.isDamage else { throw EventStoreError(error) }
      return nil
    }
  }

  private func read(_ file: BatchFile) throws(CommitLogFailure) -> Int? {
    guard file.isWhole else { return nil }
    for index in 0..<file.batchCount {
      guard try file.batch(at: index, with: decompressor) != nil else { return nil }
    }
    return file.size
  }
}

extension FileScrub.File {
  /// As a check names it.
  fileprivate var name: String {
    switch self {
    case .manifest: FileNames.manifest
    case .checkpoints: FileNames.checkpoints
    case .directory(let checkpoint):
      FileNames.queues + "/" + FileNames.queueDirectory(checkpoint: checkpoint)
    case .queue(let file):
      "\(FileNames.queues)/\(FileNames.queueFolder(of: file.device))/"
        + FileNames.queueFile(of: file.device, checkpoint: file.checkpoint)
    }
  }
}
