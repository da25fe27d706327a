/// A device's name: 1 to 128 ASCII characters of the hub's set, case-sensitive.
///
/// Made once and passed around: the bytes and their hash are stored with it, so that appending
/// checks and hashes nothing again.
public struct DeviceID: Sendable {
  @usableFromInline let storage: IdentifierStorage

  /// Checks and makes an id.
  ///
  /// - Throws: ``InvalidIdentifier`` that names the rule the text breaks.
  public init(_ text: some StringProtocol) throws(InvalidIdentifier) {
    try self.init(utf8: Array(text.utf8).span)
  }

  /// Checks and makes an id from UTF-8 bytes.
  ///
  /// - Throws: ``InvalidIdentifier`` that names the rule the bytes break.
  public init(utf8 bytes: Span<UInt8>) throws(InvalidIdentifier) {
    try Self.check(bytes)
    storage = IdentifierStorage(bytes)
  }

  /// Checks what would be the bytes of an id, without making one.
  package static func check(_ bytes: Span<UInt8>) throws(InvalidIdentifier) {
    try CharacterSet.device.check(bytes, "device id")
  }

  /// Checks what would be the bytes of an id and gives the ``hash`` that it would have.
  package static func checkedHash(of id: RawSpan) throws(InvalidIdentifier) -> UInt64 {
    let bytes = Span<UInt8>(_bytes: id)
    // The characters are looked up while the multiplications of the hash wait for each other.
    let set = CharacterSet.device
    var hash = IdentifierHash()
    var isValid = (1...Limits.identifierSizeMax).contains(bytes.count)
    for index in bytes.indices {
      hash.add(bytes[index])
      isValid = isValid && set.contains(bytes[index])
    }
    if !isValid { try check(bytes) }
    return hash.value
  }

  /// Makes an id from bytes that were checked when they were stored or decoded.
  package init(trusted bytes: RawSpan) {
    // SAFETY: the span keeps its bytes valid for the closure; `Array` copies them.
    let copy = unsafe bytes.withUnsafeBytes { buffer in unsafe Array(buffer) }
    storage = IdentifierStorage(copy.span)
  }

  /// A stable hash of the id's bytes: FNV-1a of 64 bits, then the 64-bit finaliser of MurmurHash3.
  ///
  /// It decides the partition, so it can never change (format-spec §7).
  @inlinable public var hash: UInt64 { storage.hash }

  /// The ``hash`` of an id with these bytes.
  package static func hash(of bytes: Span<UInt8>) -> UInt64 { IdentifierHash.hash(bytes) }

  /// The number of the id's bytes.
  @inlinable public var size: Int { storage.bytes.count }

  /// The id's bytes.
  package var utf8: [UInt8] { storage.bytes }

  /// Whether the id has just these bytes.
  package func hasBytes(_ bytes: RawSpan) -> Bool {
    withBytes { $0.hasSameBytes(as: bytes) }
  }

  /// Gives the bytes of the id without copying them.
  @inlinable
  package func withUTF8<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // SAFETY: the array keeps its bytes in place while the closure runs; the closure is told the
    // exact bounds and, by contract, lets no pointer escape.
    try unsafe storage.withBytes(body)
  }
}

extension DeviceID {
  /// Gives the bytes of the id as a span.
  @inline(__always)
  package func withBytes<Result, Failure: Error>(
    _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // SAFETY: the id's bytes are valid for the closure.
    try unsafe withUTF8 { (id) throws(Failure) in try unsafe body(RawSpan(_unsafeBytes: id)) }
  }
}

extension DeviceID: Hashable, Comparable, CustomStringConvertible, ExpressibleByStringLiteral {
  /// A literal that breaks the rules is a programming error.
  public init(stringLiteral text: String) {
    do {
      try self.init(text)
    } catch {
      preconditionFailure("\(error)")
    }
  }

  /// Whether both are the same.
  public static func == (left: Self, right: Self) -> Bool {
    left.storage === right.storage
      || (left.storage.hash == right.storage.hash && left.storage.bytes == right.storage.bytes)
  }

  /// Orders ids by their bytes.
  public static func < (left: Self, right: Self) -> Bool {
    left.storage.bytes.lexicographicallyPrecedes(right.storage.bytes)
  }

  /// Hashes what equality compares.
  public func hash(into hasher: inout Hasher) { hasher.combine(storage.hash) }

  /// The value as text, for messages.
  public var description: String { String(decoding: storage.bytes, as: UTF8.self) }
}

/// The bytes of an identifier and their hash, made once and shared.
@usableFromInline
final class IdentifierStorage: Sendable {
  @usableFromInline let bytes: [UInt8]
  @usableFromInline let hash: UInt64

  init(_ span: Span<UInt8>) {
    var copy: [UInt8] = []
    copy.reserveCapacity(span.count)
    for index in span.indices { copy.append(span[index]) }
    bytes = copy
    hash = IdentifierHash.hash(span)
  }

  @inlinable
  func withBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // SAFETY: `bytes` is immutable and alive for the duration of the call.
    try unsafe bytes.withUnsafeBufferPointer { buffer throws(Failure) in
      try unsafe body(UnsafeRawBufferPointer(buffer))
    }
  }
}

/// FNV-1a of 64 bits, then the 64-bit finaliser of MurmurHash3.
private struct IdentifierHash {
  private var state: UInt64 = 0xcbf2_9ce4_8422_2325

  @inline(__always)
  mutating func add(_ byte: UInt8) {
    state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
  }

  var value: UInt64 {
    var mixed = state ^ state >> 33
    mixed = mixed &* 0xff51_afd7_ed55_8ccd
    mixed ^= mixed >> 33
    mixed = mixed &* 0xc4ce_b9fe_1a85_ec53
    return mixed ^ mixed >> 33
  }

