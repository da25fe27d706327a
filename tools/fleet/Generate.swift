import ArgumentParser
import CommandSupport
import MillraceTesting

/// Prints readings as NDJSON, the same ones for the same seed.
struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Prints readings, one JSON object a line, with the device under \"device\".",
    discussion: "Example: fleet generate --events 1000000 --seed 7 > readings.ndjson")

  @Option(help: "The number of readings.") var events = 1_000_000
  @Option(help: "The number of devices.") var devices = 10_000
  @Option(help: "Decides every value.") var seed: UInt64 = 42

  func run() throws {
    var fleet = SimulatedFleet(deviceCount: devices, seed: seed)
    let heads = fleet.devices.map { Array("{\"device\":\"\($0)\",".utf8) }
    var output = StandardOutput()
    var body: [UInt8] = []
    for _ in 0..<events {
      let device = fleet.next(into: &body)
      output.append { line in
        line += heads[device]
        line += body.dropFirst()
        line.append(UInt8(ascii: "\n"))
      }
      try output.flushIfFull()
    }
    try output.flush()
  }
}
