internal import EventModel
internal import LogFormat

/// An event as a model remembers it: everything else of it follows from these.
struct ModelEvent: Hashable, Sendable {
  let serial: UInt64
  let device: Int
  let size: Int
  let time: Int64

  /// Devices that send, and one more that never does.
  static let deviceCount = 12
  static let devices = (0...deviceCount).map { DeviceID(stringLiteral: "device-\($0)") }

  private static let propertySets: [Properties] = [
    .empty, ["site": "north"], ["site": "south", "kind": "test"],
  ]

  private var properties: Properties { Self.propertySets[Int(serial % 3)] }

  private var userID: String? { serial % 4 == 0 ? "user-\(serial % 3)" : nil }

  /// The serial number, then bytes that compress or do not.
  private var body: [UInt8] {
    var body = (0..<8).map { UInt8(truncatingIfNeeded: serial >> (8 * $0)) }
    if serial % 2 == 0 {
      body += Array(repeating: UInt8(truncatingIfNeeded: serial), count: size)
    } else {
      var value = serial &* 0x9e37_79b9_7f4a_7c15 | 1
      for _ in 0..<size {
        value ^= value << 13
        value ^= value >> 7
        value ^= value << 17
        body.append(UInt8(truncatingIfNeeded: value >> 32))
      }
    }
    return body
  }

  func append(to batch: BatchEncoder) {
    let body = body
    // SAFETY: bytes have no padding; the array is alive for the call.
    unsafe batch.append(
      from: Self.devices[device], body: body.span.bytes, properties: properties, at: time)
    if let userID {
      var system = SystemProperties()
      system[.userID] = userID
      batch.setSystemProperties(system)
    }
  }

  /// What a stored event differs in from this one; nil when it is the same.
  func difference(from batch: DecodedBatch, at index: Int) -> String? {
    let found = batch.withBody(at: index) { body in
      // SAFETY: the span is valid for the closure and the array copies it.
      unsafe body.withUnsafeBytes { unsafe Array($0) }
    }
    guard found == body else { return "a body of \(found.count) bytes, not \(body.count)" }
    let isSameDevice = batch.withDeviceID(at: index) { id in
      unsafe id.withUnsafeBytes { unsafe $0.elementsEqual(Self.devices[device].utf8) }
    }
    guard isSameDevice else { return "another device" }
    let foundTime = batch.time(at: index).microseconds
    guard foundTime == time else { return "the time \(foundTime), not \(time)" }
    guard batch.properties(at: index) == properties else { return "other properties" }
    guard batch.text(.userID, at: index) == userID else { return "another user" }
    return nil
  }
}
