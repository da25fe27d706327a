internal import Synchronization

/// An event's application properties: names and values, in the order they were given.
///
/// One flat immutable buffer, shared by copies. A producer that gives the same set to many events
/// makes it once: the store recognises it by identity and encodes it once a batch.
public struct Properties: Sendable {
  @usableFromInline let storage: PropertiesStorage?

  /// No properties.
  public static let empty = Self()

  /// Makes an empty set.
  public init() { storage = nil }

  /// Makes a set from pairs.
  ///
  /// - Throws: ``InvalidProperties`` when a name is empty or given twice, or when there are more
  ///   than ``Limits/propertyCountMax``.
  public init(_ pairs: some Sequence<(name: String, value: String)>) throws(InvalidProperties) {
    var names: Set<String> = []
    var flat: [UInt8] = []
    var size = 0
    for (name, value) in pairs {
      guard !name.isEmpty else { throw .emptyName }
      guard names.insert(name).inserted else { throw .duplicateName(name) }
      guard names.count <= Limits.propertyCountMax else {
        throw .tooMany(limit: Limits.propertyCountMax)
      }
      size += name.utf8.count + value.utf8.count
      Self.append(name, to: &flat)
      Self.append(value, to: &flat)
    }
    storage =
      names.isEmpty ? nil : PropertiesStorage(flat: flat, count: names.count, size: size)
  }

  private static func append(_ text: String, to flat: inout [UInt8]) {
    append(count: text.utf8.count, to: &flat)
    flat.append(contentsOf: text.utf8)
  }

  /// Appends the length that goes before a name or a value.
  package static func append(count: Int, to flat: inout [UInt8]) {
    for shift in stride(from: 0, to: 32, by: 8) {
      flat.append(UInt8(truncatingIfNeeded: count >> shift))
    }
  }

  /// Whether there are none.
  public var isEmpty: Bool { storage == nil }

  /// The number of properties.
  public var count: Int { storage?.count ?? 0 }

  /// Bytes of all names and values, as the size of an event counts them.
  @inlinable public var size: Int { storage?.size ?? 0 }

  /// The value of a property, nil if there is none of that name.
  ///
  /// Names are case-sensitive.
  public subscript(name: String) -> String? {
    first { $0.name == name }?.value
  }

  /// Tells sets apart that were made apart; equal for copies of one set.
  @inlinable package var identity: ObjectIdentifier? {
    storage.map(ObjectIdentifier.init)
  }

  /// A hash of the names and values in their order, made at its first use.
  package var contentHash: UInt64 { storage?.hash ?? 0 }

  /// Gives the bytes of each name and each value in turn.
  package func withFlatTexts(_ body: (RawSpan) -> Void) {
    guard let flat = storage?.flat else { return }
    // SAFETY: bytes have no padding.
    let span = unsafe flat.span.bytes
    var position = 0
    while position < flat.count {
      let count = Self.size(in: flat, at: position)
      body(span.extracting(position + 4..<position + 4 + count))
      position += 4 + count
    }
  }

  /// Makes a set from texts that were checked when they were stored.
  ///
  /// - Parameters:
  ///   - flat: names and values as ``flatBytes`` has them.
  ///   - count: how many properties those are.
  package init(trusted flat: [UInt8], count: Int) {
    storage =
      count == 0
      ? nil : PropertiesStorage(flat: flat, count: count, size: flat.count - 8 * count)
  }

  fileprivate static func size(in flat: [UInt8], at position: Int) -> Int {
    (0..<4).reduce(0) { $0 | Int(flat[position + $1]) << (8 * $1) }
  }

  /// The names and values: each a length of four bytes, little endian, then UTF-8.
  package var flatBytes: [UInt8] { storage?.flat ?? [] }
}

/// Where a text stands among the bytes of a batch.
@usableFromInline
package struct TextPlace: Sendable {
  @usableFromInline let start: UInt32
  @usableFromInline let end: UInt32

  @inlinable
  package init(_ range: Range<Int>) {
    start = UInt32(range.lowerBound)
    end = UInt32(range.upperBound)
  }

  @inlinable package var range: Range<Int> { Int(start)..<Int(end) }
  @inlinable package var size: Int { Int(end &- start) }
}

