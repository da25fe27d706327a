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
    let count = UInt32(clamping: text.utf8.count)
    withUnsafeBytesOfLittleEndian(count) { flat.append(contentsOf: $0) }
    flat.append(contentsOf: text.utf8)
  }

  private static func withUnsafeBytesOfLittleEndian(_ value: UInt32, _ body: ([UInt8]) -> Void) {
    body([
      UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8),
      UInt8(truncatingIfNeeded: value >> 16), UInt8(truncatingIfNeeded: value >> 24),
    ])
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

  /// The names and values: each a length of four bytes, little endian, then UTF-8.
  package var flatBytes: [UInt8] { storage?.flat ?? [] }
}

@usableFromInline
final class PropertiesStorage: Sendable {
  let flat: [UInt8]
  let count: Int
  @usableFromInline let size: Int

  init(flat: [UInt8], count: Int, size: Int) {
    self.flat = flat
    self.count = count
    self.size = size
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
      let count = (0..<4).reduce(0) { $0 | Int(flat[position + $1]) << (8 * $1) }
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
  public func hash(into hasher: inout Hasher) { hasher.combine(flatBytes) }
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
