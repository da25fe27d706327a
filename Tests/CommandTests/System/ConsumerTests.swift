import Foundation
import Testing

@Suite("A consumer that commits")
struct ConsumerTests {
  private static let eventCount = 30_000

  private let scratch: Scratch
  private let store: String
  /// What a reading of everything prints.
  private let everything: [StoredEvent]

  init() throws {
    scratch = try Scratch()
    store = scratch.path("store")
    let lines = (0..<Self.eventCount).map { #"{"deviceId":"d\#($0 % 31)","body":"\#($0)"}"# }
    try Executable.succeed(
      ["ingest", store, "--format", "envelope", "--partitions", "3"],
      input: lines.joined(separator: "\n"), scratch: scratch)
    try Executable.succeed(["groups", "create", store, "billing"], scratch: scratch)
    everything = try Executable.succeed(["read", store], scratch: scratch).events
  }

  private func consume(_ arguments: String...) throws -> Executable {
    try Executable(
      ["read", store, "--group", "billing", "--commit"] + arguments, scratch: scratch)
  }

  private func checkpoints() throws -> [Int] {
    try Executable.checkpoints(of: "billing", in: store, scratch: scratch)
  }

  /// Behind the last event of each partition.
  private func ends(of events: some Sequence<StoredEvent>, after starts: [Int]) -> [Int] {
    events.reduce(into: starts) { ends, event in
      ends[event.partition] = event.sequenceNumber + 1
    }
  }

  @Test("The checkpoint stands exactly behind what was printed")
  func exactly() throws {
    var ends = [0, 0, 0]
    var printed: [StoredEvent] = []
    for count in [1, 0, 10, 4_000, 999] {
      let outcome = try consume("--max", "\(count)").finish()
      #expect(outcome.status == 0)
      let events = try outcome.events
      #expect(events.count == count)
      ends = self.ends(of: events, after: ends)
      #expect(try checkpoints() == ends)
      printed += events
    }
    printed += try consume().finish().events
    #expect(Set(printed) == Set(everything))
    #expect(printed.count == everything.count)
    #expect(try consume().finish().output.isEmpty)
  }

  @Test("Both commands that tell of lag tell the same")
  func lag() throws {
    struct Place: Decodable, Hashable {
      let name: String
      let partition, lagEvents, lagBytes: Int
    }
    struct Statistics: Decodable { let groups: [Place] }
    #expect(try consume("--max", "12345").finish().status == 0)
    let listed = try Executable.succeed(["groups", "list", store, "--json"], scratch: scratch)
      .document([Place].self)
    let statistics = try Executable.succeed(["stat", store, "--json"], scratch: scratch)
      .document(Statistics.self)
    #expect(Set(listed) == Set(statistics.groups) && listed.count == 6)
    #expect(listed.contains { $0.name == "billing" && $0.lagBytes > 0 })
  }

  @Test("With --from the checkpoint goes where the reading went, also back")
  func back() throws {
    #expect(try consume().finish().status == 0)
    let outcome = try consume("--from", "100", "--max", "10").finish()
    #expect(outcome.status == 0)
    let printed = try outcome.events
    #expect(printed.count == 10)
    let ends = ends(of: printed, after: try checkpoints())
    for event in printed { #expect(event.sequenceNumber >= 100) }
    let places = try checkpoints()
    for partition in Set(printed.map(\.partition)) {
      #expect(places[partition] == ends[partition])
      #expect(places[partition] < 1_000)
    }
  }

  @Test("A reset to a number beyond a short partition goes to its end; beyond all it is refused")
  func resetBeyond() throws {
    let ends = ends(of: everything, after: [0, 0, 0])
    let (least, most) = (ends.min() ?? 0, ends.max() ?? 0)
    #expect(least < most)
    try Executable.succeed(
      ["groups", "reset", store, "billing", "--to", "\(most)"], scratch: scratch)
    #expect(try checkpoints() == ends)
    let refused = try Executable.run(
      ["groups", "reset", store, "billing", "--to", "\(most + 1)"], scratch: scratch)
    #expect(refused.status == 1 && refused.errors.contains("beyond"), "\(refused.errors)")
    #expect(try checkpoints() == ends)
  }

  @Test("When its reader has gone it ends quietly, and committed no more than it had written")
  func closedPipe() throws {
    let expected = try Executable.succeed(["read", store], scratch: scratch).output
    let consumer = try consume()
    var printed = Data()
    while printed.count < 300_000 { printed += try consumer.receive() }
    consumer.closeOutput()
    let outcome = try consumer.finish()
    #expect(outcome.status == 0)
    #expect(outcome.errors == "")
    #expect(expected.starts(with: printed))
    // A pipe holds 64 KiB that nobody has read yet.
    let written = Executable.Outcome(
      status: 0, output: expected.prefix(printed.count + 64 << 10), errors: "")
    let committed = try checkpoints()
    let count = committed.reduce(0, +)
    #expect(count > 0)
    #expect(count <= written.lines.count)
    #expect(ends(of: everything.prefix(count), after: [0, 0, 0]) == committed)
  }

  @Test("A consumer of one device may not commit")
  func device() throws {
    let outcome = try consume("--device", "d1").finish()
    #expect(outcome.status == 64)
    #expect(outcome.errors.hasPrefix("millrace: error: --commit"))
    #expect(try checkpoints() == [0, 0, 0])
  }
}
