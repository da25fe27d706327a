import Foundation
import Glibc
import Testing

@Suite("The command's contract")
struct ContractTests {
  private let scratch: Scratch
  private let store: String

  init() throws {
    scratch = try Scratch()
    store = scratch.path("store")
  }

  private func ingest(_ input: String, _ options: String...) throws -> Executable.Outcome {
    try Executable.run(
      ["ingest", store, "--format", "ndjson", "--device-field", "/d"] + options, input: input,
      scratch: scratch)
  }

  @Test(
    "Help of every command has an example",
    arguments: [
      [], ["init"], ["ingest"], ["read"], ["dump"], ["fsck"], ["salvage"], ["stat"],
      ["groups"], ["groups", "list"], ["groups", "create"], ["groups", "delete"],
      ["groups", "reset"], ["bench"],
    ])
  func help(_ command: [String]) throws {
    let outcome = try Executable.succeed(command + ["--help"], scratch: scratch)
    #expect(outcome.errors == "")
    let example = (["millrace"] + command).joined(separator: " ")
    #expect(outcome.lines.contains { $0.hasPrefix("  \(example) ") })
  }

  @Test("An ack log that takes nothing fails the ingest, which counts what has no line")
  func fullAckLog() throws {
    let outcome = try Executable.run(
      ["ingest", store, "--format", "envelope", "--ack-log", "/dev/full"],
      input: (0..<3).map { #"{"deviceId":"d\#($0)"}"# }.joined(separator: "\n"), scratch: scratch)
    #expect(outcome.status == 1 && outcome.output.isEmpty)
    #expect(
      outcome.errors.hasPrefix("millrace: error: cannot write the ack log /dev/full: "),
      "\(outcome.errors)")
    #expect(outcome.errors.contains("; 3 events are durable without a line"), "\(outcome.errors)")
    #expect(outcome.errors.split(separator: "\n").count == 1)
    #expect(try Executable.succeed(["read", store], scratch: scratch).events.count == 3)
  }

  @Test("Acknowledged events that are gone are told by the command that finds it, with status 2")
  func lostEvents() throws {
    let lines = (0..<50).map { #"{"d":"x","n":\#($0)}"# }.joined(separator: "\n")
    #expect(try ingest(lines, "--partitions", "1").status == 0)
    let folder = store + "/partitions/000/"
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    let segment = try #require(names.first { $0.hasSuffix(".segment") })
    #expect(truncate(folder + segment, 300) == 0)
    let found = try ingest(lines)
    #expect(found.status == 2 && found.errors.contains("acknowledged events"), "\(found.errors)")
    #expect(found.output.isEmpty == false)
    #expect(try ingest(lines).status == 0)
  }

  @Test("A store whose manifest is gone is sent to the repair that makes one")
  func lostManifest() throws {
    let lines = (0..<50).map { #"{"d":"x","n":\#($0)}"# }.joined(separator: "\n")
    #expect(try ingest(lines).status == 0)
    try FileManager.default.removeItem(atPath: store + "/MANIFEST")
    for arguments in [
      ["read", store], ["queue", "list", store], ["init", store],
      ["ingest", store, "--format", "envelope"], ["retain", store],
    ] {
      let outcome = try Executable.run(arguments, scratch: scratch)
      #expect(outcome.status == 1, "\(arguments): \(outcome.errors)")
      #expect(outcome.errors.contains("fsck --repair"), "\(arguments): \(outcome.errors)")
      #expect(!outcome.errors.contains("millrace init"), "\(arguments): \(outcome.errors)")
    }
    let repaired = try Executable.run(["fsck", store, "--repair"], scratch: scratch)
    #expect(repaired.status == 1, "\(repaired.errors)")
    #expect(try Executable.succeed(["read", store], scratch: scratch).events.count == 50)
  }

  @Test("Retention says how large a store is, whatever its rule")
  func retainedSize() throws {
    struct Report: Decodable { let bytesBefore, bytesAfter: Int }
    #expect(try ingest(#"{"d":"x"}"#).status == 0)
    func report(_ options: String...) throws -> Report {
      try Executable.succeed(["retain", store, "--json"] + options, scratch: scratch)
        .document(Report.self)
    }
    let plain = try report()
    let sized = try report("--size", "1GB", "--dry-run")
    #expect(plain.bytesBefore > 0 && plain.bytesBefore == sized.bytesBefore)
    #expect(plain.bytesAfter == plain.bytesBefore)
  }

  /// What is wrong with an argument or a path, and what the error says of it.
  private struct Refusal: CustomTestStringConvertible {
    let arguments: [String]
    let status: Int32
    let words: String
    var testDescription: String { arguments.joined(separator: " ") }
  }

  private static let refusals: [Refusal] = [
    Refusal(arguments: ["nothing"], status: 64, words: "nothing"),
    Refusal(arguments: ["read"], status: 64, words: "millrace read --help"),
    Refusal(arguments: ["read", "STORE", "--from", "soon"], status: 64, words: "'soon'"),
    Refusal(
      arguments: ["read", "STORE", "--device", "a b"], status: 64, words: "invalid device id"),
    Refusal(arguments: ["read", "STORE", "--group", "a b"], status: 64, words: "group name"),
    Refusal(arguments: ["read", "STORE", "--commit"], status: 64, words: "--group"),
    Refusal(arguments: ["read", "STORE", "--partition", "9"], status: 1, words: "partition 9"),
    Refusal(arguments: ["init", "OTHER", "--partitions", "1025"], status: 64, words: "1024"),
    Refusal(arguments: ["init", "OTHER", "--segment-size", "1XB"], status: 64, words: "1XB"),
    Refusal(arguments: ["init", "STORE"], status: 1, words: "already"),
    Refusal(arguments: ["init", "FILE"], status: 1, words: "file"),
    Refusal(arguments: ["ingest", "STORE"], status: 64, words: "--format"),
    Refusal(
      arguments: ["ingest", "STORE", "--format", "ndjson"], status: 64, words: "device-field"),
    Refusal(
      arguments: ["ingest", "STORE", "ABSENT", "--format", "envelope"], status: 1, words: "ABSENT"),
    Refusal(arguments: ["ingest", "FOLDER", "--format", "envelope"], status: 1, words: "empty"),
    Refusal(arguments: ["groups", "create", "STORE", "$Default"], status: 1, words: "already"),
    Refusal(arguments: ["groups", "reset", "STORE", "x", "--to", "0"], status: 1, words: "create"),
    Refusal(arguments: ["read", "ABSENT"], status: 1, words: "nothing at"),
    Refusal(arguments: ["read", "FOLDER"], status: 1, words: "no store"),
    Refusal(arguments: ["read", "FILE"], status: 1, words: "file"),
    Refusal(arguments: ["stat", "ABSENT"], status: 1, words: "nothing at"),
    Refusal(arguments: ["stat", "FOLDER"], status: 1, words: "not a store"),
    Refusal(arguments: ["dump", "FILE"], status: 1, words: "not a file of a store"),
    Refusal(arguments: ["dump", "FOLDER"], status: 1, words: "not a store"),
    Refusal(arguments: ["fsck", "ABSENT"], status: 8, words: "nothing at"),
    Refusal(arguments: ["fsck", "FOLDER"], status: 8, words: "not a store"),
    Refusal(arguments: ["fsck", "FILE"], status: 8, words: "FILE"),
    Refusal(arguments: ["fsck"], status: 64, words: "millrace fsck --help"),
    Refusal(arguments: ["salvage", "ABSENT", "--into", "OTHER"], status: 1, words: "nothing at"),
    Refusal(arguments: ["salvage", "FILE", "--into", "OTHER"], status: 1, words: "no events"),
    Refusal(arguments: ["salvage", "STORE", "--into", "FOLDER"], status: 1, words: "empty"),
    Refusal(arguments: ["salvage", "STORE", "--into", "FILE"], status: 1, words: "empty"),
    Refusal(arguments: ["salvage", "STORE"], status: 64, words: "--into"),
  ]

  @Test("What cannot be done is one line with what to do, and the right status")
  func refusals() throws {
    try Executable.succeed(["init", store], scratch: scratch)
    _ = try scratch.write("some text\n".utf8, to: "FILE")
    try FileManager.default.createDirectory(
      atPath: scratch.path("FOLDER"), withIntermediateDirectories: false)
    _ = try scratch.write("other".utf8, to: "FOLDER/other")
    for refusal in Self.refusals {
      let arguments = refusal.arguments.map { word in
        switch word {
        case "STORE": store
        case "FILE", "FOLDER", "ABSENT", "OTHER": scratch.path(word)
        default: word
        }
      }
      let outcome = try Executable.run(arguments, scratch: scratch)
      let what = "\(refusal.testDescription): \(outcome.errors)"
      #expect(outcome.status == refusal.status, "\(what)")
      #expect(outcome.errors.hasPrefix("millrace: error: "), "\(what)")
      #expect(outcome.errors.contains(refusal.words), "\(what)")
      #expect(outcome.errors.split(separator: "\n").count == 1, "\(what)")
      #expect(outcome.output.isEmpty, "\(what)")
    }
    #expect(!FileManager.default.fileExists(atPath: scratch.path("OTHER")))
  }

  private static let badLines = [
    #"{"d":"a""#, "{\"d\":\"\u{0}\"}", #"{"e":"a"}"#, #"{"d":null}"#, #"{"d":["a"]}"#,
    #"{"d":""}"#, #"{"d":"a b"}"#, "text", #"{"d":"a"}{"d":"a"}"#,
    #"{"d":"a","x":"\#(String(repeating: "x", count: 10_000_000))"}"#,
    #"{"d":"a","t":"4000-01-01T00:00:00Z"}"#, #"{"d":"a","t":"yesterday"}"#,
  ]

  @Test("A line that is far too long can be skipped like any other")
  func longLine() throws {
    let long = #"{"d":"a","x":"\#(String(repeating: "x", count: 17 << 20))"}"#
    let input = "{\"d\":\"a\",\"n\":1}\n\(long)\n{\"d\":\"a\",\"n\":2}\n"
    let outcome = try ingest(input, "--on-error", "skip")
    #expect(outcome.status == 0)
    #expect(outcome.errors.contains("standard input:2: "), "\(outcome.errors)")
    #expect(try Executable.succeed(["read", store], scratch: scratch).events.count == 2)
    #expect(try ingest(input).status == 1)
  }

  @Test("A bad line is named; what came before it stays, and what follows can be had too")
  func badLines() throws {
    for (index, bad) in Self.badLines.enumerated() {
      let time = index >= Self.badLines.count - 2
      let first = #"{"d":"a","t":0,"n":\#(index)}"#
      let input = "\n\(first)\r\n\(bad)\n\(first)"
      let options = time ? ["--time-field", "/t"] : []
      for (policy, status) in [("stop", Int32(1)), ("skip", 0)] {
        let log = scratch.path("acks-\(index)-\(policy)")
        let outcome = try Executable.run(
          [
            "ingest", store, "--format", "ndjson", "--device-field", "/d", "--on-error", policy,
            "--ack-log", log, "--json",
          ] + options, input: input, scratch: scratch)
        #expect(outcome.status == status, "\(outcome.errors)")
        #expect(outcome.errors.hasPrefix("millrace: "))
        #expect(outcome.errors.contains("standard input:3: "), "\(outcome.errors)")
        let acknowledged = try String(contentsOfFile: log, encoding: .utf8)
          .split(separator: "\n").map { $0.prefix { $0 != " " } }
        #expect(acknowledged == (policy == "stop" ? ["2"] : ["2", "4"]))
      }
    }
    let bodies = try Executable.succeed(["read", store], scratch: scratch).events.map(\.body)
    #expect(
      bodies
        == Self.badLines.indices.flatMap { index in
          Array(repeating: #"{"d":"a","t":0,"n":\#(index)}"#, count: 3)
        })
  }

  @Test("JSON documents have their keys in the promised order")
  func keys() throws {
    let summary = try ingest("{\"d\":\"a\"}\n{\"d\":\"b\"}\n", "--json", "--partitions", "1")
    #expect(
      keys(of: summary) == [
        "events", "rejectedLines", "inputBytes", "bytesOnDisk", "ratio", "seconds",
        "eventsPerSecond",
      ])
    let stat = try Executable.succeed(["stat", store, "--json"], scratch: scratch)
    #expect(
      keys(of: stat) == [
        "storeId", "formatVersion", "partitions", "partition", "firstSequence", "nextSequence",
        "events", "rawBytes", "bytesOnDisk", "ratio", "segments", "oldestTime", "newestTime",
        "groups", "name", "partition", "checkpoint", "lagEvents", "lagBytes", "lagSeconds",
        "queues", "devices", "pending", "locked", "totals", "events", "rawBytes", "bytesOnDisk",
        "ratio", "segments",
      ])
    let clean = try Executable.succeed(["fsck", store, "--json"], scratch: scratch)
    #expect(Array(keys(of: clean).prefix(2)) == ["clean", "checked"])
    #expect(Array(keys(of: clean).suffix(2)) == ["findings", "repairs"])
    try damageLastBatch()
    let damaged = try Executable.run(["fsck", store, "--json"], scratch: scratch)
    #expect(damaged.status == 4)
    #expect(
      Array(keys(of: damaged).suffix(14)) == [
        "findings", "file", "position", "kind", "severity", "detail", "acknowledgedLoss",
        "partition", "firstSequence", "nextSequence", "devices", "from", "to", "repairs",
      ])
  }

