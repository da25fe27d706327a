import Foundation
import Testing

/// Where `tools/torture full` has mounted a small file system.
private let smallDisk = ProcessInfo.processInfo.environment["MILLRACE_SMALL_DISK"]

/// A store on a file system that is really full.
@Suite("A disk that is too small")
struct SmallDiskTests {
  private static let cycleCount = 4
  private static let partitionCount = 2
  /// Lines that are sent before their acknowledgements are awaited.
  private static let pieceSize = 300
  private static let (lineSize, ballastMax) = (800, 3 << 20)
  /// With less space than this the next lines may be the ones that do not fit.
  private static let spaceMin = 2 << 20

  @Test(
    "It fills up, loses nothing that was acknowledged, and goes on once there is space",
    .enabled(if: smallDisk != nil, "nothing is mounted"))
  func filled() throws {
    let folder = try #require(smallDisk)
    let environment = ProcessInfo.processInfo.environment
    let seed = environment["MILLRACE_FULL_SEED"].flatMap(UInt64.init) ?? 7
    var random = SeededRandom(seed: seed)
    let scratch = try Scratch()
    let store = folder + "/store-\(seed)"
    let ballast = URL(filePath: folder + "/ballast")
    try create(store, scratch)
    var ledger: [[Int: String]] = Array(repeating: [:], count: Self.partitionCount)
    for cycle in 0..<Self.cycleCount {
      try Data(count: Int.random(in: 1...Self.ballastMax, using: &random)).write(to: ballast)
      try fill(store, &ledger, "cycle \(cycle), beside ballast", &random, scratch)
      try FileManager.default.removeItem(at: ballast)
      try fill(store, &ledger, "cycle \(cycle), alone", &random, scratch)
      // A full disk lets retention make room.
      try Executable.succeed(
        ["retain", store, "--size", "\(Int.random(in: 1...3, using: &random))MiB"],
        scratch: scratch)
    }
    #expect(try Executable.run(["fsck", store], scratch: scratch).status == 0)
    try FileManager.default.removeItem(atPath: store)
    print("counted: \(2 * Self.cycleCount) disk-full cycles")
    #expect(ledger.allSatisfy { $0.count > 1_000 })
    print("counted: \(ledger.reduce(0) { $0 + $1.count }) acknowledged events")
  }

  /// The test itself: what was acknowledged is taken away, on a disk of any size.
  @Test("A store that is as it was before is noticed")
  func notBlind() throws {
    var random = SeededRandom(seed: 1)
    let scratch = try Scratch()
    let (store, before) = (scratch.path("store"), scratch.path("before"))
    try create(store, scratch)
    try FileManager.default.copyItem(atPath: store, toPath: before)
    let lines = (0..<Self.pieceSize).map { line($0, &random) }
    let acks = scratch.path("acks")
    let writer = try ingest(into: store, acks: acks, scratch)
    writer.send((lines.joined(separator: "\n") + "\n").utf8)
    #expect(try writer.finish().status == 0)
    var ledger: [[Int: String]] = Array(repeating: [:], count: Self.partitionCount)
    try note(Data(contentsOf: URL(filePath: acks)), of: lines, in: &ledger, "all of it")
    try check(store, ledger, "as it is", scratch)
    try FileManager.default.removeItem(atPath: store)
    try FileManager.default.moveItem(atPath: before, toPath: store)
    withKnownIssue { try check(store, ledger, "as before", scratch) }
  }

  private func create(_ store: String, _ scratch: Scratch) throws {
    try Executable.succeed(
      ["init", store, "--partitions", "\(Self.partitionCount)", "--segment-size", "256KiB"],
      scratch: scratch)
  }

  /// Starts a writer, and says where its acknowledgements go.
  private func ingest(
    into store: String, acks: String, _ scratch: Scratch
  ) throws -> Executable {
    try Executable(
      [
        "ingest", store, "--format", "ndjson", "--device-field", "/device", "--durability",
        "durable", "--ack-log", acks,
      ], scratch: scratch)
  }

  /// Appends until nothing more fits, and checks that all that was acknowledged is there.
  private func fill(
    _ store: String, _ ledger: inout [[Int: String]], _ context: String,
    _ random: inout SeededRandom, _ scratch: Scratch
  ) throws {
    let writer = try ingest(into: store, acks: "/dev/stdout", scratch)
    var lines: [String] = []
    var acks = Data()
    func send(_ count: Int) {
      let more = (0..<count).map { line(lines.count + $0, &random) }
      lines += more
      writer.send((more.joined(separator: "\n") + "\n").utf8)
    }
    while try space(in: store) > Self.spaceMin {
      send(Self.pieceSize)
      while acks.lineEnds.count < lines.count { acks += try writer.receive() }
    }
    // The command tells of its failure with the next line: these are more than fit, and the
    // acknowledgements of those that do fit into a pipe.
    send(2 * Self.spaceMin / Self.lineSize)
    let outcome = try writer.finish()
    acks += outcome.output
    #expect(outcome.status == 1, "\(context)")
    #expect(
      outcome.errors.contains("No space left on device; free some space"),
      "\(context): \(outcome.errors)")
    try note(acks, of: lines, in: &ledger, context)
    try check(store, ledger, context, scratch)
  }

  /// Notes which lines were acknowledged.
  private func note(
    _ acks: Data, of lines: [String], in ledger: inout [[Int: String]], _ context: String
  ) throws {
    for entry in acks.lines {
      let fields = entry.split(separator: 0x20).compactMap {
        Int(String(decoding: $0, as: UTF8.self))
      }
      try #require(fields.count == 3, "\(context)")
      let known = ledger[fields[1]].updateValue(lines[fields[0] - 1], forKey: fields[2])
      #expect(known == nil, "\(context): \(fields) was acknowledged before")
    }
  }

  private func space(in folder: String) throws -> Int {
    let facts = try FileManager.default.attributesOfFileSystem(forPath: folder)
    return try #require(facts[.systemFreeSize] as? Int)
  }

  /// A line that nothing makes much shorter.
  private func line(_ number: Int, _ random: inout SeededRandom) -> String {
    var noise = ""
    while noise.utf8.count < Self.lineSize { noise += String(random.next(), radix: 36) }
    return #"{"device":"d\#(number % 40)","x":"\#(noise)"}"#
  }

  /// Checks that all that was acknowledged is there, but for what retention dropped.
  private func check(
    _ store: String, _ ledger: [[Int: String]], _ context: String, _ scratch: Scratch
  ) throws {
    var next = Array(repeating: Int?.none, count: Self.partitionCount)
    var missing = ledger
    for event in try Executable.succeed(["read", store], scratch: scratch).events {
      // Retention moves the beginning, nothing else does.
      let expected = next[event.partition] ?? event.sequenceNumber
      #expect(event.sequenceNumber == expected, "\(context)")
      if next[event.partition] == nil {
        missing[event.partition] = missing[event.partition].filter { $0.key >= expected }
      }
      next[event.partition] = expected + 1
      if let body = missing[event.partition].removeValue(forKey: event.sequenceNumber) {
        #expect(body == event.body, "\(context): \(event.sequenceNumber)")
      }
    }
    #expect(missing.allSatisfy { $0.isEmpty }, "\(context): \(missing.map(\.count)) are missing")
  }
}
