internal import CommitLog
internal import EventModel
internal import LogFormat
internal import Synchronization

/// Reads everything in a store once, a piece at a time, and says what is damaged.
final class ScrubPass: Sendable {
  private struct State {
    /// What is small comes first.
    var files = FileScrub()
    /// The partitions that have not been begun.
    var waiting: ArraySlice<Int>
    var place: Place?
    var report = ScrubReport()
    /// The first failure; the other files and partitions are read all the same.
    var failure: EventStoreError?
  }

  /// Where reading goes on: no cursor, for that would keep the store.
  private struct Place {
    let partition: Int
    var next: UInt64
    /// Where the partition ended when it was begun.
    let end: UInt64
  }

  private let state: Mutex<State>

  /// - Parameters:
  ///   - source: the store.
  ///   - start: the partition to begin with, modulo their number: who never comes to an end should
  ///     not begin at the same place each time.
  init(_ source: any ReadSource, start: UInt64 = 0) {
    let streams = FileHeader.Stream.madeOnDemand.map {
      ManifestEdit.LogID.only(of: $0).partitionID.number
    }
    let all = Array(0..<source.partitionCount) + streams
    let first = Int(start % UInt64(all.count))
    state = Mutex(State(waiting: (all[first...] + all[..<first])[...]))
  }

  var report: ScrubReport { state.withLock { $0.report } }

  /// Reads on, some more than so many bytes.
  ///
  /// Blocks.
  ///
  /// - Returns: how many bytes were read; nil at the end of the pass.
  /// - Throws: at the end, what kept a file or a partition from being read.
  func step(_ size: Int, of source: any ReadSource) throws(EventStoreError) -> Int? {
    try state.withLock { (state) throws(EventStoreError) in
      var read = 0
      while read < size {
        do throws(EventStoreError) {
          if let count = try state.files.readNext(of: source, into: &state.report) {
            read += count
            continue
          }
        } catch {
          state.failure = state.failure ?? error
          continue
        }
        guard let place = state.place ?? Self.begin(&state.waiting, source) else {
          if read == 0, let failure = state.failure.take() { throw failure }
          return read > 0 ? read : nil
        }
        do throws(EventStoreError) {
          read += try Self.read(place, size - read, source, &state)
        } catch {
          state.failure = state.failure ?? error
          state.place = nil
        }
      }
      return read
    }
  }

  /// The next partition that holds anything; nil if there is none.
  private static func begin(_ waiting: inout ArraySlice<Int>, _ source: any ReadSource) -> Place? {
    while let partition = waiting.popFirst() {
      let snapshot = source.snapshot(of: partition)
      guard snapshot.startNumber < snapshot.end else { continue }
      return Place(partition: partition, next: snapshot.startNumber, end: snapshot.end)
    }
    return nil
  }

  private static func read(
    _ start: Place, _ size: Int, _ source: any ReadSource, _ state: inout State
  ) throws(EventStoreError) -> Int {
    let cursor = source.cursor(in: start.partition, from: start.next)
    var read = 0
    while read < size, cursor.next < start.end {
      let item: CursorItem?
      do throws(CommitLogFailure) {
        item = try cursor.read()
      } catch .unreadable(let place) {
        guard let next = place.nextSegment else { throw EventStoreError(.unreadable(place)) }
        // Told at the end; what comes behind that segment is read all the same.
        state.failure = state.failure ?? EventStoreError(.unreadable(place))
        state.place = start
        state.place?.next = next
        return read
      } catch {
        throw EventStoreError(error)
      }
      guard let item else { break }
      switch item {
      case .batch(let stored, _):
        read += stored.header.frameSize
        state.report.eventCount += Int(stored.header.recordCount)
      case .gap(let gap):
        note(gap, source.snapshot(of: start.partition), &state.report)
      }
    }
    state.report.bytesRead = ByteCount(state.report.bytesRead.bytes + read)
    state.place = start
    state.place?.next = cursor.next
    if read < size { state.place = nil }
    return read
  }

  /// Keeps a loss that was not known before.
  private static func note(_ gap: Gap, _ snapshot: LogSnapshot, _ report: inout ScrubReport) {
    let isKnown = snapshot.gaps.contains {
      $0.first <= gap.first.value && gap.next.value <= $0.next
    }
    guard gap.reason != .retired, !isKnown else { return }
    report.note(gap)
  }
}
