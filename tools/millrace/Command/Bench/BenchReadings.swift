import Millrace
import MillraceTesting

/// Readings of a simulated fleet, held in memory before any clock starts.
struct BenchReadings: Sendable {
  static let deviceCount = 10_000

  let devices: [DeviceID]
  private let properties: [Properties]
  /// Of each reading: its device, its time, and where its body ends.
  private var senders: [Int] = []
  private(set) var times: [Timestamp] = []
  private var ends: [Int] = []
  /// All bodies, one behind the other.
  private(set) var bodies: [UInt8] = []

  init(count: Int) {
    var fleet = SimulatedFleet(deviceCount: Self.deviceCount, seed: 42)
    var body: [UInt8] = []
    for _ in 0..<count {
      senders.append(fleet.next(into: &body))
      times.append(fleet.time)
      bodies += body
      ends.append(bodies.count)
    }
    devices = fleet.devices
    properties = fleet.properties
  }

  var count: Int { ends.count }

  /// Mean bytes of a reading: its device id, its properties and its body.
  var meanSize: Int {
    let heads = senders.reduce(0) { $0 + devices[$1].size + properties[$1].size }
    return (heads + bodies.count) / max(1, count)
  }

  /// Appends one reading.
  func append(_ index: Int, to appender: inout EventAppender) throws(EventStoreError) {
    let sender = senders[index]
    // SAFETY: bytes have no padding; the array is not changed while it is looked at.
    let bytes = unsafe bodies.span.bytes
    try appender.append(
      from: devices[sender],
      body: bytes.extracting((index == 0 ? 0 : ends[index - 1])..<ends[index]),
      properties: properties[sender], enqueuedTime: times[index])
  }
}
