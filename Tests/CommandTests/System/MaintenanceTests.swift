import Foundation
import Testing

@Suite("Retention and snapshots by command")
struct MaintenanceTests {
  private let scratch: Scratch
  private let store: String

  init() throws {
    scratch = try Scratch()
    store = scratch.path("store")
  }

  private func fill(_ count: Int) throws {
    let body = String(repeating: "x", count: 200)
    let lines = (0..<count).map {
      #"{"d":"d\#($0 % 5)","t":\#(1_700_000_000 + $0),"n":\#($0 &* 2_654_435_761),"x":"\#(body)"}"#
    }
    try Executable.succeed(
      [
        "ingest", store, "--format", "ndjson", "--device-field", "/d", "--time-field", "/t",
        "--partitions", "1", "--segment-size", "64KiB", "--codec", "none",
      ], input: lines.joined(separator: "\n"), scratch: scratch)
  }

  private struct Retained: Decodable {
    struct Partition: Decodable {
      let partition, segments, events, firstSequence: Int
    }
    let dryRun: Bool
    let partitions: [Partition]
    let bytesBefore, bytesAfter: Int
  }

  @Test("retain drops what it says, and a reader behind it hears of it")
  func retain() throws {
    try fill(3_000)
    let words = ["retain", store, "--size", "300KiB", "--json"]
    let plan = try Executable.succeed(words + ["--dry-run"], scratch: scratch)
      .document(Retained.self)
    #expect(plan.dryRun && plan.bytesAfter < plan.bytesBefore)
    #expect(try Executable.succeed(["read", store], scratch: scratch).events.count == 3_000)
    let done = try Executable.succeed(words, scratch: scratch).document(Retained.self)
    #expect(done.bytesAfter == plan.bytesAfter && done.bytesAfter <= 300 << 10)
    let first = try #require(done.partitions.first?.firstSequence)
    #expect(first > 0)
    let kept = try Executable.succeed(["read", store], scratch: scratch).events
    #expect(kept.map(\.sequenceNumber) == Array(first..<3_000))
    let late = try Executable.run(["read", store, "--from", "0"], scratch: scratch)
    #expect(late.status == 2)
    #expect(late.errors.contains("\(first)"), "\(late.errors)")
    #expect(try late.events.count == kept.count)
    #expect(try Executable.succeed(["fsck", store], scratch: scratch).status == 0)
    let all = try Executable.succeed(["retain", store, "--age", "1s", "--json"], scratch: scratch)
      .document(Retained.self)
    #expect(all.partitions.first?.firstSequence ?? 0 > first)
  }

  @Test("A snapshot beside a writer opens, passes fsck and stays what it is")
  func snapshot() throws {
    try fill(1_000)
    let writer = try Executable(
      ["ingest", store, "--format", "ndjson", "--device-field", "/d"], scratch: scratch)
    writer.send(#"{"d":"d1","n":1}"#.utf8 + [0x0a])
    let follower = try Executable(
      ["read", store, "--follow", "--from", "1000", "--max", "1"], scratch: scratch)
    #expect(try follower.finish().events.count == 1)
    let copy = scratch.path("backup/copy")
    try Executable.succeed(["snapshot", store, copy], scratch: scratch)
    writer.send((0..<2_000).map { "{\"d\":\"d1\",\"n\":\($0)}\n" }.joined().utf8)
    #expect(try writer.finish().status == 0)
    try Executable.succeed(["retain", store, "--age", "1s"], scratch: scratch)
    let events = try Executable.succeed(["read", copy], scratch: scratch).events
    #expect(events.map(\.sequenceNumber) == Array(0..<1_001))
    let check = try Executable.succeed(["fsck", copy, "--json"], scratch: scratch)
    struct Check: Decodable { let clean: Bool }
    #expect(try check.document(Check.self).clean)
    let again = try Executable.run(["snapshot", store, copy], scratch: scratch)
    #expect(again.status == 1 && again.errors.contains("already"), "\(again.errors)")
  }

  /// The files of a folder of the store, in the order of their numbers.
  private func files(_ folder: String, _ suffix: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: store + "/" + folder)
      .filter { $0.hasSuffix(suffix) }.sorted().map { store + "/" + folder + "/" + $0 }
  }

