import BareLoop
import Foundation
import Millrace

/// Measures what commands to devices cost, beside a journal loop without an engine and the raw rate
/// of synced writes, alternating in one run; prints medians and ratios.
@main
struct Queues {
  var deviceCount = 10_000
  var runs = 5
  /// What to measure; everything when empty.
  var only: [String] = []
  var json: String?
  let directory = FileManager.default.temporaryDirectory
    .appendingPathComponent("millrace-queues-\(ProcessInfo.processInfo.processIdentifier)").path

  static func main() async throws {
    var queues = Self()
    var arguments = CommandLine.arguments.dropFirst()
    while let option = arguments.popFirst() {
      let value = arguments.popFirst() ?? ""
      switch option {
      case "--devices": queues.deviceCount = Int(value) ?? queues.deviceCount
      case "--runs": queues.runs = Int(value) ?? queues.runs
      case "--only": queues.only += value.split(separator: ",").map(String.init)
      case "--json": queues.json = value
      case "--reopen": return try await Self.reopen(value)
      default:
        print("usage: queues [--devices N] [--runs N] [--only NAME,…] [--json FILE]")
        return
      }
    }
    try await queues.run()
  }

  private func run() async throws {
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let mail = Mail(deviceCount: deviceCount)
    let scenarios: [(String, (Mail) async throws -> [Figure])] = [
      ("groups", groups), ("singles", singles), ("clients", clients), ("million", million),
      ("space", space), ("filing", filing),
    ]
    var figures: [Figure] = []
    for (name, measure) in scenarios where only.isEmpty || only.contains(name) {
      for figure in try await measure(mail) {
        print(figure)
        figures.append(figure)
      }
    }
    guard let json else { return }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    try encoder.encode(figures).write(to: URL(fileURLWithPath: json))
  }

  /// A fresh store.
  func openStore(_ name: String) async throws -> EventStore {
    let path = directory + "/" + name
    try? FileManager.default.removeItem(atPath: path)
    sync()
    return try await EventStore.open(
      at: path,
      configuration: .init(partitionCount: 1, queues: .init(timeToLive: .seconds(86_400))))
  }
}

/// What came out of one scenario, over all runs.
struct Figure: Encodable, CustomStringConvertible {
  let name: String
  let values: [Double]
  let unit: String
  /// The same without an engine, run for run.
  var bare: [Double] = []
  var needed: String

  var median: Double { values.median }
  var ratio: Double { zip(values, bare).map { $0 / $1 }.median }

  var description: String {
    let head = name.padding(toLength: 24, withPad: " ", startingAt: 0)
    guard !bare.isEmpty else { return "\(head) \(median.short) \(unit) (\(needed))" }
    return "\(head) \(median.short) \(unit), bare \(bare.median.short), ratio \(ratio.short) "
      + "(\(needed))"
  }
}

extension Double {
  var short: String { self >= 1_000 ? String(Int(self)) : String(format: "%.2f", self) }
}

extension [Double] {
  var median: Double {
    let sorted = sorted()
    return isEmpty ? 0 : (sorted[(count - 1) / 2] + sorted[count / 2]) / 2
  }
}

extension Duration {
  var inSeconds: Double { self / .seconds(1) }
}
