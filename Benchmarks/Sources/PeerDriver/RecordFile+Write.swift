import Foundation
import Millrace
import MillraceTesting

extension RecordFile {
  /// Writes the readings of a simulated fleet as a corpus: the same ones each time.
  static func write(_ path: String, count: Int, deviceCount: Int) throws {
    guard FileManager.default.createFile(atPath: path, contents: nil) else {
      throw POSIXError(.EACCES)
    }
    let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    var fleet = SimulatedFleet(deviceCount: deviceCount, seed: 20_250_601)
    let heads = (0..<deviceCount).map { head(fleet.devices[$0], fleet.properties[$0]) }
    var body: [UInt8] = []
    var bytes: [UInt8] = []
    for _ in 0..<count {
      let head = heads[fleet.next(into: &body)]
      withUnsafeBytes(of: UInt32(head.count + body.count).littleEndian) { bytes += $0 }
      withUnsafeBytes(of: fleet.time.microseconds.littleEndian) { bytes += $0 }
      bytes += head
      bytes += body
      guard bytes.count > 1 << 20 else { continue }
      try file.write(contentsOf: bytes)
      bytes.removeAll(keepingCapacity: true)
    }
    try file.write(contentsOf: bytes)
    try file.close()
  }

  /// What stands before the body: the device's id and the properties.
  private static func head(_ device: DeviceID, _ properties: Properties) -> [UInt8] {
    let texts = properties.flatMap { name, value in
      [UInt8(name.utf8.count)] + name.utf8 + [UInt8(value.utf8.count)] + value.utf8
    }
    let id = Array(device.description.utf8)
    let size = [UInt8(texts.count & 0xff), UInt8(texts.count >> 8)]
    return [UInt8(id.count)] + id + size + texts
  }
}