  private func truncate(_ path: String, to size: UInt64) throws {
    let file = try #require(FileHandle(forWritingAtPath: path))
    try file.truncate(atOffset: size)
    try file.close()
  }

  @Test("A snapshot says what the store has lost, and gives none of its numbers again")
  func lostEnds() throws {
    try fill(900)
    for number in 0..<3 {
      try Executable.succeed(
        [
          "queue", "send", store, "c", "--message-id", "m\(number)", "--ack", "full", "--body", "b",
        ],
        scratch: scratch)
    }
    for settlement in ["complete", "reject"] {
      try Executable.succeed(
        ["queue", "receive", store, "c", "--settle", settlement], scratch: scratch)
    }
    try truncate(try #require(files("partitions/000", ".segment").last), to: 128)
    try truncate(try #require(files("queues/journal", ".journal").last), to: 128)
    let copy = scratch.path("copy")
    let taken = try Executable.run(["snapshot", store, copy], scratch: scratch)
    #expect(taken.status == 2 && taken.errors.contains("up to 900"), "\(taken.errors)")
    #expect(taken.errors.split(separator: "\n").count == 2, "\(taken.errors)")
    #expect(try Executable.run(["read", copy], scratch: scratch).status == 2)
    try Executable.succeed(["fsck", copy], scratch: scratch)
    // Whoever opens it first hears of it once more.
    let ingested = try Executable.run(
      ["ingest", copy, "--format", "ndjson", "--device-field", "/d"], input: #"{"d":"d9"}"#,
      scratch: scratch)
    #expect(ingested.status == 2, "\(ingested.errors)")
    let read = try Executable.run(["read", copy, "--device", "d9"], scratch: scratch)
    #expect(try read.events.map(\.sequenceNumber) == [900])
    try Executable.succeed(
      ["queue", "send", copy, "d", "--message-id", "new", "--ack", "full", "--body", "b"],
      scratch: scratch)
    try Executable.succeed(
      ["queue", "receive", copy, "d", "--settle", "reject"], scratch: scratch)
    for stream in ["feedback", "dead-letters"] {
      let told = try Executable.run([stream, "read", copy], scratch: scratch)
      #expect(
        String(decoding: told.output, as: UTF8.self).contains("new"),
        "\(stream): \(told.output) \(told.errors)")
    }
  }

  @Test("A store that has lost a segment can be copied again once that is recorded")
  func repairedSegment() throws {
    try fill(900)
    try FileManager.default.removeItem(atPath: try files("partitions/000", ".segment")[1])
    let lost = try Executable.run(["snapshot", store, scratch.path("lost")], scratch: scratch)
    #expect(lost.status == 1)
    #expect(try Executable.run(["fsck", store, "--repair"], scratch: scratch).status == 1)
    let copy = scratch.path("copy")
    try Executable.succeed(["snapshot", store, copy], scratch: scratch)
    try Executable.succeed(["fsck", copy], scratch: scratch)
    let (original, copied) = (
      try Executable.run(["read", store], scratch: scratch),
      try Executable.run(["read", copy], scratch: scratch)
    )
    #expect(original.status == 2 && copied.status == 2)
    #expect(try copied.events == original.events)
  }

  @Test(
    "A snapshot, and whoever asks for a group, says that consumer groups are lost",
    arguments: ["zeroed", "empty", "another store's", "gone", "its header", "an older copy"])
  func lostGroups(_ damage: String) throws {
    try fill(10)
    try FileManager.default.copyItem(
      atPath: store + "/CHECKPOINTS", toPath: scratch.path("older"))
    try Executable.succeed(["groups", "create", store, "billing"], scratch: scratch)
    try Executable.succeed(["snapshot", store, scratch.path("whole")], scratch: scratch)
    let path = store + "/CHECKPOINTS"
    switch damage {
    case "empty": try truncate(path, to: 0)
    case "its header": try truncate(path, to: 128)
    case "gone": try FileManager.default.removeItem(atPath: path)
    case "an older copy":
      try FileManager.default.removeItem(atPath: path)
      try FileManager.default.copyItem(atPath: scratch.path("older"), toPath: path)
    case "zeroed":
      try truncate(path, to: 128)
      try truncate(path, to: 400)
    default:
      let other = scratch.path("other")
      try Executable.succeed(["init", other], scratch: scratch)
      try Executable.succeed(["groups", "create", other, "billing"], scratch: scratch)
      try FileManager.default.removeItem(atPath: path)
      try FileManager.default.copyItem(atPath: other + "/CHECKPOINTS", toPath: path)
    }
    for command in [["groups", "list", store], ["read", store, "--group", "billing"]] {
      let outcome = try Executable.run(command, scratch: scratch)
      #expect(outcome.status == 2 && outcome.errors.contains("consumer groups"), "\(command)")
    }
    let copy = scratch.path("copy")
    let taken = try Executable.run(["snapshot", store, copy], scratch: scratch)
    #expect(taken.status == 2 && taken.errors.contains("consumer groups"), "\(taken.errors)")
    #expect(try Executable.succeed(["read", copy], scratch: scratch).events.count == 10)
    for (options, status) in [([], 4), (["--repair"], 1), ([], 0), (["--repair"], 0)] {
      let checked = try Executable.run(["fsck", store] + options, scratch: scratch)
      #expect(checked.status == Int32(status), "\(options): \(checked.output)")
    }
    let opened = try Executable.succeed(["groups", "list", store], scratch: scratch)
    #expect(opened.errors.isEmpty)
  }

  @Test("Reading one device gives what reading everything gives of it, in any range")
  func device() throws {
    try fill(3_000)
    let all = try Executable.succeed(["read", store], scratch: scratch).events
    for options in [
      [], ["--from", "700"], ["--until", "1900"], ["--from", "701", "--until", "2002"],
      ["--from", "2023-11-14T22:30:00Z", "--until", "2023-11-14T22:40:00Z"], ["--max", "7"],
    ] {
      let range = try Executable.succeed(["read", store] + options, scratch: scratch).events
      let expected =
        options == ["--max", "7"]
        ? Array(all.filter { $0.deviceId == "d3" }.prefix(7))
        : range.filter { $0.deviceId == "d3" }
      #expect(!expected.isEmpty)
      let read = try Executable.succeed(
        ["read", store, "--device", "d3"] + options, scratch: scratch)
      #expect(try read.events == expected, "\(options)")
    }
    let two = try Executable.succeed(
      ["read", store, "--device", "d3", "--device", "d0", "--device", "nobody"], scratch: scratch)
    #expect(try two.events == all.filter { ["d0", "d3"].contains($0.deviceId) })
    let names = ["--device", "d3", "--device", "nobody", "--device", "d0", "--device", "d3"]
    let newest = try Executable.succeed(["read", store, "--last"] + names, scratch: scratch)
    let expected = ["d0", "d3"].compactMap { name in all.last { $0.deviceId == name } }
    #expect(try newest.events == expected.sorted { $0.sequenceNumber < $1.sequenceNumber })
    try damageLastBatch()
    let older = try Executable.run(["read", store, "--last", "--device", "d3"], scratch: scratch)
    #expect(older.status == 2 && older.errors.contains("up to 3000 are missing"), "\(older.errors)")
    let seen = try #require(try older.events.first)
    #expect(seen.deviceId == "d3" && seen.sequenceNumber < expected[1].sequenceNumber)
    for options in [["--last"], ["--last", "--device", "d0", "--from", "latest"]] {
      let refused = try Executable.run(["read", store] + options, scratch: scratch)
      #expect(refused.status == 64 && refused.errors.contains("--last"), "\(refused.errors)")
    }
  }

  /// Changes many bits in the middle of the partition's last segment.
  private func damageLastBatch() throws {
    let folder = store + "/partitions/000"
    let name = try #require(
      try FileManager.default.contentsOfDirectory(atPath: folder)
        .filter { $0.hasSuffix(".segment") }.max())
    let file = URL(fileURLWithPath: folder + "/" + name)
    var bytes = try Data(contentsOf: file)
    let middle = bytes.count / 2
    for position in middle..<middle + 64 { bytes[position] ^= 0xff }
    try bytes.write(to: file)
  }
}
