import Millrace
import MillraceTesting

/// Readings of a fleet, held in memory before any clock starts.
struct Corpus {
  let fleet: SimulatedFleet
  /// All bodies, one behind the other.
  private(set) var bytes: [UInt8] = []
  private(set) var ends: [Int] = []
  private(set) var devices: [Int] = []
  private(set) var times: [Timestamp] = []
  /// Each device's properties as a bare record holds them.
  let flatProperties: [[UInt8]]
  let ids: [[UInt8]]

  init(count: Int, deviceCount: Int = 10_000, seed: UInt64 = 20_250_601) {
    var fleet = SimulatedFleet(deviceCount: deviceCount, seed: seed)
    var body: [UInt8] = []
    bytes.reserveCapacity(count * 200)
    for _ in 0..<count {
      devices.append(fleet.next(into: &body))
      bytes += body
      ends.append(bytes.count)
      times.append(fleet.time)
    }
    self.fleet = fleet
    ids = fleet.devices.map { Array($0.description.utf8) }
    flatProperties = fleet.properties.map { properties in
      properties.flatMap { name, value in
        [UInt8(name.utf8.count)] + name.utf8 + [UInt8(value.utf8.count)] + value.utf8
      }
    }
  }

  var count: Int { ends.count }

  @inline(__always)
  func range(_ index: Int) -> Range<Int> { (index == 0 ? 0 : ends[index - 1])..<ends[index] }

  /// Mean bytes of a record with id, properties and body.
  var meanSize: Int {
    let extra = devices.reduce(0) { $0 + ids[$1].count + flatProperties[$1].count + 3 }
    return (bytes.count + extra) / max(1, count)
  }
}
