import ArgumentParser
import CommandSupport
import Foundation
import Glibc
import SystemPackage

/// Measures the store on this machine.
struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure the store on this machine, beside what its disk and processor allow.",
    discussion: """
      Makes its own readings and its own stores, in a folder of its own below TMPDIR that it \
      removes. What else runs on the machine, or reads and writes that disk, is measured too.

      Examples:
        millrace bench --quick
        TMPDIR=/mnt/data millrace bench --json
      """)

  @Flag(help: "Fewer events and one run: a few seconds.")
  var quick = false

  @Flag(help: "Print one JSON document.")
  var json = false

  func run() async throws {
    let scale = quick ? BenchScale.quick : .whole
    let folder = try Self.makeFolder()
    try Interruption.watch {
      Self.remove(folder)
      Glibc.exit(130)
    }
    defer { Self.remove(folder) }
    let readings = BenchReadings(count: scale.eventCount)
    let limits = try await OwnThread.run {
      try BenchLimits(
        readings.bodies, file: FilePath(folder).appending("limits"), scale: scale)
    }
    let workloads = BenchWorkloads(readings: readings, scale: scale, folder: folder)
    var runs: [[BenchWork: BenchWorkloads.Sample]] = []
    var progress = Progress("measuring", unit: "runs", total: scale.runCount, isQuiet: false)
    for run in 0..<scale.runCount {
      progress.update(run)
      runs.append(try await workloads.samples(run: run))
    }
    progress.finish()
    let report = BenchReport(
      readings: readings, scale: scale, folder: folder, limits: limits, runs: runs)
    var output = StandardOutput()
    if json { try output.write(report.json.line) } else { try output.write(report.text.utf8) }
    try output.flush()
  }

  private static func makeFolder() throws(CommandFailure) -> String {
    let folder = FileManager.default.temporaryDirectory
      .appending(path: "millrace-bench-\(getpid())").path
    do {
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: false)
    } catch {
      throw CommandFailure("cannot make \(folder): \(error); set TMPDIR to a folder of yours")
    }
    return folder
  }

  private static func remove(_ folder: String) {
    do {
      try FileManager.default.removeItem(atPath: folder)
    } catch {
      StandardError.notice("\(folder) is left behind: \(error)")
    }
  }
}

/// What a measurement says in the end.
struct BenchReport {
  private let facts: JSONValue
  private let title: String
  private let limits: [BenchFigure]
  private let figures: [BenchFigure]

  init(
    readings: BenchReadings, scale: BenchScale, folder: String, limits: BenchLimits,
    runs: [[BenchWork: BenchWorkloads.Sample]]
  ) {
    let size = readings.meanSize
    facts = [
      "events": .integer(scale.eventCount), "eventSize": .integer(size),
      "devices": .integer(BenchReadings.deviceCount), "runs": .integer(scale.runCount),
      "folder": .string(folder),
    ]
    title = """
      \(BenchFigure.grouped(Double(scale.eventCount))) events of \(size) bytes from \
      \(BenchFigure.grouped(Double(BenchReadings.deviceCount))) devices, LZ4, one partition, one \
      thread; medians of \(scale.runCount); in \(folder)

      """
    self.limits = limits.figures
    figures = BenchWork.allCases.compactMap { work in
      let samples = runs.compactMap { $0[work] }
      guard !samples.isEmpty else { return nil }
      return BenchFigure(
        name: work.rawValue, label: work.label, unit: work.unit,
        rate: samples.map(\.rate).sorted()[samples.count / 2],
        latencies: samples.flatMap(\.latencies).sorted(),
        allowed: work.allowed(by: limits, eventSize: size))
    }
  }

  var json: JSONValue {
    var document = facts
    document.append("limits", .array(limits.map(\.json)))
    document.append("figures", .array(figures.map(\.json)))
    return document
  }

  var text: String {
    var table = TextTable([
      ("", .left), ("RATE", .right), ("P50 µs", .right), ("P99 µs", .right), ("ALLOWED", .right),
      ("BY", .left),
    ])
    for figure in figures { table.append(figure.cells) }
    var machine = TextTable([("THIS MACHINE", .left), ("RATE", .right)])
    for limit in limits { machine.append(Array(limit.cells.prefix(2))) }
    return "\(title)\n\(table.text)\n\(machine.text)"
  }
}

extension BenchLimits {
  fileprivate var figures: [BenchFigure] {
    func bytes(_ name: String, _ label: String, _ rate: Double) -> BenchFigure {
      BenchFigure(name: name, label: label, unit: "bytes", rate: rate)
    }
    return [
      bytes("memoryCopy", "copying memory, in the cache", memoryCopy),
      bytes("checksum", "CRC32C", checksum),
      bytes("compression", "LZ4, bytes compressed", compression),
      bytes("decompression", "LZ4, bytes decompressed", decompression),
      bytes("sequentialWrite", "writing one file, synced once", sequentialWrite),
      BenchFigure(
        name: "syncs", label: "writing and syncing 4 KiB each", unit: "syncs", rate: syncs),
    ]
  }
}
