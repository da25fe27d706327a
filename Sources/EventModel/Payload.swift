/// The bytes of an event: an immutable slice of a shared buffer.
///
/// Copying one copies no bytes.
public struct Payload: Sendable {
  private let storage: ArraySlice<UInt8>
  /// Whether the buffer holds little but these bytes.
  private let isWhole: Bool

  /// Takes over the bytes of an array without copying them.
  public init(_ bytes: [UInt8]) {
    storage = bytes[...]
    isWhole = bytes.capacity / 2 <= bytes.count
  }

  /// Takes over a slice of an array without copying it.
  public init(_ bytes: ArraySlice<UInt8>) {
    storage = bytes
    isWhole = false
  }

  /// Copies any bytes.
  public init(copying bytes: some Sequence<UInt8>) { self.init(Array(bytes)) }

  /// Copies a text's UTF-8 bytes.
  public init(_ text: String) { self.init(Array(text.utf8)) }

  /// Copies borrowed bytes.
  public init(copying bytes: RawSpan) {
    // SAFETY: the span keeps its bytes valid for the closure; `Array` copies them.
    self.init(unsafe bytes.withUnsafeBytes { buffer in unsafe Array(buffer) })
  }

  /// No bytes.
  public static let empty = Self([])

  /// The number of bytes.
  public var count: Int { storage.count }

  /// The bytes as a slice; shares the buffer.
  public var bytes: ArraySlice<UInt8> { storage }

  /// Puts the bytes into a buffer that holds little else: for whoever keeps them for long.
  package mutating func makeCompact() {
    if !isWhole { self = Self(Array(storage)) }
  }

  /// Gives the bytes without copying them.
  public func withBytes<Result, Failure: Error>(
    _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // SAFETY: bytes have no padding.
    try unsafe body(storage.span.bytes)
  }
}

extension Payload: Hashable, ExpressibleByStringLiteral, ExpressibleByArrayLiteral {
  /// Whether two payloads have the same bytes.
  public static func == (left: Self, right: Self) -> Bool { left.storage == right.storage }

  /// Feeds the bytes into a hasher.
  public func hash(into hasher: inout Hasher) { hasher.combine(storage) }

  /// Makes a payload of the UTF-8 of a literal.
  public init(stringLiteral text: String) { self.init(text) }

  /// Makes a payload of the bytes of a literal.
  public init(arrayLiteral bytes: UInt8...) { self.init(bytes) }
}
