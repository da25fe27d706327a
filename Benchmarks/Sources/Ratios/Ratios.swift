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
  var json = false
  var partitionCount = 4

  static func main() async throws {
    var ratios = Self()
    var arguments = CommandLine.arguments.dropFirst()
    while let option = arguments.popFirst() {
      switch option {
      case "--events": ratios.eventCount = Int(arguments.popFirst() ?? "") ?? ratios.eventCount
      case "--runs": ratios.runs = Int(arguments.popFirst() ?? "") ?? ratios.runs
      case "--partitions":
        ratios.partitionCount = Int(arguments.popFirst() ?? "") ?? ratios.partitionCount
      case "--json": ratios.json = true
      default:
        print("usage: ratios [--events N] [--runs N] [--partitions N] [--json]")
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
    results.append(
      try await measure("append.borrowed", needs: 0.7, corpus, appendBorrowed, bareAppend))
    results.append(try await measure("append.owned", needs: 0.5, corpus, appendOwned, bareAppend))
    results.append(
      try await measure("append.durable.1000", needs: 0.6, corpus, appendDurable, bareDurable))
    results.append(try await measure("replay", needs: 0.5, corpus, replay, bareReplay))
    let allocations = try await steadyAllocations(corpus)
    report(results, allocations: allocations)
  }

  struct Measure {
    let name: String
    let needs: Double
    let engine: [Double]
    let bare: [Double]

    var ratio: Double { zip(engine, bare).map { $0 / $1 }.median }
  }

  /// Events a second of both, alternating.
  private func measure(
    _ name: String, needs: Double, _ corpus: Corpus,
    _ engine: (Corpus) async throws -> Double, _ bare: (Corpus) throws -> Double
  ) async throws -> Measure {
    var rates: [Double] = []
    var bareRates: [Double] = []
    for _ in 0..<runs {
      bareRates.append(try bare(corpus))
      rates.append(try await engine(corpus))
    }
    return Measure(name: name, needs: needs, engine: rates, bare: bareRates)
  }

  private func report(_ results: [Measure], allocations: String) {
    for result in results {
      let line =
        "\(result.name.padding(toLength: 20, withPad: " ", startingAt: 0)) "
        + "engine \(Int(result.engine.median / 1_000))k/s  bare \(Int(result.bare.median / 1_000))k/s"
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
