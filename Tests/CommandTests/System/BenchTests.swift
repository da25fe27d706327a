import Foundation
import Testing

@Suite("bench")
struct BenchTests {
  private struct Document: Decodable {
    struct Figure: Decodable {
      let name: String
      let rate: Double
      let unit: String
      let p50Microseconds: Double?
      let p99Microseconds: Double?
      let allowedRate: Double?
    }

    let events: Int
    let eventSize: Int
    let runs: Int
    let folder: String
    let limits: [Figure]
    let figures: [Figure]
  }

  @Test("A quick run measures every workload and limit, and leaves nothing behind")
  func quick() throws {
    let scratch = try Scratch()
    let outcome = try Executable.succeed(["bench", "--quick", "--json"], scratch: scratch)
    let document = try outcome.document(Document.self)
    #expect(document.events == 100_000)
    #expect((200..<260).contains(document.eventSize))
    #expect(document.runs == 1)
    #expect(
      document.figures.map(\.name) == [
        "append", "durableGroups", "durableAppend", "replay", "seek", "enqueueGroups", "enqueue",
        "complete",
      ])
    #expect(
      document.limits.map(\.name) == [
        "memoryCopy", "checksum", "compression", "decompression", "sequentialWrite", "syncs",
      ])
    for figure in document.figures + document.limits {
      #expect(figure.rate > 0, "\(figure.name)")
      if let median = figure.p50Microseconds, let late = figure.p99Microseconds {
        #expect(median <= late, "\(figure.name)")
      }
    }
    #expect(!FileManager.default.fileExists(atPath: document.folder))
    #expect(outcome.errors == "")
  }

  @Test("For people it prints a table with what the machine allows beside each rate")
  func table() throws {
    let scratch = try Scratch()
    let outcome = try Executable.succeed(["bench", "--quick"], scratch: scratch)
    for words in ["append, a sync each", "replay", "LZ4 on one core", "CRC32C", "syncs/s"] {
      #expect(outcome.lines.contains { $0.contains(words) }, "\(words)")
    }
  }

  @Test("It takes no store: its stores are its own")
  func refusal() throws {
    let scratch = try Scratch()
    let outcome = try Executable.run(["bench", "store"], scratch: scratch)
    #expect(outcome.status == 64)
    #expect(outcome.errors.contains("store"))
  }
}
