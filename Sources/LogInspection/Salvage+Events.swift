package import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

extension Salvage {
  /// What came of reading the frames again.
  package struct Reading: Hashable, Sendable {
    /// Events that were given.
    package var events = 0
    /// Events that were found again: equal in number, device, time and content, in whatever file.
    package var duplicates = 0
    /// Frames that were whole when they were found, and could not be read again.
    package var changed = 0

    package init() {}
  }

  /// Gives every event once, in the order of time and number: so the events of a device come in
  /// the order in which they were appended.
  ///
  /// Where two histories have the same numbers for different events, both are given.
  ///
  /// - Parameter body: takes an event.
  /// - Returns: how many were given, and how many not.
  /// - Throws: what `body` throws.
  package func forEachEvent<Failure: Error>(
    _ body: (Event) throws(Failure) -> Void
  ) throws(Failure) -> Reading {
    var reading = Reading()
    let reader = FrameReader(self)
    var open = OpenBatches()
    var next = 0
    var place: OpenBatches.Place?
    // The events of one place: as many as there are partitions, unless histories differ.
    var seen: [Event] = []
    var seenSize = 0
    while true {
      while next < frames.count, open.hasRoom(for: frames[next]) {
        if let batch = reader.batch(frames[next]) {
          open.insert(batch)
        } else {
          reading.changed += 1
        }
        next += 1
      }
      guard let (batch, index) = open.takeFirst() else { return reading }
      let event = batch.event(at: index)
      let its = OpenBatches.Place(batch, index)
      if its != place {
        seen.removeAll(keepingCapacity: true)
        seenSize = 0
      }
      place = its
      guard !seen.contains(event) else {
        reading.duplicates += 1
        continue
      }
      if seen.count < Limits.partitionCountMax, seenSize < Limits.salvageMemoryMax {
        seen.append(event)
        seenSize += event.size
      }
      reading.events += 1
      try body(event)
    }
  }
}

/// Batches that overlap in time, merged event by event.
private struct OpenBatches {
  /// What orders events.
  struct Place: Hashable, Comparable {
    let time: Timestamp
    let number: UInt64

    init(_ batch: DecodedBatch, _ index: Int) {
      time = batch.time(at: index)
      number = batch.baseOffset &+ UInt64(index)
    }

    static func < (left: Self, right: Self) -> Bool {
      (left.time, left.number) < (right.time, right.number)
    }
  }

  private struct Cursor {
    let batch: DecodedBatch
    var index: Int
    var place: Place
  }

  /// The one whose event is next comes last.
  private var cursors: [Cursor] = []
  private var size = 0

  /// Whether a frame must be opened before the next event is taken, and may be.
  func hasRoom(for frame: Salvage.Frame) -> Bool {
    guard let first = cursors.last else { return true }
    return frame.time <= first.place.time && size < Limits.salvageMemoryMax
  }

  mutating func insert(_ batch: DecodedBatch) {
    size += batch.memory
    insert(Cursor(batch: batch, index: 0, place: Place(batch, 0)))
  }

  private mutating func insert(_ cursor: Cursor) {
    var index = cursors.count
    while index > 0, cursors[index - 1].place < cursor.place { index -= 1 }
    cursors.insert(cursor, at: index)
  }

  mutating func takeFirst() -> (batch: DecodedBatch, index: Int)? {
    guard var cursor = cursors.popLast() else { return nil }
    let taken = (cursor.batch, cursor.index)
    if cursor.index + 1 < cursor.batch.count {
      cursor.index += 1
      cursor.place = Place(cursor.batch, cursor.index)
      insert(cursor)
    } else {
      size -= cursor.batch.memory
    }
    return taken
  }
}

/// Reads frames again that a search has proven.
private final class FrameReader {
  /// Files that are open at once.
  private static let sourceCountMax = 64

  private let salvage: Salvage
  private let proof = FrameProof()
  private var sources: [UInt32: InspectedSource] = [:]

  init(_ salvage: Salvage) { self.salvage = salvage }

  /// The batch in a frame; nil if it is no longer there.
  func batch(_ frame: Salvage.Frame) -> DecodedBatch? {
    guard let source = source(frame.file) else { return nil }
    var header = ByteBuffer(capacity: FrameHeader.size)
    guard source.append(frame.position..<frame.position + FrameHeader.size, to: &header),
      let claim = header.withBytes({ FrameProof.Claim($0, at: frame.position) }),
      case .batch(let batch, _) = proof.judge(claim, source)
    else { return nil }
    return batch.decoded
  }

  private func source(_ file: UInt32) -> InspectedSource? {
    if let source = sources[file] { return source }
    if sources.count == Self.sourceCountMax { sources.removeAll(keepingCapacity: true) }
    let path = salvage.paths[Int(file)]
    do throws(IOFailure) {
      let source = try InspectedSource(
        path, name: path.string, fileSystem: salvage.fileSystem)
      sources[file] = source
      return source
    } catch {
      return nil
    }
  }
}

extension DecodedBatch {
  /// The bytes that it takes, roughly.
  fileprivate var memory: Int { size + 16 * count }
}
