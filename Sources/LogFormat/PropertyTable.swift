internal import EventModel

/// The distinct property sets of a batch under construction, numbered from 1; 0 is the empty set.
///
/// A set is recognised by identity first: producers that reuse one pay a comparison of pointers.
/// Sets are kept alive until the batch is sealed, so that an identity cannot change its meaning.
struct PropertyTable: ~Copyable {
  private var lastIdentity: ObjectIdentifier?
  private var lastNumber: UInt32 = 0
  private var byIdentity: [ObjectIdentifier: UInt32] = [:]
  private var byContent: [Properties: UInt32] = [:]
  private var keptAlive: [Properties] = []
  private var sets: [Properties] = []

  /// Bytes of the sets that were added, as an estimate of their encoded size.
  private(set) var size = 0

  mutating func removeAll() {
    guard !sets.isEmpty else { return }
    lastIdentity = nil
    byIdentity.removeAll(keepingCapacity: true)
    byContent.removeAll(keepingCapacity: true)
    keptAlive.removeAll(keepingCapacity: true)
    sets.removeAll(keepingCapacity: true)
    size = 0
  }

  @inline(__always)
  mutating func number(of properties: borrowing Properties) -> UInt32 {
    guard let identity = properties.identity else { return 0 }
    if identity == lastIdentity { return lastNumber }
    return lookUp(properties, identity)
  }

  @inline(never)
  private mutating func lookUp(
    _ properties: borrowing Properties, _ identity: ObjectIdentifier
  ) -> UInt32 {
    let number = byIdentity[identity] ?? add(copy properties, identity)
    lastIdentity = identity
    lastNumber = number
    return number
  }

  private mutating func add(_ properties: Properties, _ identity: ObjectIdentifier) -> UInt32 {
    keptAlive.append(properties)
    let number: UInt32
    if let known = byContent[properties] {
      number = known
    } else {
      sets.append(properties)
      size += properties.size
      number = UInt32(sets.count)
      byContent[properties] = number
    }
    byIdentity[identity] = number
    return number
  }

  /// Appends the sets and their texts (format-spec §6.3).
  ///
  /// Nothing but a zero if there are none.
  func append(to buffer: inout ByteBuffer) {
    buffer.appendVariableLength(UInt64(sets.count))
    guard !sets.isEmpty else { return }
    var numbers: [String: Int] = [:]
    var texts: [String] = []
    var pairs: [[(Int, Int)]] = []
    func number(_ text: String) -> Int {
      if let known = numbers[text] { return known }
      numbers[text] = texts.count
      texts.append(text)
      return texts.count - 1
    }
    for set in sets {
      pairs.append(set.map { (number($0.name), number($0.value)) })
    }
    buffer.appendVariableLength(UInt64(texts.count))
    for text in texts { buffer.appendText(text) }
    for set in pairs {
      buffer.appendVariableLength(UInt64(set.count))
      for (name, value) in set {
        buffer.appendVariableLength(UInt64(name))
        buffer.appendVariableLength(UInt64(value))
      }
    }
  }

  var isEmpty: Bool { sets.isEmpty }
}
