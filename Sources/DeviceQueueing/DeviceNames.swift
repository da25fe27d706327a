internal import EventModel

/// The ids of devices with pending messages, in places of a multiple of 16 bytes.
struct DeviceNames: ~Copyable, Sendable {
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
    var pieces: [[UInt8]] = []
    var free: [UInt32] = []
    var next: UInt32 = 0
  }

  private var classes = [Class](repeating: Class(), count: classCount)

  mutating func insert(_ device: DeviceID) -> Place {
    let bytes = device.utf8
    let number = Self.number(bytes.count)
    let stride = (number + 1) * Self.unit
    let index = takeIndex(number, stride: stride)
    let (piece, start) = Self.position(index, stride)
    for (offset, byte) in bytes.enumerated() {
      classes[number].pieces[piece][start + offset] = byte
    }
    return Place(index: index, size: UInt8(bytes.count))
  }

  private mutating func takeIndex(_ number: Int, stride: Int) -> UInt32 {
    if let index = classes[number].free.popLast() { return index }
    let index = classes[number].next
    classes[number].next += 1
    if Int(index) / Self.pieceCount == classes[number].pieces.count {
      classes[number].pieces.append([UInt8](repeating: 0, count: Self.pieceCount * stride))
    }
    return index
  }

  mutating func remove(_ place: Place) {
    classes[Self.number(Int(place.size))].free.append(place.index)
  }

  func isEqual(_ place: Place, to device: borrowing DeviceID) -> Bool {
    let size = Int(place.size)
    guard size == device.size else { return false }
    let number = Self.number(size)
    let (piece, start) = Self.position(place.index, (number + 1) * Self.unit)
    let bytes = device.utf8
    for offset in 0..<size
    where classes[number].pieces[piece][start + offset] != bytes[offset] {
      return false
    }
    return true
  }

  func device(at place: Place) -> DeviceID {
    let size = Int(place.size)
    let number = Self.number(size)
    let (piece, start) = Self.position(place.index, (number + 1) * Self.unit)
    let bytes = Array(classes[number].pieces[piece][start..<start + size])
    // SAFETY: bytes have no padding.
    return unsafe DeviceID(trusted: bytes.span.bytes)
  }

  private static func number(_ size: Int) -> Int { (size - 1) / unit }

  private static func position(_ index: UInt32, _ stride: Int) -> (piece: Int, start: Int) {
    (Int(index) / pieceCount, Int(index) % pieceCount * stride)
  }
}
