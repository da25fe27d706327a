import Foundation
import Testing

@Suite("A writer that is killed")
struct KilledWriterTests {
  @Test("Every acknowledged line is there after every kill, in order and once")
  func acknowledgedLines() throws {
    var random = KillPlan.random("KilledWriterTests")
    let scratch = try Scratch()
    let store = scratch.path("store")
    let writer = try KilledWriter(at: store, scratch)
    var bodies: [[Int: String]] = Array(repeating: [:], count: 3)
    for round in 0..<KillPlan.killCount {
      let (lines, acknowledged) = try writer.run(round, &random)
      #expect(!acknowledged.isEmpty, "round \(round): a kill that shows nothing")
      for entry in acknowledged {
        // A number that a line was acknowledged with belongs to it for ever.
        let known = bodies[entry.partition].updateValue(lines[entry.line - 1], forKey: entry.number)
        #expect(known == nil, "round \(round): \(entry) was acknowledged before")
      }
      #expect(acknowledged.map(\.line) == Array(1...acknowledged.count), "round \(round)")
      try check(store, bodies, round, scratch)
    }
    print("counted: \(KillPlan.killCount) kills of writers")
    print("counted: \(bodies.reduce(0) { $0 + $1.count }) acknowledged events")
  }

  /// The test itself: what a killed writer had acknowledged is taken away.
  @Test("A store that is as it was before the kill is noticed")
  func notBlind() throws {
    var random = SeededRandom(seed: 1)
    let scratch = try Scratch()
    let (store, before) = (scratch.path("store"), scratch.path("before"))
    let writer = try KilledWriter(at: store, scratch)
    try FileManager.default.copyItem(atPath: store, toPath: before)
    let (lines, acknowledged) = try writer.run(0, &random)
    var bodies: [[Int: String]] = Array(repeating: [:], count: 3)
    for entry in acknowledged { bodies[entry.partition][entry.number] = lines[entry.line - 1] }
    try FileManager.default.removeItem(atPath: store)
    try FileManager.default.moveItem(atPath: before, toPath: store)
    withKnownIssue { try check(store, bodies, 0, scratch) }
  }

  /// Checks that the store holds what was acknowledged, each event once, each device's in order.
  private func check(
    _ store: String, _ acknowledged: [[Int: String]], _ round: Int, _ scratch: Scratch
  ) throws {
    let events = try Executable.succeed(["read", store], scratch: scratch).events
    var next = Array(repeating: 0, count: acknowledged.count)
    var last: [String: (round: Int, line: Int)] = [:]
    for event in events {
      #expect(event.sequenceNumber == next[event.partition], "round \(round)")
      next[event.partition] = event.sequenceNumber + 1
      if let expected = acknowledged[event.partition][event.sequenceNumber] {
        #expect(event.body == expected, "round \(round), \(event.sequenceNumber)")
      }
      // Lines carry their round and number: later ones of a device come later, so none comes twice.
      let place = event.body.split(separator: "\"").dropLast().last?.split(separator: "/")
        .compactMap { Int($0) }
      let line = try #require(place.map { (round: $0[0], line: $0[1]) })
      if let before = last[event.deviceId] { #expect(before < line, "round \(round)") }
      last[event.deviceId] = line
    }
    for (partition, numbers) in acknowledged.enumerated() {
      #expect(numbers.keys.allSatisfy { $0 < next[partition] }, "round \(round), acknowledged")
    }
    struct Check: Decodable { let clean: Bool }
    let fsck = try Executable.succeed(["fsck", store, "--json"], scratch: scratch)
    #expect(try fsck.document(Check.self).clean, "round \(round)")
  }
}
