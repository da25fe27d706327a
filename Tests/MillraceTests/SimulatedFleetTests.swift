import Millrace
import MillraceTesting
import Testing

@Suite("The simulated fleet")
struct SimulatedFleetTests {
  /// Figures of different days can be compared only while the readings stay what they are.
  @Test("A seed gives the same readings for ever")
  func readings() {
    var fleet = SimulatedFleet(deviceCount: 10_000, seed: 20_250_601)
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    var body: [UInt8] = []
    var size = 0
    for _ in 0..<20_000 {
      let device = fleet.next(into: &body)
      let record = record(fleet.devices[device], fleet.properties[device], body)
      for byte in record { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
      hash = (hash ^ UInt64(fleet.time.microseconds)) &* 0x100_0000_01b3
      size += record.count
    }
    #expect(size == 4_715_325)
    #expect(hash == 0x7433_2424_ab80_bb3d)
  }

  @Test("A reading is JSON with the time at which it was made")
  func oneReading() {
    let leapDay = Timestamp(microseconds: 1_709_251_199_999_000)
    var fleet = SimulatedFleet(deviceCount: 1, seed: 7, start: leapDay)
    var body: [UInt8] = []
    _ = fleet.next(into: &body)
    let text = String(decoding: body, as: UTF8.self)
    #expect(text.hasPrefix(#"{"temperature":"#) && text.hasSuffix(#""}"#), "\(text)")
    #expect(text.contains(#""ts":"2024-02-29T23:59:59.999Z""#), "\(text)")
  }

  /// Sizes before device id, properties and each of their texts.
  private func record(_ device: DeviceID, _ properties: Properties, _ body: [UInt8]) -> [UInt8] {
    var flat: [UInt8] = []
    for (name, value) in properties {
      flat += [UInt8(name.utf8.count)] + name.utf8 + [UInt8(value.utf8.count)] + value.utf8
    }
    let id = Array(device.description.utf8)
    return [UInt8(id.count)] + id + [UInt8(flat.count & 255), UInt8(flat.count >> 8)] + flat + body
  }
}
