import Foundation
import Millrace

/// Messages of 500 bytes to many devices, made before any clock starts.
struct Mail {
  let devices: [DeviceID]
  /// The devices in another order, fixed.
  let order: [Int]
  let messages: [DeviceMessage]
  let bodies: [[UInt8]]

  static let bodySize = 500
  /// Messages to each device, and in each group.
  static let roundCount = 5
  static let groupSize = 100

  init(deviceCount: Int) {
    devices = Self.devices(deviceCount)
    var random = SplitMix(state: 20_250_601)
    order = Array(0..<deviceCount).shuffled(using: &random)
    // Bytes that no codec makes smaller: the loop beside, which compresses, writes as many.
    bodies = (0..<1_000).map { _ in
      (0..<Self.bodySize).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }
    messages = bodies.map { DeviceMessage(body: Payload($0)) }
  }

  static func devices(_ count: Int) -> [DeviceID] {
    (0..<count).map { DeviceID(stringLiteral: "sensor-" + String(format: "%05d", $0)) }
  }

  /// Groups of messages, each round over every device.
  var groups: [[(DeviceID, DeviceMessage)]] {
    let all = (0..<Self.roundCount).flatMap { _ in order }
    return stride(from: 0, to: all.count, by: Self.groupSize).map { start in
      (start..<min(start + Self.groupSize, all.count)).map {
        (devices[all[$0]], messages[$0 % messages.count])
      }
    }
  }

  /// Devices in the order in which they come for their messages, as many at a time as have a
  /// group's worth of them.
  var visits: [[DeviceID]] {
    let reversed = order.reversed().map { devices[$0] }
    let size = Self.groupSize / Self.roundCount
    return stride(from: 0, to: reversed.count, by: size).map {
      Array(reversed[$0..<min($0 + size, reversed.count)])
    }
  }
}

struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }
}
