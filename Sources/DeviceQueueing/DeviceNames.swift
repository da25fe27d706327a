internal import EventModel

/// The ids of devices with pending messages, in places of a multiple of 16 bytes.
///
/// Memory of its own, as in ``Slab``.
// SAFETY, for every use below: the pieces are owned by the value alone and freed with it; a place
// that was given out lies in a piece of its size's class, which is looked up checked, and holds
// `size` bytes.
@safe
struct DeviceNames: ~Copyable, @unchecked Sendable {
  /// Where an id stands.
  struct Place {
    var index: UInt32
    var size: UInt8
  }

  private static var unit: Int { 16 }
  private static var classCount: Int { Limits.identifierSizeMax / unit }
  private static var pieceCount: Int { 1_024 }

  /// The places of one size.
  private struct Class {
    var free: [UInt32] = []
    /// The next place that was never given out, and the end of its piece.
    var next: UInt32 = 0
    var end: UInt32 = 0
  }

  private var classes = [Class](repeating: Class(), count: classCount)
  /// Each holds places of one size.
  private var pieces: [UnsafeMutableRawPointer] = unsafe []

  deinit { for index in unsafe pieces.indices { unsafe pieces[index].deallocate() } }

  mutating func insert(_ device: borrowing DeviceID) -> Place {
    let place = Place(
      index: takeIndex(Self.classNumber(device.size)), size: UInt8(device.size))
    let start = unsafe pointer(to: place)
    unsafe device.withUTF8 { id in
      for offset in 0..<id.count {
        unsafe start.storeBytes(of: id[offset], toByteOffset: offset, as: UInt8.self)
      }
    }
    return place
  }

  private mutating func takeIndex(_ number: Int) -> UInt32 {
    if let index = classes[number].free.popLast() { return index }
    if classes[number].next == classes[number].end {
      let first = unsafe pieces.count * Self.pieceCount
      classes[number].next = UInt32(first)
      classes[number].end = classes[number].next + UInt32(Self.pieceCount)
      unsafe pieces.append(
        .allocate(byteCount: Self.pieceCount * (number + 1) * Self.unit, alignment: Self.unit))
    }
    classes[number].next += 1
    return classes[number].next - 1
  }

  mutating func remove(_ place: Place) {
    classes[Self.classNumber(Int(place.size))].free.append(place.index)
  }

  func isEqual(_ place: Place, to device: borrowing DeviceID) -> Bool {
    unsafe device.hasBytes(RawSpan(_unsafeBytes: bytes(at: place)))
  }

  func device(at place: Place) -> DeviceID {
    unsafe DeviceID(trusted: RawSpan(_unsafeBytes: bytes(at: place)))
  }

  private func bytes(at place: Place) -> UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: pointer(to: place), count: Int(place.size))
  }

  private static func classNumber(_ size: Int) -> Int { (size - 1) / unit }

  @inline(__always)
  private func pointer(to place: Place) -> UnsafeMutableRawPointer {
    let (piece, offset) = Int(place.index).quotientAndRemainder(dividingBy: Self.pieceCount)
    return unsafe pieces[piece] + offset * (Self.classNumber(Int(place.size)) + 1) * Self.unit
  }
}
