internal import CommitLog
internal import EventModel
internal import LogFormat
internal import Synchronization

/// A full batch that waits to be written.
///
/// Guarded by its partition's lock, but for the frame while it is laid out.
final class SealedBatch: @unchecked Sendable {
  let encoder: BatchEncoder
  let size: Int
  /// Its frame, once somebody has begun to lay it out ahead of its turn.
  fileprivate(set) var framed: FramedBatch?
  fileprivate(set) var isBeingLaidOut = false

  init(_ encoder: BatchEncoder) {
    self.encoder = encoder
    size = encoder.size
  }
}

/// Frames between uses, for batches that are laid out ahead of their turn.
///
/// Bounds how many there are: what a flush takes at once needs no more.
final class FramerPool: Sendable {
  private struct State {
    var free: [FramedBatch] = []
    var count = 0
  }

  let codec: CompressionCodec
  private let countMax: Int
  private let state = Mutex(State())

  init(_ codec: CompressionCodec, countMax: Int = 16) {
    self.codec = codec
    self.countMax = countMax
  }

  /// A frame to lay a batch out in; nil when all are in use, or there is no memory for one more.
  func take() -> FramedBatch? {
    state.withLock { state in
      if let framed = state.free.popLast() { return framed }
      guard state.count < countMax else { return nil }
      do throws(CommitLogFailure) {
        let framed = try FramedBatch(codec)
        state.count += 1
        return framed
      } catch {
        // Whoever writes the batch has a frame of its own.
        return nil
      }
    }
  }

  func put(_ framed: FramedBatch) { state.withLock { $0.free.append(framed) } }
}

/// Whoever waits for a partition helps it: the thread that flushes writes one batch behind the
/// other, but they may be laid out by many.
extension PartitionWriter {
  /// Takes the next batch that nobody lays out, for the caller to do it.
  ///
  /// Nil when no flush runs, whose turn it would be, or there is none.
  func takeToLayOut(_ state: inout State) -> SealedBatch? {
    guard state.commit.isFlushing, let batch = state.sealed.first(where: { $0.framed == nil }),
      let framed = framers.take()
    else { return nil }
    batch.framed = framed
    batch.isBeingLaidOut = true
    state.noteSealed()
    return batch
  }

  /// Lays out a batch that was taken for that.
  func layOut(_ batch: SealedBatch) {
    batch.framed?.layOut(batch.encoder)
    state.withLock { state in
      batch.isBeingLaidOut = false
      state.noteSealed()
    }
    schedule()
  }
}
