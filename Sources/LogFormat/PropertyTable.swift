internal import EventModel

/// The property sets of one batch under construction (format-spec §6.3): texts once each, and for
/// every set the places of its names and values among them.
struct PropertyTable: ~Copyable {
  /// Tells this batch from all others that the cache knows.
  fileprivate(set) var stamp: UInt64 = 0
  private var lastIdentity: ObjectIdentifier?
  private var lastNumber: UInt32 = 0
  fileprivate var textCount = 0
  fileprivate var texts = ByteBuffer(capacity: 2 << 10)
  fileprivate var setCount: UInt32 = 0
  /// Each set's number of pairs, and each pair's places.
  fileprivate var pairCounts = ByteBuffer(capacity: 1 << 10)
  fileprivate var names = ByteBuffer(capacity: 4 << 10)
  fileprivate var values = ByteBuffer(capacity: 4 << 10)

  /// Bytes of the sets with every text as often as it occurs.
  fileprivate var expandedSize = 0

  /// Bytes of the sets and their texts; more than any batch may have when a reader would refuse
  /// what they expand to.
  var size: Int {
    expandedSize > Limits.blockSizeMax / 2
      ? expandedSize : texts.count &+ Int(setCount) &+ names.count / 4 &* pairSize
  }

  /// Bytes that a pair takes, at most.
  private var pairSize: Int { textCount <= 256 ? 2 : 5 }

  var isEmpty: Bool { setCount == 0 }

  mutating func removeAll() {
    stamp = 0
    lastIdentity = nil
    textCount = 0
    texts.removeAll()
    setCount = 0
    pairCounts.removeAll()
    names.removeAll()
    values.removeAll()
    expandedSize = 0
  }

  /// The number of a set in this batch, from 1; 0 is the empty set.
  @inline(__always)
  mutating func number(of properties: borrowing Properties, cache: PropertyCache) -> UInt32 {
    guard let identity = properties.identity else { return 0 }
    if identity == lastIdentity { return lastNumber }
    lastIdentity = identity
    lastNumber = cache.number(of: properties, identity: identity, in: &self)
    return lastNumber
  }

  /// Appends the sets and their texts.
  ///
  /// Nothing but a zero if there are none.
  func append(to buffer: inout ByteBuffer) {
    buffer.appendVariableLength(UInt64(setCount))
    guard setCount > 0 else { return }
    buffer.appendVariableLength(UInt64(textCount))
    texts.withBytes { buffer.append($0) }
    IntegerColumn.append(pairCounts, to: &buffer)
    IntegerColumn.append(names, to: &buffer)
    IntegerColumn.append(values, to: &buffer)
  }
}

