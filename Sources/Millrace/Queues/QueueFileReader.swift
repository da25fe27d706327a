internal import CommitLog
internal import DeviceQueueing
internal import EventModel
internal import LogFormat
internal import StorageIO
internal import Synchronization
internal import SystemPackage

/// A record of a queue file: a message, and what is said of it (format-spec §14.4).
struct FiledRecord: Sendable {
  let filed: FiledMessage
  let event: EventView
  /// Where the message's body begins in the event's.
  private let bodyStart: Int

  /// - Throws: ``FormatError`` where the event is no such record.
  init(_ event: EventView) throws(FormatError) {
    var reader = ByteReader(event.body)
    filed = try FiledMessage(decoding: &reader)
    bodyStart = reader.position
    self.event = event
  }

  var size: Int {
    event.bodySize - bodyStart + event.systemProperties.size + event.properties.size
  }

  var sent: SentMessage? {
    filed.isLost
      ? nil
      : SentMessage(
        event, from: bodyStart, expiry: filed.expiry, feedback: filed.feedback,
        enqueued: event.enqueuedTime)
  }
}

extension BatchFile {
  /// The records of one of the file's batches; nil where it is damaged.
  func records(
    ofBatch index: Int, with decompressor: BatchDecompressor
  ) throws(EventStoreError) -> [FiledRecord]? {
    let found: DecodedBatch?
    do throws(CommitLogFailure) {
      found = try batch(at: index, with: decompressor)
    } catch {
      throw EventStoreError(error)
    }
    guard let batch = found else { return nil }
    do throws(FormatError) {
      var records: [FiledRecord] = []
      for index in 0..<batch.count {
        records.append(try FiledRecord(EventView(batch, index: index, partition: .journal)))
      }
      return records
    } catch .corrupt {
      return nil
    } catch {
      throw EventStoreError(.unsupportedVersion, "\(error); use a newer program")
    }
  }
}

/// Reads single messages of queue files; the files read last are kept open.
final class QueueFileReader: Sendable {
  private static let fileCountMax = 16

  private struct Open {
    let name: QueueFile
    let file: BatchFile
    /// The batch that was read last.
    var records: [FiledRecord] = []
  }

  private let files: QueueFiles
  /// The one that was used last comes last.
  private let open = Mutex<[Open]>([])

  init(_ files: QueueFiles) { self.files = files }

  /// A message of a device's file; nil where it is gone or damaged.
  ///
  /// - Throws: ``EventStoreError``, also where the file cannot be read now, or not by this program:
  ///   what it holds is not lost.
  func message(
    _ sequence: UInt64, to device: EventModel.DeviceID, checkpoint: UInt32
  ) throws(EventStoreError) -> SentMessage? {
    let name = QueueFile(device: device, checkpoint: checkpoint)
    guard var found = try take(name) else { return nil }
    if found.records.first.map({ $0.filed.sequence > sequence }) ?? true
      || found.records.last.map({ $0.filed.sequence < sequence }) ?? true
    {
      found.records = try Self.records(around: sequence, in: found.file)
    }
    let record = found.records.first { $0.filed.sequence == sequence }
    put(found)
    return record?.sent
  }

  private func take(_ name: QueueFile) throws(EventStoreError) -> Open? {
    let known = open.withLock { open -> Open? in
      open.firstIndex { $0.name == name }.map { open.remove(at: $0) }
    }
    if let known { return known }
    do throws(CommitLogFailure) {
      return Open(
        name: name, file: try files.file(of: name.device, checkpoint: name.checkpoint))
    } catch {
      guard error.isDamage else { throw EventStoreError(error) }
      return nil
    }
  }

  private func put(_ file: Open) {
    open.withLock { open in
      if open.count >= Self.fileCountMax { open.removeFirst() }
      open.append(file)
    }
  }

  /// The records of the batch that a message would be in.
  private static func records(
    around sequence: UInt64, in file: BatchFile
  ) throws(EventStoreError) -> [FiledRecord] {
    let decompressor = BatchDecompressor()
    var (low, high) = (0, file.batchCount)
    while low < high {
      let middle = (low + high) / 2
      let found: [FiledRecord]?
      do throws(EventStoreError) {
        found = try file.records(ofBatch: middle, with: decompressor)
      } catch {
        guard error.cause?.isUnreadable == true else { throw error }
        found = nil
      }
      guard let records = found, let first = records.first, let last = records.last else {
        // Damage: look at every batch.
        return try scan(for: sequence, in: file, with: decompressor)
      }
      if sequence < first.filed.sequence {
        high = middle
      } else if sequence > last.filed.sequence {
        low = middle + 1
      } else {
        return records
      }
    }
    return []
  }

  private static func scan(
    for sequence: UInt64, in file: BatchFile, with decompressor: BatchDecompressor
  ) throws(EventStoreError) -> [FiledRecord] {
    var failure: EventStoreError?
    for index in 0..<file.batchCount {
      do throws(EventStoreError) {
        guard let records = try file.records(ofBatch: index, with: decompressor) else { continue }
        if records.contains(where: { $0.filed.sequence == sequence }) { return records }
      } catch {
        guard error.cause?.isUnreadable == true else { throw error }
        failure = failure ?? error
      }
    }
    // It may stand in what cannot be read now.
    if let failure { throw failure }
    return []
  }
}

extension CommitLogFailure {
  /// Whether a file is gone, damaged, or no file at all.
  var isDamage: Bool {
    switch self {
    case .format(_, _, .corrupt), .missingFile: true
    case .io(let failure): failure.isNoFile
    default: false
    }
  }

  /// Whether a file cannot be read now, or not by this program: what it holds is not lost.
  var isOutOfReach: Bool { EventStoreError(self).isOutOfReach }
}

extension EventStoreError {
  /// Whether what was to be read is there, and cannot be read now, or not by this program.
  var isOutOfReach: Bool { code == .unsupportedVersion || cause?.isUnreadable == true }
}
