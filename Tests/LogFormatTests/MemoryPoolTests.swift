import LogFormat
import Testing

@Suite("Memory that is used in turn")
struct MemoryPoolTests {
  private let pool = MemoryPool(size: 1 << 10, restingCount: 2)

  /// Where a buffer's memory is; the buffer is gone then.
  private func placeOfBuffer(_ capacity: Int = 1 << 10) -> UInt {
    let buffer = ByteBuffer(unalignedCapacity: capacity, from: pool)
    #expect(buffer.capacity >= capacity)
    return place(of: buffer)
  }

  private func place(of buffer: borrowing ByteBuffer) -> UInt {
    // SAFETY: only the address is looked at.
    buffer.withBytes { unsafe $0.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) } }
  }

  @Test func `what came back is given out in its turn, behind those that rest`() {
    let first = (0..<3).map { _ in placeOfBuffer() }
    #expect(Set(first).count == 3)
    let next = (0..<6).map { _ in placeOfBuffer() }
    #expect(next == first + first)
  }

  @Test func `buffers that are in use at once share nothing`() {
    for _ in 0..<3 {
      var first = ByteBuffer(unalignedCapacity: 1_000, from: pool)
      var second = ByteBuffer(unalignedCapacity: 1_000, from: pool)
      first.append([UInt8](repeating: 1, count: 1_000))
      second.append([UInt8](repeating: 2, count: 1_000))
      #expect(first.array(0..<1_000).allSatisfy { $0 == 1 })
      #expect(second.array(0..<1_000).allSatisfy { $0 == 2 })
    }
  }

  @Test func `a buffer that grows beyond the pool's size keeps its bytes and gives the piece back`()
  {
    for round in 0..<4 {
      var buffer = ByteBuffer(unalignedCapacity: 100, from: pool)
      let bytes = (0..<5_000).map { UInt8(truncatingIfNeeded: $0 + round) }
      buffer.append(Array(bytes.prefix(1_000)))
      let piece = place(of: buffer)
      buffer.append(Array(bytes.dropFirst(1_000)))
      #expect(buffer.array(0..<5_000) == bytes)
      let others = (0..<3).map { _ in placeOfBuffer() }
      #expect(others.contains(piece))
    }
  }

  @Test func `what is larger than the pool's pieces comes from elsewhere`() {
    let pieces = Set((0..<3).map { _ in placeOfBuffer() })
    #expect(!pieces.contains(placeOfBuffer(2 << 10)))
    #expect(Set((0..<3).map { _ in placeOfBuffer() }) == pieces)
  }

  @Test func `of what comes back at once only so much is kept`() {
    var chain: Chain? = nil
    for _ in 0..<50 {
      chain = Chain(ByteBuffer(unalignedCapacity: 1 << 10, from: pool), next: chain)
    }
    chain = nil
    // Four pieces are kept, and two of them stay behind.
    let kept = (0..<4).map { _ in placeOfBuffer() }
    #expect((0..<8).map { _ in placeOfBuffer() } == kept + kept)
  }

  private final class Chain {
    private let buffer: ByteBuffer
    private let next: Chain?

    init(_ buffer: consuming ByteBuffer, next: Chain?) {
      self.buffer = buffer
      self.next = next
    }
  }
}
