import Foundation
import Glibc
import Testing

/// How often the tests kill, and from which seed; a campaign asks for more.
enum KillPlan {
  private static let environment = ProcessInfo.processInfo.environment

  /// Kills of each test.
  static let killCount = environment["MILLRACE_KILL_COUNT"].flatMap { Int($0) } ?? 10

  /// Random numbers from the seed, which is printed.
  static func random(_ test: String) -> SeededRandom {
    let seed = environment["MILLRACE_KILL_SEED"].flatMap(UInt64.init) ?? 7
    print("seed \(seed); again: MILLRACE_KILL_SEED=\(seed) swift test --filter \(test)")
    return SeededRandom(seed: seed)
  }
}

/// A command that appends lines until it is killed, and what it acknowledged.
struct KilledWriter {
  /// What a line of the ack log says.
  struct Acknowledgement {
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

  /// Lines that may be under way: their acknowledgements fit into a pipe, so that nobody has to
  /// read them while lines are sent.
  private static let pieceSizeMax = 1_000

  let store: String
  let scratch: Scratch

  /// Makes the store, with small segments: kills fall into writes, syncs and rolls.
  init(at store: String, _ scratch: Scratch) throws {
    (self.store, self.scratch) = (store, scratch)
    try Executable.succeed(
      ["init", store, "--partitions", "3", "--segment-size", "64KiB"], scratch: scratch)
  }

  /// Starts a writer, feeds it and kills it.
  ///
  /// - Parameters:
  ///   - round: tells this writer's lines from those of others.
  ///   - random: when the kill comes, and what is sent before it.
  /// - Returns: what was sent, and what of it was acknowledged before the kill.
  /// - Throws: what the system refuses.
  func run(
    _ round: Int, _ random: inout SeededRandom
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
}