  static func hash(_ bytes: Span<UInt8>) -> UInt64 {
    var hash = Self()
    for index in bytes.indices { hash.add(bytes[index]) }
    return hash.value
  }
}

extension RawSpan {
  /// Whether both have the same bytes.
  @inline(__always)
  package func hasSameBytes(as other: RawSpan) -> Bool {
    guard byteCount == other.byteCount else { return false }
    return sharedPrefix(with: other) == byteCount
  }

  /// How many bytes from the first on are the same in both.
  @inline(__always)
  package func sharedPrefix(with other: RawSpan) -> Int {
    let end = Swift.min(byteCount, other.byteCount)
    var place = 0
    while place &+ 8 <= end {
      // SAFETY: eight bytes from `place` on end at or before `end`, which both spans reach.
      let own = unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: place, as: UInt64.self)
      let its = unsafe other.unsafeLoadUnaligned(fromUncheckedByteOffset: place, as: UInt64.self)
      if own != its { return place &+ (own ^ its).littleEndian.trailingZeroBitCount / 8 }
      place &+= 8
    }
    while place < end {
      // SAFETY: `place` lies before `end`, which both spans reach.
      let own = unsafe unsafeLoad(fromUncheckedByteOffset: place, as: UInt8.self)
      let its = unsafe other.unsafeLoad(fromUncheckedByteOffset: place, as: UInt8.self)
      guard own == its else { break }
      place &+= 1
    }
    return place
  }
}

/// A message's name, given by its sender: at most 128 ASCII characters of the hub's set.
public struct MessageID: Hashable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
  /// The id as text.
  public let text: String

  /// Checks and makes an id.
  ///
  /// - Throws: ``InvalidIdentifier`` that names the rule the text breaks.
  public init(_ text: String) throws(InvalidIdentifier) {
    try CharacterSet.message.check(Array(text.utf8).span, "message id")
    self.text = text
  }

  /// A literal that breaks the rules is a programming error.
  public init(stringLiteral text: String) {
    do {
      try self.init(text)
    } catch {
      preconditionFailure("\(error)")
    }
  }

  /// The value as text, for messages.
  public var description: String { text }
}

/// A consumer group's name: 1 to 50 letters, digits, hyphens, dots and underscores, or `$Default`.
public struct GroupName: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The name as text.
  public let text: String

  /// The group that every store has.
  public static let standard = Self(unchecked: "$Default")

  private init(unchecked text: String) { self.text = text }

  /// Checks and makes a name.
  ///
  /// - Throws: ``InvalidIdentifier`` that names the rule the text breaks.
  public init(_ text: String) throws(InvalidIdentifier) {
    if text != Self.standard.text {
      try CharacterSet.group.check(
        Array(text.utf8).span, "consumer group name", sizeMax: Limits.groupNameSizeMax)
    }
    self.text = text
  }

  /// Whether the left one comes first.
  public static func < (left: Self, right: Self) -> Bool { left.text < right.text }

  /// The value as text, for messages.
  public var description: String { text }
}

extension GroupName: ExpressibleByStringLiteral {
  /// A literal that breaks the rules is a programming error.
  public init(stringLiteral text: String) {
    do {
      try self.init(text)
    } catch {
      preconditionFailure("\(error)")
    }
  }
}

/// A name that breaks the rules of its kind.
public struct InvalidIdentifier: Error, Hashable, Sendable, CustomStringConvertible {
  /// What was to be named, such as `device id`.
  public let kind: String
  /// What is wrong with it.
  public let problem: String

  package init(kind: String, problem: String) {
    self.kind = kind
    self.problem = problem
  }

  /// The value as text, for messages.
  public var description: String { "invalid \(kind): \(problem)" }
}

/// ASCII characters a name may use (IoT Hub developer guide, identity registry and message format).
struct CharacterSet: Sendable {
  private let bits: (UInt64, UInt64)
  private let names: String

  static let device = Self(punctuation: "-.+%_#*?!(),=@$'")
  static let message = Self(punctuation: "-:.+%_#*?!(),=@;$'/\\")
  static let group = Self(punctuation: "-._")

  private init(punctuation: String) {
    var low: UInt64 = 0
    var high: UInt64 = 0
    let alphanumerics =
      Array(UInt8(ascii: "0")...UInt8(ascii: "9"))
      + Array(UInt8(ascii: "A")...UInt8(ascii: "Z")) + Array(UInt8(ascii: "a")...UInt8(ascii: "z"))
    for byte in alphanumerics + Array(punctuation.utf8) {
      if byte < 64 { low |= 1 << UInt64(byte) } else { high |= 1 << UInt64(byte - 64) }
    }
    bits = (low, high)
    names = "letters, digits and \(punctuation)"
  }

  @inline(__always)
  func contains(_ byte: UInt8) -> Bool {
    let word = byte < 64 ? bits.0 : byte < 128 ? bits.1 : 0
    return word >> UInt64(byte & 63) & 1 == 1
  }

  func check(
    _ bytes: Span<UInt8>, _ kind: String, sizeMax: Int = Limits.identifierSizeMax
  ) throws(InvalidIdentifier) {
    guard !bytes.isEmpty else {
      throw InvalidIdentifier(kind: kind, problem: "it is empty")
    }
    guard bytes.count <= sizeMax else {
      throw InvalidIdentifier(
        kind: kind, problem: "it has \(bytes.count) bytes, the limit is \(sizeMax)")
    }
    for index in bytes.indices {
      guard contains(bytes[index]) else {
        throw InvalidIdentifier(
          kind: kind,
          problem: "byte \(bytes[index]) at \(index) is not allowed; use \(names)")
      }
    }
  }
}
