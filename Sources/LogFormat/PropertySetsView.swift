internal import EventModel
internal import Synchronization

/// The property sets of a decoded batch: checked for their bounds when the batch is, taken apart
/// when somebody asks for one.
final class PropertySetsView: Sendable {
  /// Where each text stands in the columns.
  private let texts: [Range<Int>]
  /// The texts of all sets: name, value, name, value.
  private let members: [UInt32]
  /// Where each set's members end.
  private let ends: [UInt32]
  private let made: Mutex<[Properties?]>

  var count: Int { ends.count }

  @_lifetime(reader: copy reader)
  init?(from reader: inout ByteReader, recordCount: Int) throws(FormatError) {
    let setCount = try reader.count(atMost: recordCount)
    guard setCount > 0 else { return nil }
    let textCount = try reader.count(atMost: reader.remaining)
    var texts: [Range<Int>] = []
    texts.reserveCapacity(textCount)
    for _ in 0..<textCount {
      let size = try reader.count(atMost: Limits.eventSizeMax)
      texts.append(try reader.range(size))
    }
    var members: [UInt32] = []
    members.reserveCapacity(setCount * 8)
    var ends: [UInt32] = []
    ends.reserveCapacity(setCount)
    var size = 0
    for _ in 0..<setCount {
      let start = members.count
      for _ in 0..<(try reader.count(atMost: Limits.propertyCountMax)) {
        let name = try reader.count(atMost: textCount - 1)
        let value = try reader.count(atMost: textCount - 1)
        guard !texts[name].isEmpty else { throw .corrupt("a property has an empty name") }
        members.append(UInt32(name))
        members.append(UInt32(value))
        // Sets share texts, so a few damaged bytes could stand for gigabytes; no writer lets the
        // sets of a batch grow beyond a block.
        size += texts[name].count + texts[value].count
        guard size <= Limits.blockSizeMax else {
          throw .corrupt("the property sets of a batch exceed \(Limits.blockSizeMax) bytes")
        }
      }
      guard members.count > start else { throw .corrupt("an empty property set is stored") }
      ends.append(UInt32(members.count))
    }
    self.texts = texts
    self.members = members
    self.ends = ends
    made = Mutex(Array(repeating: nil, count: setCount))
  }

  /// Gives the bytes of each name and value of a set where they lie.
  @inline(__always)
  func forEach<Failure: Error>(
    of place: Int, in blocks: borrowing ByteBuffer,
    _ body: (_ name: RawSpan, _ value: RawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    var member = place == 0 ? 0 : Int(ends[place - 1])
    let end = Int(ends[place])
    while member < end {
      let (name, value) = (texts[Int(members[member])], texts[Int(members[member + 1])])
      // SAFETY: the spans are valid while the buffer is borrowed, and cannot outlive the calls.
      try unsafe body(
        RawSpan(_unsafeBytes: blocks.unsafeBytes(name)),
        RawSpan(_unsafeBytes: blocks.unsafeBytes(value)))
      member += 2
    }
  }

  /// A set by its place; made at its first use.
  func set(_ place: Int, in blocks: borrowing ByteBuffer) -> Properties {
    if let known = made.withLock({ $0[place] }) { return known }
    let range = (place == 0 ? 0 : Int(ends[place - 1]))..<Int(ends[place])
    var flat: [UInt8] = []
    flat.reserveCapacity(range.reduce(0) { $0 + 4 + texts[Int(members[$1])].count })
    for index in range {
      let text = texts[Int(members[index])]
      Properties.append(count: text.count, to: &flat)
      // SAFETY: the bytes are copied while the buffer is borrowed.
      unsafe flat.append(contentsOf: blocks.unsafeBytes(text))
    }
    let fresh = Properties(trusted: flat, count: range.count / 2)
    return made.withLock { made in
      if let known = made[place] { return known }
      made[place] = fresh
      return fresh
    }
  }
}
