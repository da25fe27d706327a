/// Raw memory that grows, with one owner: what batches are gathered, framed and decoded in.
///
/// Integers are stored little endian (format-spec §1). Every access is checked against the buffer's
/// bounds, so the unsafe memory stays inside this file. Sendable because one owner at a time holds
/// the memory.
@safe
package struct ByteBuffer: ~Copyable, @unchecked Sendable {
  private var base: UnsafeMutableRawPointer
  package private(set) var capacity: Int
  package private(set) var count = 0

  /// Frames are laid out at multiples of 64 bytes; so is the memory they are made in.
  package static let alignment = 64

  private let alignment: Int
  /// Where the memory came from and goes back to, if not to the system.
  private var pool: MemoryPool?

  package init(capacity: Int = 4_096) {
    self.init(capacity: capacity, alignment: Self.alignment)
  }

  /// Memory for what is read, which stands anywhere: cheaper to get than what frames are made in.
  ///
  /// From a pool as long as the capacity is not larger than that has it.
  package init(unalignedCapacity capacity: Int, from pool: MemoryPool? = nil) {
    self.init(
      capacity: capacity, alignment: 16, pool: pool.flatMap { $0.size < capacity ? nil : $0 })
  }

  private init(capacity: Int, alignment: Int, pool: MemoryPool? = nil) {
    self.capacity = pool?.size ?? max(capacity, Self.alignment)
    self.alignment = alignment
    self.pool = pool
    // SAFETY: owned by this value alone and let go of in `deinit`; `capacity` is its exact size.
    unsafe base = pool?.take() ?? .allocate(byteCount: self.capacity, alignment: alignment)
  }

  // SAFETY: this value alone owns the memory, and nothing can use it after this.
  deinit { unsafe Self.release(base, to: pool) }

  @unsafe
  private static func release(_ base: UnsafeMutableRawPointer, to pool: MemoryPool?) {
    // SAFETY: the caller owns the memory and uses it no more; it came from where it goes.
    if let pool { unsafe pool.giveBack(base) } else { unsafe base.deallocate() }
  }

  /// Forgets the contents and keeps the memory.
  package mutating func removeAll() { count = 0 }

  /// Forgets the contents from `size` on.
  package mutating func truncate(to size: Int) {
    precondition(size <= count, "cannot truncate \(count) bytes to \(size)")
    count = size
  }

  /// Makes room for `extra` more bytes.
  ///
  /// Growth doubles, so appending stays linear.
  @inline(__always)
  package mutating func reserve(_ extra: Int) {
    if count &+ extra > capacity { grow(to: count + extra) }
  }

  @inline(never)
  private mutating func grow(to needed: Int) {
    let larger = max(needed, capacity * 2)
    // SAFETY: the new memory is larger than the `count` bytes copied; the old is freed once.
    let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: alignment)
    unsafe moved.copyMemory(from: base, byteCount: count)
    unsafe Self.release(base, to: pool)
    pool = nil
    unsafe base = moved
    capacity = larger
  }

  /// Sets the size to `size`; new bytes are undefined until they are written.
  package mutating func resize(to size: Int) {
    reserve(max(0, size - count))
    count = size
  }

  @inline(__always)
  package mutating func append<Integer: FixedWidthInteger>(_ value: Integer) {
    let size = MemoryLayout<Integer>.size
    reserve(size)
    // SAFETY: `reserve` made room for `size` bytes behind `count`.
    unsafe (base + count).storeBytes(of: value.littleEndian, as: Integer.self)
    count &+= size
  }

  /// Appends bytes of another buffer; they must not be this buffer's own.
  @inline(__always)
  package mutating func append(_ bytes: borrowing RawSpan) {
    let size = bytes.byteCount
    reserve(size)
    // SAFETY: `reserve` made room for `size` bytes; the span vouches for the source.
    unsafe bytes.withUnsafeBytes { source in
      guard let start = source.baseAddress else { return }
      unsafe (base + count).copyMemory(from: start, byteCount: size)
    }
    count &+= size
  }

  /// Appends integers of `width` bits each, without gaps, the lowest bit of each first; zeros fill
  /// the last byte.
  ///
  /// `integer` gives each of them, without bits beyond `width`.
  @inline(__always)
  mutating func appendBits(count number: Int, width: Int, _ integer: (Int) -> UInt64) {
    guard width > 0 else { return }
    let size = (number * width + 7) / 8
    reserve(size + 8)
    var bits: UInt64 = 0
    var filled = 0
    var end = count
    for index in 0..<number {
      let value = integer(index)
      bits |= value &<< UInt64(filled)
      filled &+= width
      guard filled >= 64 else { continue }
      // SAFETY: there is room for `size` bytes behind `count`, and for eight more.
      unsafe base.storeBytes(of: bits.littleEndian, toByteOffset: end, as: UInt64.self)
      end &+= 8
      filled &-= 64
      bits = value >> UInt64(width &- filled)
    }
    // SAFETY: as above.
    unsafe base.storeBytes(of: bits.littleEndian, toByteOffset: end, as: UInt64.self)
    count &+= size
  }

  package mutating func append(_ bytes: [UInt8]) {
    // SAFETY: bytes have no padding.
    unsafe append(bytes.span.bytes)
  }

  package mutating func append(_ text: String) {
    var text = text
    text.withUTF8 { utf8 in
      // SAFETY: `withUTF8` keeps the bytes valid for the closure.
      unsafe append(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(utf8)))
    }
  }

  /// Appends a copy of a range of this buffer.
  package mutating func appendCopy(of range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "\(range) of \(count)")
    reserve(range.count)
    // SAFETY: the precondition bounds the source, `reserve` made room behind `count`.
    unsafe (base + count).copyMemory(from: base + range.lowerBound, byteCount: range.count)
    count += range.count
  }

  /// Appends the first `size` of sixteen bytes, the lowest one first.
  @inline(__always)
  package mutating func append(_ bytes: UInt128, size: Int) {
    precondition(size >= 0 && size <= 16, "\(size) of 16 bytes")
    reserve(16)
    // SAFETY: `reserve` made room for all sixteen behind `count`; those beyond `size` are
    // overwritten by what comes next.
    unsafe (base + count).storeBytes(of: bytes.littleEndian, as: UInt128.self)
    count &+= size
  }

  /// Sixteen bytes from `start` on; those beyond the bytes in use are undefined.
  package mutating func sixteenBytes(from start: Int) -> UInt128 {
    precondition(start >= 0 && start <= count, "\(start) of \(count)")
    reserve(16)
    // SAFETY: `start` is at most `count`, behind which there is room for sixteen.
    return unsafe UInt128(littleEndian: (base + start).loadUnaligned(as: UInt128.self))
  }

  /// Appends zeros up to a multiple of `alignment`.
  package mutating func pad(to alignment: Int) {
    let remainder = count % alignment
    if remainder != 0 { appendZeros(alignment - remainder) }
  }

  package mutating func appendZeros(_ size: Int) {
    reserve(size)
    // SAFETY: `reserve` made room for `size` bytes behind `count`.
    unsafe (base + count).initializeMemory(as: UInt8.self, repeating: 0, count: size)
    count += size
  }

  /// Overwrites an integer that was appended before.
  package mutating func store<Integer: FixedWidthInteger>(_ value: Integer, at index: Int) {
    precondition(
      index >= 0 && index + MemoryLayout<Integer>.size <= count, "store at \(index) of \(count)")
    // SAFETY: the precondition keeps the access inside the bytes in use.
    unsafe (base + index).storeBytes(of: value.littleEndian, as: Integer.self)
  }

  @inline(__always)
  package func load<Integer: FixedWidthInteger>(at index: Int, as type: Integer.Type) -> Integer {
    precondition(
      index >= 0 && index &+ MemoryLayout<Integer>.size <= count, "load at \(index) of \(count)")
    // SAFETY: the precondition keeps the access inside the bytes in use.
    return unsafe Integer(littleEndian: (base + index).loadUnaligned(as: Integer.self))
  }

  /// How many bytes are zero from `start` on.
  package func zeroCount(from start: Int) -> Int {
    var index = start
    while index + 8 <= count, load(at: index, as: UInt64.self) == 0 { index += 8 }
    while index < count, load(at: index, as: UInt8.self) == 0 { index += 1 }
    return index - start
  }

  package var isZero: Bool { zeroCount(from: 0) == count }

  @inline(__always)
  package func withBytes<Result: ~Copyable, Failure: Error>(
    _ range: Range<Int>, _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "\(range) of \(count)")
    // SAFETY: the precondition bounds the range; the span cannot outlive the call.
    return try unsafe body(
      RawSpan(
        _unsafeBytes: UnsafeRawBufferPointer(
          start: base + range.lowerBound, count: range.count)))
  }

  @inline(__always)
  package func withBytes<Result: ~Copyable, Failure: Error>(
    _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try withBytes(0..<count, body)
  }

  /// A range of the bytes, valid as long as the buffer is neither changed nor gone: for owners
  /// that hand out spans of their own lifetime.
  @unsafe
  @inline(__always)
  package func unsafeBytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "\(range) of \(count)")
    // SAFETY: the precondition bounds the range.
    return unsafe UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count)
  }

  package mutating func withMutableBytes<Result, Failure: Error>(
    _ range: Range<Int>, _ body: (inout MutableRawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "\(range) of \(count)")
    // SAFETY: the precondition bounds the range; the span cannot outlive the call.
    var span = unsafe MutableRawSpan(
      _unsafeBytes: UnsafeMutableRawBufferPointer(
        start: base + range.lowerBound, count: range.count))
    return try body(&span)
  }

  /// Appends up to `size` bytes that `body` writes; it returns how many it wrote, or nil for none.
  package mutating func appendUpTo<Failure: Error>(
    _ size: Int, _ body: (inout MutableRawSpan) throws(Failure) -> Int?
  ) throws(Failure) -> Int? {
    let start = count
    resize(to: start + size)
    let written: Int?
    do throws(Failure) {
      written = try withMutableBytes(start..<start + size, body)
    } catch {
      count = start
      throw error
    }
    precondition(written.map { (0...size).contains($0) } ?? true, "wrote more than there is room")
    count = start + (written ?? 0)
    return written
  }

  /// A copy of a range as an array: for tests and for what is not on a hot path.
  package func array(_ range: Range<Int>) -> [UInt8] {
    // SAFETY: the span is valid for the closure and the array copies it.
    withBytes(range) { span in unsafe span.withUnsafeBytes { unsafe Array($0) } }
  }
}
