import Foundation
import Glibc
import Testing

@Suite("A consumer that is killed")
struct KilledConsumerTests {
  private static let partitions = 0..<3

  private let scratch: Scratch
  private let store: String

  init() throws {
    scratch = try Scratch()
    store = scratch.path("store")
  }

  private func consume(_ arguments: String...) throws -> Executable {
    try Executable(
      ["read", store, "--group", "billing", "--commit"] + arguments, scratch: scratch)
  }

  /// Reads some of what a consumer prints, kills it, and returns the whole lines.
  private func kill(
    _ consumer: Executable, atMost waiting: Int, _ random: inout SeededRandom
  ) throws -> [StoredEvent] {
    var printed = Data()
    let wanted = Int.random(in: 0...waiting, using: &random)
    while printed.lineEnds.count < wanted { printed += try consumer.receive() }
    consumer.send(signal: SIGKILL)
    printed += try consumer.finish().output
    let whole = Data(printed.prefix((printed.lastIndex(of: 0x0a) ?? -1) + 1))
    return try Executable.Outcome(status: 0, output: whole, errors: "").events
  }

  @Test("Nothing is committed that was not printed, and every acknowledged event is printed")
  func delivered() throws {
    var random = KillPlan.random("KilledConsumerTests")
    let writer = try KilledWriter(at: store, scratch)
    try Executable.succeed(["groups", "create", store, "billing"], scratch: scratch)
    // The ledgers: what the writers' acknowledgements and the consumers' lines say.
    var acknowledged: [[Int: String]] = Array(repeating: [:], count: Self.partitions.count)
    var printed = acknowledged
    var starts = [0, 0, 0]
    for round in 0..<KillPlan.killCount {
      let (lines, entries) = try writer.run(round, &random)
      for entry in entries { acknowledged[entry.partition][entry.number] = lines[entry.line - 1] }
      let waiting = Self.partitions.reduce(0) { $0 + acknowledged[$1].count - starts[$1] }
      let events = try kill(try consume("--follow"), atMost: max(0, waiting), &random)
      var next = starts
      for event in events {
        #expect(event.sequenceNumber == next[event.partition], "round \(round)")
        next[event.partition] = event.sequenceNumber + 1
        let before = printed[event.partition].updateValue(event.body, forKey: event.sequenceNumber)
        #expect(before == nil || before == event.body, "round \(round): \(event)")
      }
      let committed = try Executable.checkpoints(of: "billing", in: store, scratch: scratch)
      for partition in Self.partitions {
        #expect(
          starts[partition]...next[partition] ~= committed[partition],
          "round \(round): printed up to \(next), committed \(committed)")
      }
      starts = committed
    }
    for event in try consume().finish().events {
      printed[event.partition][event.sequenceNumber] = event.body
    }
    for partition in Self.partitions {
      let missing = acknowledged[partition].filter { printed[partition][$0.key] != $0.value }
      #expect(missing.isEmpty, "of partition \(partition)")
    }
    print("counted: \(KillPlan.killCount) kills of consumers")
  }
}
