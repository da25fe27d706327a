import Foundation
import Millrace

/// Runs one workload in one store and prints one line of JSON: called by a harness as it calls the
/// engines it measures.
@main
struct PeerDriver {
  static let usage = """
    usage: PeerDriver NAME w1 DIR CORPUS N BATCH none|batch [KILL_AT]
           PeerDriver NAME w2|w3|w5 DIR CORPUS N
           PeerDriver NAME w4 DIR
      NAME   millrace (LZ4), millrace-zstd or millrace-none
      w1     append N events in groups of BATCH, each on disk before the next (batch) or all at
             the end (none); with KILL_AT die after so many
      w2     replay, w3  seek and read 100, w4  messages to devices, w5  open what a kill left

    """

  let directory: String
  let configuration: EventStore.Configuration

  static func main() async throws {
    var words = CommandLine.arguments.dropFirst()
    guard words.count >= 3, let codec = codec(words.removeFirst()) else { fail(usage) }
    let workload = words.removeFirst()
    let driver = PeerDriver(
      directory: words.removeFirst(),
      // One partition: a total order, as its peers keep.
      configuration: .init(partitionCount: 1, compression: codec))
    let rest = Array(words)
    let count = rest.count > 1 ? Int(rest[1]) ?? 0 : 0
    switch (workload, rest.count) {
    case ("w1", 4...5):
      guard let size = Int(rest[2]), size > 0, ["none", "batch"].contains(rest[3]) else {
        fail(usage)
      }
      let records = try RecordFile(rest[0], limit: count)
      try await driver.append(
        records, groupSize: size, syncsGroups: rest[3] == "batch",
        killAt: rest.count == 5 ? Int(rest[4]) : nil)
    case ("w2", 2): try await driver.replay(rest[0], count: count)
    case ("w3", 2): try await driver.seek(rest[0], count: count)
    case ("w4", 0): try await driver.queues()
    case ("w5", 2): try await driver.recover(rest[0], count: count)
    default: fail(usage)
    }
  }

  private static func codec(_ name: String) -> CompressionCodec? {
    ["millrace": .lz4, "millrace-zstd": .zstd, "millrace-none": .none][name]
  }

  static func fail(_ text: String) -> Never {
    FileHandle.standardError.write(Data(text.utf8))
    exit(64)
  }

  func open(_ access: EventStore.Access) async throws -> EventStore {
    try await EventStore.open(at: directory, configuration: configuration, access: access)
  }
}

/// Ends the program where what was measured is not what was asked for.
func check(_ holds: Bool, _ problem: @autoclosure () -> String) {
  guard holds else {
    FileHandle.standardError.write(Data("wrong result: \(problem())\n".utf8))
    exit(2)
  }
}
