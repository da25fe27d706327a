internal import CommitLog
internal import DeviceQueueing
internal import EventModel
internal import LogFormat
internal import StorageIO

/// Fills a table with what the queue files hold, as their directory says.
///
/// No queue file is opened. Where the directory is gone or damaged, every file is read (I6).
struct QueueLoading: ~Copyable {
  private let files: QueueFiles
  private let checkpoint: UInt32
  private let decompressor = BatchDecompressor()
  /// Files that should be part of the store and cannot be read, in whole or in part.
  private(set) var damaged: [QueueFile] = []
  /// Those that cannot be read now, or not by this program: what they hold is not lost, and nobody
  /// knows what it is.
  private(set) var outOfReach: [QueueDamage] = []

  init(_ checkpoint: UInt32, _ context: LogContext) {
    files = QueueFiles(context)
    self.checkpoint = checkpoint
  }

  /// Blocks.
  ///
  /// - Throws: ``EventStoreError`` where the directory is of a later version.
  mutating func load(into table: inout QueueTable) throws(EventStoreError) {
    if try loadDirectory(into: &table) { return }
    table.noteStaleDirectory()
    try loadFiles(into: &table)
  }

  /// Returns whether all of it could be read.
  private func loadDirectory(into table: inout QueueTable) throws(EventStoreError) -> Bool {
    let directory: BatchFile
    do throws(CommitLogFailure) {
      directory = try files.directory(checkpoint: checkpoint)
      guard directory.isWhole else { return false }
      for index in 0..<directory.batchCount {
        guard let batch = try directory.batch(at: index, with: decompressor),
          try load(batch, into: &table)
        else { return false }
      }
      return true
    } catch {
      guard error.isDamage || EventStoreError(error).cause?.isUnreadable == true else {
        throw EventStoreError(error)
      }
      return false
    }
  }

  private func load(
    _ batch: DecodedBatch, into table: inout QueueTable
  ) throws(CommitLogFailure) -> Bool {
    do throws(FormatError) {
      for index in 0..<batch.count {
        let event = EventView(batch, index: index, partition: .journal)
        let queue = try FiledQueue(decoding: event.body)
        table.load(queue, of: event.deviceID)
      }
      return true
    } catch .corrupt {
      return false
    } catch {
      throw .format(files.directoryPath(checkpoint: checkpoint), position: 0, error)
    }
  }

  /// Of each device the youngest file that the checkpoint covers holds.
  private mutating func loadFiles(into table: inout QueueTable) throws(EventStoreError) {
    var youngest: [EventModel.DeviceID: UInt32] = [:]
    do throws(CommitLogFailure) {
      for (device, number) in try files.list() where number <= checkpoint {
        youngest[device] = max(youngest[device] ?? 0, number)
      }
    } catch {
      throw EventStoreError(error)
    }
    for (device, number) in youngest {
      do throws(EventStoreError) {
        if try !load(device, number, into: &table) {
          damaged.append(QueueFile(device: device, checkpoint: number))
        }
      } catch {
        guard error.isOutOfReach else { throw error }
        outOfReach.append(error.code == .unsupportedVersion ? .later(device) : .file(device))
      }
    }
  }

  private func load(
    _ device: EventModel.DeviceID, _ number: UInt32, into table: inout QueueTable
  ) throws(EventStoreError) -> Bool {
    let file: BatchFile
    do throws(CommitLogFailure) {
      file = try files.file(of: device, checkpoint: number)
    } catch {
      guard error.isDamage else { throw EventStoreError(error) }
      return false
    }
    var isWhole = file.isWhole
    for index in 0..<file.batchCount {
      guard let records = try file.records(ofBatch: index, with: decompressor) else {
        isWhole = false
        continue
      }
      for record in records {
        table.load(record.filed, size: record.size, device: device, checkpoint: number)
      }
    }
    return isWhole
  }
}
