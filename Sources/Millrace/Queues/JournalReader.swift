internal import CommitLog
internal import DeviceQueueing
internal import EventModel
internal import LogFormat
internal import Synchronization

/// A record of the journal whose entry stands alone, or one of a stream that is fed from those.
struct JournalRecord: Sendable {
  let entry: JournalEntry
  let event: EventView
  /// Where the message's body begins in the event's.
  let bodyStart: Int

  var number: UInt64 { event.position.offset.value }
}

extension JournalRecord {
  /// A record of the journal.
  ///
  /// - Throws: ``FormatError`` where the record is no such entry.
  init(_ event: EventView) throws(FormatError) {
    let (entry, size) = try JournalEntry.decodeAlone(event.body)
    self.init(entry: entry, event: event, bodyStart: size)
  }
}

/// Reads single records of the journal that carry something: decoded batches are kept for a while,
/// since what was written together is mostly read together.
final class JournalReader: Sendable {
  /// Decoded batches kept, about 64 KiB each at most.
  private static let batchCountMax = 64

  private struct Kept {
    let batch: DecodedBatch
    /// Its records, here so that a search looks into no batch.
    let numbers: Range<UInt64>
    var lastUse: UInt64

    init(_ batch: DecodedBatch, lastUse: UInt64) {
      self.batch = batch
      numbers = batch.baseOffset..<batch.baseOffset + UInt64(batch.count)
      self.lastUse = lastUse
    }
  }

  private struct State {
    var kept: [Kept] = []
    var uses: UInt64 = 0
  }

  private let source: any ReadSource
  private let state = Mutex(State())

  init(_ source: any ReadSource) { self.source = source }

  /// The record of a number; nil where it carries nothing, is gone, damaged or not durable yet.
  ///
  /// Blocks for the disk.
  func record(_ number: UInt64) throws(EventStoreError) -> JournalRecord? {
    if let batch = keptBatch(number) { return Self.record(number, in: batch) }
    let stored: StoredBatch
    do throws(CommitLogFailure) {
      guard
        case .batch(let read, _) = try source.cursor(
          in: PartitionID.journal.number, from: number, readsFew: true
        ).read()
      else {
        return nil
      }
      stored = read
    } catch {
      throw EventStoreError(error)
    }
    do throws(FormatError) {
      let batch = try stored.decode(with: BatchDecompressor())
      keep(batch)
      return Self.record(number, in: batch)
    } catch {
      return nil
    }
  }

  /// The record of a number, if its batch has been read lately.
  func keptRecord(_ number: UInt64) -> JournalRecord? {
    keptBatch(number).flatMap { Self.record(number, in: $0) }
  }

  private static func record(
    _ number: UInt64, in batch: DecodedBatch
  ) -> JournalRecord? {
    guard number >= batch.baseOffset, number < batch.baseOffset + UInt64(batch.count) else {
      return nil
    }
    let event = EventView(batch, index: Int(number - batch.baseOffset), partition: .journal)
    do throws(FormatError) {
      return try JournalRecord(event)
    } catch {
      return nil
    }
  }

  private func keptBatch(_ number: UInt64) -> DecodedBatch? {
    state.withLock { state in
      guard let index = Self.index(of: number, in: state.kept) else { return nil }
      state.uses += 1
      state.kept[index].lastUse = state.uses
      return state.kept[index].batch
    }
  }

  /// The last batch that begins at or before a number, if it holds it.
  private static func index(of number: UInt64, in kept: [Kept]) -> Int? {
    var (low, high) = (0, kept.count)
    while low < high {
      let middle = (low + high) / 2
      if kept[middle].numbers.lowerBound <= number { low = middle + 1 } else { high = middle }
    }
    guard low > 0 else { return nil }
    return kept[low - 1].numbers.contains(number) ? low - 1 : nil
  }

  private func keep(_ batch: DecodedBatch) {
    state.withLock { state in
      state.uses += 1
      if state.kept.count == Self.batchCountMax,
        let oldest = state.kept.indices.min(by: { state.kept[$0].lastUse < state.kept[$1].lastUse })
      {
        state.kept.remove(at: oldest)
      }
      let place =
        state.kept.firstIndex { $0.numbers.lowerBound > batch.baseOffset } ?? state.kept.count
      state.kept.insert(Kept(batch, lastUse: state.uses), at: place)
    }
  }
}