/// One event's properties: for each the places of its name and its value among the batch's texts.
///
/// This and the texts are as small as what a call returns in registers: reading it back from memory
/// would take as long as everything else that is done for a property.
@usableFromInline
package struct PropertyNumbers: ~Escapable {
  @usableFromInline let names: Span<UInt32>
  @usableFromInline let values: Span<UInt32>

  @inlinable
  @_lifetime(copy names, copy values)
  package init(names: Span<UInt32>, values: Span<UInt32>) {
    self.names = names
    self.values = values
  }
}

/// The names and values of a batch's properties where they lie, each once.
@usableFromInline
package struct PropertyTexts: ~Escapable {
  @usableFromInline let places: Span<TextPlace>
  @usableFromInline let bytes: RawSpan

  @inlinable
  @_lifetime(copy places, copy bytes)
  package init(_ places: Span<TextPlace>, in bytes: RawSpan) {
    self.places = places
    self.bytes = bytes
  }

  /// Gives the bytes of each name and value of one event.
  @inlinable
  package func forEach<Failure: Error>(
    of numbers: borrowing PropertyNumbers,
    _ body: (_ name: RawSpan, _ value: RawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    for index in numbers.names.indices {
      let name = places[Int(numbers.names[index])]
      let value = places[Int(numbers.values[index])]
      try body(bytes.extracting(name.range), bytes.extracting(value.range))
    }
  }
}

@usableFromInline
final class PropertiesStorage: Sendable {
  let flat: [UInt8]
  let count: Int
  @usableFromInline let size: Int
  /// 0 until somebody asks: most sets that are read are never written again.
  private let knownHash = Atomic<UInt64>(0)

  init(flat: [UInt8], count: Int, size: Int) {
    self.flat = flat
    self.count = count
    self.size = size
  }

  var hash: UInt64 {
    let known = knownHash.load(ordering: .relaxed)
    if known != 0 { return known }
    // FNV-1a, as for identifiers.
    var state: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in flat { state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    knownHash.store(state, ordering: .relaxed)
    return state
  }
}

extension Properties: Sequence {
  /// Walks the properties in their order.
  public func makeIterator() -> Iterator { Iterator(flat: flatBytes) }

  /// Decodes one name and value at a time.
  public struct Iterator: IteratorProtocol {
    private let flat: [UInt8]
    private var position = 0

    init(flat: [UInt8]) { self.flat = flat }

    /// The next property, nil behind the last.
    public mutating func next() -> (name: String, value: String)? {
      guard position < flat.count else { return nil }
      return (nextText(), nextText())
    }

    private mutating func nextText() -> String {
      let count = Properties.size(in: flat, at: position)
      let start = position + 4
      position = start + count
      return String(decoding: flat[start..<position], as: UTF8.self)
    }
  }
}

extension Properties: Hashable {
  /// Whether both are the same.
  public static func == (left: Self, right: Self) -> Bool {
    left.storage === right.storage || left.flatBytes == right.flatBytes
  }

  /// Hashes what equality compares.
  public func hash(into hasher: inout Hasher) { hasher.combine(contentHash) }
}

extension Properties: ExpressibleByDictionaryLiteral {
  /// A literal with an empty or a repeated name is a programming error.
  public init(dictionaryLiteral pairs: (String, String)...) {
    do {
      try self.init(pairs.lazy.map { (name: $0.0, value: $0.1) })
    } catch {
      preconditionFailure("\(error)")
    }
  }
}

/// Application properties that cannot be stored.
public enum InvalidProperties: Error, Hashable, Sendable, CustomStringConvertible {
  /// A property has no name.
  case emptyName
  /// Two properties have the same name.
  case duplicateName(String)
  /// There are more than an event may have.
  case tooMany(limit: Int)

  /// The value as text, for messages.
  public var description: String {
    switch self {
    case .emptyName: "a property has an empty name"
    case .duplicateName(let name): "property '\(name)' is given twice"
    case .tooMany(let limit): "an event may have at most \(limit) properties"
    }
  }
}
