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

  /// Whether there is a frame to take.
  var hasRoom: Bool { state.withLock { !$0.free.isEmpty || $0.count < countMax } }

  func put(_ framed: FramedBatch) { state.withLock { $0.free.append(framed) } }
}

/// Whoever waits for a partition helps it: batches are written one behind the other, but they may
/// be laid out by many.
extension PartitionWriter {
  /// From so many bytes on that wait to be written, an appender lays out a batch for each that it
  /// fills: what waits for long leaves the processor's caches, and no thread would be idle.
  ///
  /// Those of two flushes, one that runs and the next; measured, a fifth faster than to wait until
  /// memory is full.
  static let helpedSize = 2 * flushSize

  /// Whether somebody waits for what is being written, and there is a batch for another thread to
  /// lay out.
  func needsHelp(_ state: borrowing State) -> Bool {
    state.commit.isFlushAwaited && canLayOut(state) && framers.hasRoom
  }

  /// Whether there is a batch that nobody lays out, behind the one that is being written or whose
  /// turn it is.
  private func canLayOut(_ state: borrowing State) -> Bool {
    (state.commit.isFlushing || state.commit.isHeldUp)
      && state.sealed.contains { $0.framed == nil }
  }

  /// Takes the next batch that nobody lays out, for the caller to do it.
  ///
  /// Nil when there is none, or when its turn to be flushed is now.
  func takeToLayOut(_ state: inout State) -> SealedBatch? {
    guard canLayOut(state), let batch = state.sealed.first(where: { $0.framed == nil }),
      let framed = framers.take()
    else { return nil }
    batch.framed = framed
    batch.isBeingLaidOut = true
    state.noteSealed()
    return batch
  }

  /// Takes the next batch that nobody lays out, for somebody who waits for `goal`.
  ///
  /// The current one too, if it ends there and is large enough to be worth a frame of its own.
  func takeToLayOut(for goal: WaitGoal, _ state: inout State) -> SealedBatch? {
    if let batch = takeToLayOut(&state) { return batch }
    guard goal.isEnd(state.nextNumber), (state.current?.size ?? 0) >= limits.size / 4,
      state.commit.isFlushing || state.commit.isHeldUp, framers.hasRoom
    else { return nil }
    seal(&state)
    return takeToLayOut(&state)
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

  /// Lays out one batch, if there is one to be laid out.
  func help() {
    if let batch = state.withLock({ takeToLayOut(&$0) }) { layOut(batch) }
  }
}
