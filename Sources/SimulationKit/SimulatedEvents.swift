package import EventModel
package import LogFormat

/// The events of simulated workloads: each has a serial number, from which everything else follows,
/// so that a model needs to remember nothing but the numbers.
package enum SimulatedEvents {
  /// The body of an event: its serial number, then bytes that compress or do not.
  package static func body(_ serial: UInt64) -> [UInt8] {
    var random = SeededRandom(seed: serial &* 0x9e37_79b9)
    var body = Array("\(serial):".utf8)
    let size = random.below(3) == 0 ? random.below(400) : random.below(40)
    if random.chance(percent: 50) {
      body += random.bytes(size)
    } else {
      body += Array(repeating: UInt8(truncatingIfNeeded: serial), count: size)
    }
    return body
  }

  package static func device(_ serial: UInt64) -> DeviceID {
    DeviceID(stringLiteral: "device-\(serial % 5)")
  }

  private static let propertySets: [Properties] = [
    .empty, ["site": "north"], ["site": "south", "kind": "test"],
  ]

  package static func append(_ serial: UInt64, to batch: BatchEncoder, at time: Int64) {
    let body = body(serial)
    // SAFETY: bytes have no padding; the array is alive for the call.
    unsafe batch.append(
      from: device(serial), body: body.span.bytes, properties: propertySets[Int(serial % 3)],
      at: time)
  }

  /// The serial number of a stored event that is what it was when it was appended; nil otherwise.
  package static func serial(of batch: DecodedBatch, at index: Int) -> UInt64? {
    let bytes = batch.withBody(at: index) { body in
      // SAFETY: the span is valid for the closure and the array copies it.
      unsafe body.withUnsafeBytes { unsafe Array($0) }
    }
    guard let end = bytes.firstIndex(of: UInt8(ascii: ":")),
      let serial = UInt64(String(decoding: bytes[..<end], as: UTF8.self)),
      bytes == body(serial),
      batch.properties(at: index) == propertySets[Int(serial % 3)]
    else { return nil }
    let device = device(serial)
    let isSame = batch.withDeviceID(at: index) { id in
      unsafe id.withUnsafeBytes { unsafe $0.elementsEqual(device.utf8) }
    }
    return isSame ? serial : nil
  }
}
