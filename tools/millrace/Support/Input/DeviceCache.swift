import EventModel

/// Device ids that were made before, by their bytes.
///
/// Lines name few devices again and again. An id taken from here costs no allocation, and the
/// store recognises it by identity.
struct DeviceCache: Sendable {
  private static let slotCount = 1_024

  /// Each name has one slot; a different name of the same slot takes it over.
  private var slots: [DeviceID?] = Array(repeating: nil, count: slotCount)

  /// The id with these bytes.
  mutating func device(_ name: Span<UInt8>) throws(InvalidIdentifier) -> DeviceID {
    // FNV-1a; it need not be the hash of the id, whose making is what is saved here.
    var state: UInt64 = 0xcbf2_9ce4_8422_2325
    for index in name.indices {
      state = (state ^ UInt64(name[index])) &* 0x0000_0100_0000_01b3
    }
    let slot = Int(truncatingIfNeeded: (state ^ state >> 32) % UInt64(Self.slotCount))
    if let known = slots[slot], Self.isEqual(known.utf8.span, name) { return known }
    let made = try DeviceID(utf8: name)
    slots[slot] = made
    return made
  }

  private static func isEqual(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Bool {
    guard left.count == right.count else { return false }
    for index in left.indices where left[index] != right[index] { return false }
    return true
  }
}
