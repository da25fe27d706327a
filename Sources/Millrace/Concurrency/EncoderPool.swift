internal import LogFormat
internal import Synchronization

/// Batch encoders between uses.
///
/// Partitions that receive nothing hold none, so that memory follows the load and not the partition
/// count (I13).
final class EncoderPool: Sendable {
  private let targetSize: Int
  private let countMax: Int
  private let free = Mutex<[BatchEncoder]>([])

  init(targetSize: Int, countMax: Int) {
    self.targetSize = targetSize
    self.countMax = countMax
    free.withLock { $0.reserveCapacity(countMax) }
  }

  func take() -> BatchEncoder {
    free.withLock { $0.popLast() } ?? BatchEncoder(targetSize: targetSize)
  }

  func put(_ encoder: BatchEncoder) {
    encoder.removeAll()
    free.withLock { free in
      if free.count < countMax { free.append(encoder) }
    }
  }
}