  /// The keys of a document, in order; no value of these documents looks like one.
  private func keys(of outcome: Executable.Outcome) -> [String] {
    String(decoding: outcome.output, as: UTF8.self).split(
      separator: "\"", omittingEmptySubsequences: false
    )
    .reduce(into: (keys: [String](), last: "")) { found, part in
      if part.hasPrefix(":") { found.keys.append(found.last) }
      found.last = String(part)
    }.keys
  }

  /// Flips a bit in the body of the first batch of partition 0.
  private func damageLastBatch() throws {
    struct Frame: Decodable {
      let position: Int
      let type: String
      let clearSize: Int
    }
    let folder = store + "/partitions/000/"
    let name = try #require(
      try FileManager.default.contentsOfDirectory(atPath: folder)
        .first { $0.hasSuffix(".segment") })
    let frames = try Executable.succeed(
      ["dump", folder + name, "--frames", "--json"], scratch: scratch)
    let batch = try #require(
      try frames.lines.map { try JSONDecoder().decode(Frame.self, from: Data($0.utf8)) }
        .first { $0.type == "batch" })
    var bytes = try Data(contentsOf: URL(filePath: folder + name))
    bytes[batch.position + 64 + batch.clearSize] ^= 1
    try bytes.write(to: URL(filePath: folder + name))
  }

  @Test("Damage is a gap to readers, and printed where it stands by dump")
  func damage() throws {
    _ = try ingest("{\"d\":\"a\"}\n{\"d\":\"b\"}\n", "--partitions", "1")
    _ = try ingest("{\"d\":\"c\"}\n")
    try damageLastBatch()
    let read = try Executable.run(["read", store], scratch: scratch)
    #expect(read.status == 2)
    #expect(try read.events.map(\.body) == [#"{"d":"c"}"#])
    #expect(read.errors.contains("0"))
    let dump = try Executable.run(["dump", store, "--records", "--json"], scratch: scratch)
    #expect(dump.status == 2)
    #expect(dump.lines.first?.hasPrefix(#"{"damage":{"file":"partitions/000/"#) == true)
    #expect(dump.lines.last?.contains(#""sequenceNumber":2"#) == true)
    #expect(dump.lines.count == 2)
  }

  @Test("What a pause leaves in the pipe is durable and acknowledged before the pause ends")
  func pause() throws {
    let log = scratch.path("acks")
    #expect(mkfifo(log, 0o600) == 0)
    // Both ends, so that neither side's opening waits for the other.
    let acks = open(log, O_RDWR)
    defer { close(acks) }
    let writer = try Executable(
      ["ingest", store, "--format", "ndjson", "--device-field", "/d", "--ack-log", log],
      scratch: scratch)
    for number in 1...4 {
      writer.send("{\"d\":\"a\",\"n\":\(number)}\n".utf8)
      var bytes = [UInt8](repeating: 0, count: 64)
      let count = read(acks, &bytes, bytes.count)
      let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
      #expect(text.hasPrefix("\(number) ") && text.hasSuffix(" \(number - 1)\n"))
      // To other processes it shows a moment later, when the writer has marked it as durable.
      let bodies = try Executable.succeed(
        ["read", store, "--follow", "--max", "\(number)"], scratch: scratch
      ).events.map(\.body)
      #expect(bodies.last == "{\"d\":\"a\",\"n\":\(number)}")
    }
    #expect(try writer.finish().status == 0)
  }

  @Test("What read prints, ingest takes back: the same events, whatever they hold")
  func roundTrip() throws {
    let input = """
      {"deviceId":"a","moduleId":"m","messageId":"1","correlationId":"c","userId":"u",\
      "contentType":"t","contentEncoding":"e","creationTime":"2024-05-01T00:00:00Z",\
      "properties":{"k":"v","ü":"\\u0000\\n\\""},"body":"\\u0001 ü \\\\"}
      {"deviceId":"b","bodyBase64":"//79AA=="}
      {"deviceId":"b","body":""}
      """
    try Executable.succeed(
      ["ingest", store, "--format", "envelope"], input: input, scratch: scratch)
    let printed = try Executable.succeed(["read", store], scratch: scratch)
    let copy = scratch.path("copy")
    try Executable.succeed(
      ["ingest", copy, "--format", "envelope"], input: printed.lines.joined(separator: "\n"),
      scratch: scratch)
    let again = try Executable.succeed(["read", copy], scratch: scratch)
    #expect(again.lines.count == 3)
    #expect(again.lines.map(withoutTime) == printed.lines.map(withoutTime))
  }

  private func withoutTime(_ line: String) -> String {
    line.replacing(/"enqueuedTime":"[^"]*"/, with: "")
  }
}
