import Foundation
import Testing

@Suite("Salvage by command")
struct SalvageTests {
  private let scratch: Scratch
  private let store: String

  init() throws {
    scratch = try Scratch()
    store = scratch.path("store")
    let lines = (0..<1_000).map {
      #"{"d":"d\#($0 % 7)","t":\#(1_700_000_000 + $0 / 3),"n":\#($0 &* 2_654_435_761)}"#
    }
    try Executable.succeed(
      [
        "ingest", store, "--format", "ndjson", "--device-field", "/d", "--time-field", "/t",
        "--partitions", "3", "--segment-size", "64KiB", "--batch-size", "4KiB",
      ], input: lines.joined(separator: "\n"), scratch: scratch)
  }

  private struct Summary: Decodable {
    let files, bytes, frames, events, duplicates, healed, left, damaged, refused: Int
    let unreadable: Int
    let seconds: Double
  }

  private func segments() throws -> [String] {
    let folder = store + "/partitions"
    return try FileManager.default.subpathsOfDirectory(atPath: folder)
      .filter { $0.hasSuffix(".segment") }.sorted().map { folder + "/" + $0 }
  }

  private func read(_ store: String) throws -> Data {
    try Executable.succeed(["read", store], scratch: scratch).output
  }

  @Test("A store is saved line by line as it was, and is one that fsck calls clean")
  func wholeStore() throws {
    let saved = scratch.path("saved")
    let outcome = try Executable.succeed(
      ["salvage", store, "--into", saved, "--json"], scratch: scratch)
    let summary = try outcome.document(Summary.self)
    #expect(summary.events == 1_000 && summary.duplicates == 0 && summary.damaged == 0)
    #expect(outcome.errors.isEmpty)
    #expect(try read(saved) == read(store))
    try Executable.succeed(["fsck", saved], scratch: scratch)

    let twice = scratch.path("twice")
    let text = try Executable.succeed(
      ["salvage", scratch.path("."), "--into", twice], scratch: scratch)
    #expect(text.lines.first?.contains("1000 events") == true, "\(text.lines)")
    #expect(text.lines.first?.contains("1000 duplicates left out") == true, "\(text.lines)")
    #expect(try read(twice) == read(store))
  }

  @Test("Damaged frames are told with status 2, and the rest is saved")
  func damagedSegment() throws {
    let segment = try #require(try segments().last)
    var bytes = try Data(contentsOf: URL(filePath: segment))
    bytes.replaceSubrange(0..<128, with: Data(count: 128))
    bytes[400..<440] = Data(repeating: 0xee, count: 40)
    let broken = try scratch.write(bytes, to: "broken")
    let saved = scratch.path("saved")
    let outcome = try Executable.run(
      ["salvage", broken, "--into", saved, "--json"], scratch: scratch)
    #expect(outcome.status == 2)
    #expect(outcome.errors.contains("1 damaged frames"), "\(outcome.errors)")
    let summary = try outcome.document(Summary.self)
    #expect(summary.events > 0 && summary.events < 1_000 && summary.damaged == 1)
    let whole = Set(try read(store).lines.map { String(decoding: $0, as: UTF8.self) }.map(content))
    let found = try read(saved).lines.map { String(decoding: $0, as: UTF8.self) }.map(content)
    #expect(found.count == summary.events && Set(found).isSubset(of: whole))
  }

  /// A line from the enqueued time on: what does not depend on the store.
  private func content(_ line: String) -> String {
    String(line[(line.range(of: #""enqueuedTime""#)?.lowerBound ?? line.startIndex)...])
  }

  @Test("Where nothing is found no store is made, and one that is there is not touched")
  func refusals() throws {
    let text = try scratch.write("MRF1 and other words".utf8, to: "text")
    let saved = scratch.path("saved")
    let nothing = try Executable.run(["salvage", text, "--into", saved], scratch: scratch)
    #expect(nothing.status == 1)
    #expect(nothing.errors.hasPrefix("millrace: error: \(text): no events found"))
    #expect(!FileManager.default.fileExists(atPath: saved))
    let before = try read(store)
    let there = try Executable.run(["salvage", store, "--into", store], scratch: scratch)
    #expect(there.status == 1 && there.errors.contains("is there already"), "\(there.errors)")
    #expect(try read(store) == before)
    let missing = try Executable.run(
      ["salvage", scratch.path("none"), "--into", saved], scratch: scratch)
    #expect(missing.status == 1 && missing.errors.contains("there is nothing at"))
    #expect(try Executable.run(["salvage", store], scratch: scratch).status == 64)
  }

  @Test("Links are looked through only where they are named")
  func links() throws {
    let files = FileManager.default
    let folder = scratch.path("links")
    try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try files.createSymbolicLink(atPath: folder + "/store", withDestinationPath: store)
    try files.createSymbolicLink(atPath: folder + "/loop", withDestinationPath: folder)
    try files.createSymbolicLink(atPath: folder + "/gone", withDestinationPath: "/nowhere")
    #expect(mkfifo(folder + "/pipe", 0o600) == 0)
    let nothing = try Executable.run(
      ["salvage", folder, "--into", scratch.path("none")], scratch: scratch)
    #expect(nothing.status == 1 && nothing.errors.contains("no events found in 0 bytes"))
    let saved = scratch.path("saved")
    try Executable.succeed(["salvage", folder + "/store", "--into", saved], scratch: scratch)
    #expect(try read(saved) == read(store))
    let pipe = try Executable.run(
      ["salvage", folder + "/pipe", "--into", scratch.path("none")], scratch: scratch)
    #expect(pipe.status == 1 && pipe.errors.contains("No such device or address"))
  }
}