/// Property sets that recent batches have used, taken apart once: a producer that gives the same
/// sets again and again pays a look-up for each event, whether it keeps one set or one a device.
///
/// One owner at a time; the batches that use it are built one after the other.
package final class PropertyCache: @unchecked Sendable {
  // SAFETY, for its one use: as the class says, one owner at a time, and the call reaches it once.
  @exclusivity(unchecked) private var contents = Contents()

  package init() {}

  @inline(__always)
  fileprivate func number(
    of properties: borrowing Properties, identity: ObjectIdentifier, in batch: inout PropertyTable
  ) -> UInt32 {
    // SAFETY: as said where it is declared.
    unsafe contents.number(of: properties, identity: identity, in: &batch)
  }

  private struct Contents: ~Copyable {
    /// Bounds the memory of producers that never use a set twice.
    static let setsMax = 4_096
    static let identitiesMax = 16_384

    var lastStamp: UInt64 = 0
    var identities = SlotTable()
    var identityKeys: [ObjectIdentifier] = []
    var identitySets: [UInt32] = []
    /// Keeps every identity's set alive, so that an identity cannot change its meaning.
    var keptAlive: [Properties] = []

    var sets = SlotTable()
    var setRepresentatives: [Properties] = []
    /// The batch that used a set last, and its number there.
    var setStamps: [UInt64] = []
    var setNumbers: [UInt32] = []
    /// Where each set's texts end in `setTexts`.
    var setEnds: [UInt32] = []
    var setTexts: [UInt32] = []

    var texts = SlotTable()
    var textBytes = ByteBuffer(capacity: 4 << 10)
    var textHashes: [UInt64] = []
    var textEnds: [UInt32] = []
    var textStamps: [UInt64] = []
    var textNumbers: [UInt32] = []

    @inline(__always)
    mutating func number(
      of properties: borrowing Properties, identity: ObjectIdentifier,
      in batch: inout PropertyTable
    ) -> UInt32 {
      if batch.stamp == 0 { begin(&batch) }
      let hash = SlotTable.mix(UInt64(UInt(bitPattern: identity)))
      let found = identities.find(hash) { identityKeys[Int($0)] == identity }
      let set = found.map { identitySets[Int($0)] } ?? add(properties, identity, hash)
      if setStamps[Int(set)] == batch.stamp { return setNumbers[Int(set)] }
      return encode(set, in: &batch)
    }

    private mutating func begin(_ batch: inout PropertyTable) {
      if setStamps.count > Self.setsMax || identityKeys.count > Self.identitiesMax {
        let stamp = lastStamp
        self = Contents()
        lastStamp = stamp
      }
      lastStamp += 1
      batch.stamp = lastStamp
    }

    @inline(never)
    private mutating func add(
      _ properties: borrowing Properties, _ identity: ObjectIdentifier, _ hash: UInt64
    ) -> UInt32 {
      let properties = copy properties
      let set =
        sets.find(properties.contentHash) { setRepresentatives[Int($0)] == properties }
        ?? addSet(properties)
      identities.insert(hash, number: UInt32(identityKeys.count))
      identityKeys.append(identity)
      identitySets.append(set)
      keptAlive.append(properties)
      return set
    }

    private mutating func addSet(_ properties: Properties) -> UInt32 {
      let set = UInt32(setStamps.count)
      sets.insert(properties.contentHash, number: set)
      setRepresentatives.append(properties)
      setStamps.append(0)
      setNumbers.append(0)
      properties.withFlatTexts { text in setTexts.append(self.text(text)) }
      setEnds.append(UInt32(setTexts.count))
      return set
    }

    private mutating func text(_ bytes: RawSpan) -> UInt32 {
      let hash = SlotTable.hash(bytes)
      let found = texts.find(hash) { number in
        guard textHashes[Int(number)] == hash else { return false }
        return textBytes.withBytes(textRange(number)) { $0.hasSameBytes(as: bytes) }
      }
      if let found { return found }
      let number = UInt32(textHashes.count)
      texts.insert(hash, number: number)
      textHashes.append(hash)
      textBytes.append(bytes)
      textEnds.append(UInt32(textBytes.count))
      textStamps.append(0)
      textNumbers.append(0)
      return number
    }

    private func textRange(_ number: UInt32) -> Range<Int> {
      (number == 0 ? 0 : Int(textEnds[Int(number) - 1]))..<Int(textEnds[Int(number)])
    }

    /// Gives a set its number in a batch and its texts theirs.
    private mutating func encode(_ set: UInt32, in batch: inout PropertyTable) -> UInt32 {
      let range =
        (set == 0 ? 0 : Int(setEnds[Int(set) - 1]))..<Int(setEnds[Int(set)])
      batch.pairCounts.append(UInt32(range.count / 2))
      for index in stride(from: range.lowerBound, to: range.upperBound, by: 2) {
        batch.names.append(place(of: setTexts[index], in: &batch))
        batch.values.append(place(of: setTexts[index + 1], in: &batch))
      }
      batch.setCount += 1
      batch.expandedSize += setRepresentatives[Int(set)].size
      setStamps[Int(set)] = batch.stamp
      setNumbers[Int(set)] = batch.setCount
      return batch.setCount
    }

    /// The place of a text among those of a batch.
    private mutating func place(of text: UInt32, in batch: inout PropertyTable) -> UInt32 {
      let text = Int(text)
      if textStamps[text] != batch.stamp {
        textStamps[text] = batch.stamp
        textNumbers[text] = UInt32(batch.textCount)
        batch.textCount += 1
        let bytes = textRange(UInt32(text))
        batch.texts.appendVariableLength(UInt64(bytes.count))
        textBytes.withBytes(bytes) { batch.texts.append($0) }
      }
      return textNumbers[text]
    }
  }
}

/// Open addressing from hashes to numbers; what a number stands for is its owner's business.
struct SlotTable {
  /// The upper half of a hash over a number plus one; 0 is free, and half of them are at least.
  private var slots: [UInt64] = Array(repeating: 0, count: 64)
  private var count = 0

  /// The number of this hash that `matches`: hashes may be equal where what they stand for is not.
  @inline(__always)
  func find(_ hash: UInt64, _ matches: (UInt32) -> Bool) -> UInt32? {
    let mask = slots.count &- 1
    var slot = Self.start(hash) & mask
    while slots[slot] != 0 {
      if (slots[slot] ^ hash) >> 32 == 0 {
        let number = UInt32(truncatingIfNeeded: slots[slot]) &- 1
        if matches(number) { return number }
      }
      slot = (slot &+ 1) & mask
    }
    return nil
  }

  /// Adds the next number: numbers come in their order, from 0.
  mutating func insert(_ hash: UInt64, number: UInt32) {
    precondition(Int(number) == count, "number \(number) follows \(count)")
    count += 1
    if count * 2 > slots.count {
      let entries = slots.filter { $0 != 0 }
      slots = Array(repeating: 0, count: slots.count * 2)
      for entry in entries { place(entry) }
    }
    place(hash & 0xffff_ffff_0000_0000 | UInt64(number + 1))
  }

  private mutating func place(_ entry: UInt64) {
    let mask = slots.count - 1
    var slot = Self.start(entry) & mask
    while slots[slot] != 0 { slot = (slot + 1) & mask }
    slots[slot] = entry
  }

  /// Where the search for a hash begins: the half that a slot keeps says it.
  @inline(__always)
  private static func start(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash >> 32) }

  /// The finaliser of MurmurHash3: spreads the bits of a pointer.
  @inline(__always)
  static func mix(_ value: UInt64) -> UInt64 {
    var mixed = value
    mixed ^= mixed >> 33
    mixed = mixed &* 0xff51_afd7_ed55_8ccd
    mixed ^= mixed >> 33
    return mixed
  }

  static func hash(_ bytes: RawSpan) -> UInt64 {
    var content = ContentChecksum()
    content.add(bytes)
    return content.whole
  }
}
