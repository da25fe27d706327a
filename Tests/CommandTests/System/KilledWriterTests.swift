import Foundation
import Glibc
import Testing

@Suite("A writer that is killed")
struct KilledWriterTests {
  /// What a line of the ack log says.
  private struct Acknowledgement {
    let line: Int
    let partition: Int
    let number: Int
  }

  /// When the kill comes.
  private enum Moment: CaseIterable {
    /// While the last lines are still read, compressed, written and synced.
    case busy
    /// When something of the last lines has just been acknowledged.
    case acknowledging
    /// While the store is being closed.
    case closing
  }

  private static let killCount = 10
  /// Lines that may be under way: their acknowledgements fit into a pipe, so that nobody has to
  /// read them while lines are sent.
  private static let pieceSizeMax = 1_000

  @Test("Every acknowledged line is there after every kill, in order and once")
  func acknowledgedLines() throws {
    let seed = ProcessInfo.processInfo.environment["MILLRACE_KILL_SEED"].flatMap(UInt64.init) ?? 7
    print("seed \(seed); again: MILLRACE_KILL_SEED=\(seed) swift test --filter KilledWriterTests")
    var random = SeededRandom(seed: seed)
    let scratch = try Scratch()
    let store = scratch.path("store")
    // Small batches and segments: kills fall into writes, syncs and rolls.
    try Executable.succeed(
      ["init", store, "--partitions", "3", "--segment-size", "64KiB"], scratch: scratch)
    var bodies: [[Int: String]] = Array(repeating: [:], count: 3)
    for round in 0..<Self.killCount {
      let (lines, acknowledged) = try run(store, round, &random, scratch)
      #expect(!acknowledged.isEmpty, "round \(round): a kill that shows nothing")
      for entry in acknowledged {
        // A number that a line was acknowledged with belongs to it for ever.
        let known = bodies[entry.partition].updateValue(lines[entry.line - 1], forKey: entry.number)
        #expect(known == nil, "round \(round): \(entry) was acknowledged before")
      }
      #expect(acknowledged.map(\.line) == Array(1...acknowledged.count), "round \(round)")
      try check(store, bodies, round, scratch)
    }
    print("acknowledged before \(Self.killCount) kills: \(bodies.reduce(0) { $0 + $1.count })")
  }

  /// Starts a writer, feeds it and kills it.
  private func run(
    _ store: String, _ round: Int, _ random: inout SeededRandom, _ scratch: Scratch
  ) throws -> (lines: [String], acknowledged: [Acknowledgement]) {
    let log = scratch.path("acks-\(round)")
    try #require(mkfifo(log, 0o600) == 0)
    // Both ends, so that neither side's opening waits for the other.
    let acks = open(log, O_RDWR | O_CLOEXEC)
    defer { close(acks) }
    let writer = try Executable(
      [
        "ingest", store, "--format", "ndjson", "--device-field", "/device", "--durability",
        "durable", "--ack-log", log, "--batch-size", "4KiB",
      ], scratch: scratch)
    var lines: [String] = []
    var text = Data()
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      send(
        Int.random(in: 1...Self.pieceSizeMax, using: &random), to: writer, round, &lines, &random)
      while text.lineEnds.count < lines.count { try read(acks, into: &text) }
    }
    let moment = Moment.allCases.randomElement(using: &random) ?? .busy
    send(Self.pieceSizeMax, to: writer, round, &lines, &random)
    switch moment {
    case .busy: break
    case .acknowledging: try read(acks, into: &text)
    case .closing:
      while text.lineEnds.count < lines.count { try read(acks, into: &text) }
      writer.closeInput()
    }
    writer.send(signal: SIGKILL)
    #expect(try writer.finish().status == -SIGKILL, "round \(round), \(moment)")
    while try read(acks, into: &text, waits: false) {}
    return (lines, try acknowledgements(in: text))
  }

  private func send(
    _ count: Int, to writer: Executable, _ round: Int, _ lines: inout [String],
    _ random: inout SeededRandom
  ) {
    var piece: [UInt8] = []
    for _ in 0..<count {
      let device = Int.random(in: 0..<40, using: &random)
      let noise = String(random.next(), radix: 36)
      lines.append(#"{"device":"d\#(device)","x":"\#(noise)","line":"\#(round)/\#(lines.count)"}"#)
      piece += lines[lines.count - 1].utf8
      piece.append(0x0a)
    }
    writer.send(piece)
  }

  /// Reads what there is of the ack log; whether there was anything.
  @discardableResult
  private func read(_ acks: Int32, into text: inout Data, waits: Bool = true) throws -> Bool {
    var waiting = pollfd(fd: acks, events: Int16(POLLIN), revents: 0)
    let isReady = poll(&waiting, 1, waits ? 120_000 : 0) > 0
    guard isReady else {
      try #require(!waits, "nothing was acknowledged for two minutes")
      return false
    }
    var bytes = [UInt8](repeating: 0, count: 64 << 10)
    let count = Glibc.read(acks, &bytes, bytes.count)
    text += bytes.prefix(max(0, count))
    return true
  }

  private func acknowledgements(in text: Data) throws -> [Acknowledgement] {
    // A kill may cut the last line.
    try text.prefix(text.lineEnds.last ?? 0).lines.map { line in
      let fields = line.split(separator: 0x20).compactMap {
        Int(String(decoding: $0, as: UTF8.self))
      }
      try #require(fields.count == 3, "'\(String(decoding: line, as: UTF8.self))'")
      return Acknowledgement(line: fields[0], partition: fields[1], number: fields[2])
    }
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
