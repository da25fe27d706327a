package import EventModel

/// The devices that a reader asks for.
package struct DeviceFilter: Hashable, Sendable {
  package let devices: Set<DeviceID>
  /// The ids' bytes, ascending, as a batch's device set has them.
  private let ids: [[UInt8]]

  package init(_ devices: Set<DeviceID>) {
    self.devices = devices
    ids = devices.map { Array($0.description.utf8) }
      .sorted { $0.lexicographicallyPrecedes($1) }
  }

  /// Whether a batch holds events of any of the devices: its device set says so, nothing is
  /// decompressed.
  package func matches(_ clear: RawSpan, _ header: FrameHeader) throws(FormatError) -> Bool {
    let section = try BatchClearSection(decoding: clear, header: header)
    var all = ByteBuffer(capacity: 8 << 10)
    let starts = try [UInt32](capacity: section.deviceCount + 1) { (starts) throws(FormatError) in
      starts.append(0)
      try BatchClearSection.decodeDevices(
        clear, count: section.deviceCount, into: &all, ends: &starts)
    }
    return !places(in: all, starts).isEmpty
  }

  /// The places of the devices in a device set: both are sorted, so they are walked together.
  ///
  /// - Parameters:
  ///   - all: the set's ids one behind the other.
  ///   - starts: where each begins, and where the last one ends.
  /// - Returns: the places, ascending.
  func places(in all: borrowing ByteBuffer, _ starts: [UInt32]) -> [Int] {
    guard var wanted = ids.first else { return [] }
    var places: [Int] = []
    var next = 1
    for place in starts.indices.dropLast() {
      let range = Int(starts[place])..<Int(starts[place + 1])
      while true {
        let (isSame, isBehind) = all.withBytes(range) { id -> (Bool, Bool) in
          // SAFETY: bytes have no padding; the array is a local copy.
          let own = unsafe wanted.span.bytes
          return (id.hasSameBytes(as: own), own.precedes(id))
        }
        if isSame { places.append(place) }
        guard isSame || isBehind else { break }
        guard next < ids.count else { return places }
        wanted = ids[next]
        next += 1
        if isSame { break }
      }
    }
    return places
  }
}
