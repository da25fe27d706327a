import AllocationCount
import BareLoop
import Foundation
import Millrace

/// Measures the store through its public API beside a loop without an engine, alternating in one
/// run, and prints medians of the ratios.
@main
struct Ratios {
  var eventCount = 1_000_000
  var runs = 5
  var directory = FileManager.default.temporaryDirectory
    .appendingPathComponent("millrace-ratios-\(ProcessInfo.processInfo.processIdentifier)").path
  /// One, as the loop beside it has one file; more cost a sync each where groups are durable.
  var partitionCount = 1
  /// What to measure; everything when empty.
  var only: [String] = []

  static func main() async throws {
    var ratios = Self()
    var arguments = CommandLine.arguments.dropFirst()
    while let option = arguments.popFirst() {
      switch option {
      case "--events": ratios.eventCount = Int(arguments.popFirst() ?? "") ?? ratios.eventCount
      case "--runs": ratios.runs = Int(arguments.popFirst() ?? "") ?? ratios.runs
      case "--partitions":
        ratios.partitionCount = Int(arguments.popFirst() ?? "") ?? ratios.partitionCount
      case "--only":
        ratios.only += (arguments.popFirst() ?? "").split(separator: ",").map(String.init)
      default:
        print("usage: ratios [--events N] [--runs N] [--partitions N] [--only NAME,…]")
        return
      }
    }
    try await ratios.run()
  }

  private func run() async throws {
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let corpus = Corpus(count: eventCount)
    note("\(eventCount) events of \(corpus.meanSize) bytes, \(partitionCount) partitions, LZ4")
    var results: [Measure] = []
    for scenario in scenarios where only.isEmpty || only.contains(scenario.name) {
      results.append(try await measure(scenario, corpus))
    }
    let counts = only.isEmpty || only.contains("allocations")
    report(results, allocations: counts ? try await steadyAllocations(corpus) : "")
  }

  /// What is measured, what it is held to, and the loop beside it.
  private var scenarios: [Scenario] {
    [
      Scenario(name: "append.borrowed", needs: 0.7, engine: appendBorrowed, bare: bareAppend),
      Scenario(name: "append.owned", needs: 0.5, engine: appendOwned, bare: bareAppend),
      Scenario(
        name: "append.durable.1000", needs: 0.6, engine: appendDurable, bare: bareDurable),
      Scenario(name: "replay", needs: 0.5, engine: replay, bare: bareReplay),
    ]
  }

  struct Scenario {
    let name: String
    let needs: Double
    let engine: (Corpus) async throws -> Double
    let bare: (Corpus) throws -> Double
  }

  struct Measure {
    let name: String
    let needs: Double
    let engine: [Double]
    let bare: [Double]

    var ratio: Double { zip(engine, bare).map { $0 / $1 }.median }
  }

  /// Events a second of both, alternating.
  private func measure(_ scenario: Scenario, _ corpus: Corpus) async throws -> Measure {
    var rates: [Double] = []
    var bareRates: [Double] = []
    for _ in 0..<runs {
      bareRates.append(try scenario.bare(corpus))
      rates.append(try await scenario.engine(corpus))
    }
    return Measure(
      name: scenario.name, needs: scenario.needs, engine: rates, bare: bareRates)
  }

  private func report(_ results: [Measure], allocations: String) {
    for result in results {
      let line =
        "\(result.name.padding(toLength: 20, withPad: " ", startingAt: 0)) "
        + "engine \(Int(result.engine.median / 1_000))k/s  "
        + "bare \(Int(result.bare.median / 1_000))k/s"
        + "  ratio \(String(format: "%.2f", result.ratio)) (needed \(result.needs))"
      print(line)
    }
    print(allocations)
  }

  func note(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
}

extension [Double] {
  var median: Double {
    let sorted = sorted()
    return isEmpty ? 0 : (sorted[(count - 1) / 2] + sorted[count / 2]) / 2
  }
}
