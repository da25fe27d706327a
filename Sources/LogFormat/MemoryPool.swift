internal import Synchronization

/// Memory of one size that is used in turn: what came back last is given out last.
///
/// For buffers that one core fills and another one reads. A core that writes to memory that another
/// core's cache still holds has to fetch each line from there, which takes longer than what is
/// written; by the time these buffers' turn comes again, others have displaced them there.
@safe
package final class MemoryPool: Sendable {
  /// Bytes of each piece.
  let size: Int
  /// Pieces that stay behind when one is given out; twice as many are kept.
  private let restingCount: Int
  private let resting = Mutex<[Piece]>([])

  // SAFETY: whoever holds a piece, the pool or a buffer, is the only one that uses it.
  @safe
  private struct Piece: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
  }

  package init(size: Int, restingCount: Int) {
    self.size = size
    self.restingCount = restingCount
  }

  deinit {
    // SAFETY: nobody else holds these pieces, and nothing can use them after this.
    for piece in resting.withLock({ $0 }) { unsafe piece.base.deallocate() }
  }

  /// Memory of the pool's size; the caller gives it back.
  @unsafe
  func take() -> UnsafeMutableRawPointer {
    let piece = resting.withLock { $0.count > restingCount ? $0.removeFirst() : nil }
    // SAFETY: every piece is given back once, and then nobody uses it before it is taken again.
    if let piece { return unsafe piece.base }
    return .allocate(byteCount: size, alignment: 16)
  }

  @unsafe
  func giveBack(_ base: UnsafeMutableRawPointer) {
    // SAFETY: the caller took it here and uses it no more.
    let piece = unsafe Piece(base: base)
    let isKept = resting.withLock { resting in
      guard resting.count < 2 * restingCount else { return false }
      resting.append(piece)
      return true
    }
    if !isKept { unsafe base.deallocate() }
  }
}
