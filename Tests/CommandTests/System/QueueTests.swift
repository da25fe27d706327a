import Foundation
import Testing

@Suite("Messages to devices by command")
struct QueueTests {
  private let scratch: Scratch
  private let store: String

  init() throws {
    scratch = try Scratch()
    store = scratch.path("store")
    try Executable.succeed(["init", store], scratch: scratch)
  }

  private struct Message: Decodable, Equatable {
    var sequenceNumber: Int
    var enqueuedTime: String
    var deviceId: String
    var messageId: String?
    var properties: [String: String]?
    var body: String?
    var bodyBase64: String?
    var deliveryCount: Int?
    var lockToken: String?
    var expiryTime: String?
    var statusCode: String?
    var reason: String?
  }

  private struct Report: Decodable {
    var originalMessageId: String?
    var deviceId: String
    var enqueuedTimeUtc: String
    var statusCode: String
    var description: String
  }

  @discardableResult
  private func run(_ arguments: [String], input: String = "") throws -> Executable.Outcome {
    try Executable.succeed(arguments, input: input, scratch: scratch)
  }

  private func refuse(_ arguments: [String], status: Int, _ word: String) throws {
    let outcome = try Executable.run(arguments, scratch: scratch)
    #expect(Int(outcome.status) == status, "\(arguments): \(outcome.errors)")
    #expect(outcome.errors.hasPrefix("millrace: error: "), "\(outcome.errors)")
    #expect(outcome.errors.contains(word), "\(outcome.errors)")
  }

  private func read<Line: Decodable>(_ arguments: [String]) throws -> [Line] {
    try run(arguments).output.lines.map { try JSONDecoder().decode(Line.self, from: $0) }
  }

  private func sequences(_ outcome: Executable.Outcome) -> [Int] {
    outcome.lines.compactMap { Int($0) }
  }

  @Test("send, peek, receive, list: keys as promised, and an empty queue prints nothing")
  func roundTrip() throws {
    #expect(try run(["queue", "receive", store, "d1"]).output.isEmpty)
    let sent = try run([
      "queue", "send", store, "d1", "--message-id", "m1", "--ttl", "1h", "--ack", "full",
      "--property", "a=b=c", "--property", "x=", "--body", "-hello ✓",
    ])
    let number = try #require(sequences(sent).first)
    let file = scratch.path("body")
    try Data([0xff, 0x00, 0x1f, 0x8b]).write(to: URL(fileURLWithPath: file))
    let second = sequences(try run(["queue", "send", store, "d1", "--body-file", file]))
    #expect(second.count == 1 && second[0] > number)
    let peeked: [Message] = try read(["queue", "peek", store, "d1", "--max", "9"])
    #expect(peeked.map(\.sequenceNumber) == [number, second[0]])
    #expect(peeked.map(\.deliveryCount) == [0, 0] && peeked[0].lockToken == nil)
    let received: [Message] = try read(["queue", "receive", store, "d1"])
    let message = try #require(received.first)
    #expect(received.count == 1 && message.sequenceNumber == number)
    #expect(message.messageId == "m1" && message.body == "-hello ✓" && message.deliveryCount == 1)
    #expect(message.properties == ["a": "b=c", "x": ""])
    #expect(message.lockToken?.count == 32 && message.expiryTime?.hasSuffix("Z") == true)
    #expect(message.enqueuedTime == peeked[0].enqueuedTime)
    // The lock ended with the command, and the delivery counts.
    let again: [Message] = try read(["queue", "receive", store, "d1", "--max", "5"])
    #expect(again.map(\.deliveryCount) == [2, 1])
    #expect(again[1].bodyBase64 == "/wAfiw==")
    struct Line: Decodable, Equatable {
      var deviceId: String
      var pending, locked: Int
      var oldestTime: String
    }
    try run(["queue", "send", store, "a0", "--body", "x"])
    let lines: [Line] = try read(["queue", "list", store, "--json"])
    #expect(lines.map(\.deviceId) == ["a0", "d1"] && lines.map(\.pending) == [1, 2])
    #expect(lines.map(\.locked) == [0, 0] && lines[1].oldestTime == message.enqueuedTime)
    let one: [Line] = try read(["queue", "list", store, "d1", "--json"])
    #expect(one == [lines[1]])
    struct Stat: Decodable {
      struct Queues: Decodable { var devices, pending, locked: Int }
      var queues: Queues
    }
    let stat = try run(["stat", store, "--json"]).document(Stat.self).queues
    #expect(stat.devices == 2 && stat.pending == 3 && stat.locked == 0)
    #expect(try run(["fsck", store]).status == 0)
    let dump = try run(["dump", store, "--records", "--json"])
    #expect(dump.status == 0)
    // What was received together is one record.
    let locked = dump.lines.filter { $0.contains(#""entry":"locked""#) }
    #expect(locked.count == 2)
    func entry(_ number: Int, _ count: Int) -> String {
      #""entry":"locked","message":\#(number),"deliveryCount":\#(count),"#
        + #""durationMicroseconds":60000000"#
    }
    #expect(locked.first?.hasSuffix(#""body":"",\#(entry(number, 1))}"#) == true)
    #expect(
      locked.last?.hasSuffix(
        #""body":"","entries":[{\#(entry(number, 2))},{\#(entry(second[0], 1))}]}"#) == true)
  }

  @Test("Each way a message ends: feedback and dead letters say so, once, and resend sends again")
  func outcomes() throws {
    func send(_ id: String, _ more: String...) throws {
      try run(
        ["queue", "send", store, "d", "--message-id", id, "--ack", "full", "--body", id] + more)
    }
    try send("done")
    try run(["queue", "receive", store, "d", "--settle", "complete"])
    try send("bad")
    try run(["queue", "receive", store, "d", "--settle", "reject", "--reason", "too hot"])
    try send("kept")
    try run(["queue", "receive", store, "d", "--settle", "abandon"])
    let purged = try run(["queue", "purge", store, "d", "--json"])
    #expect(purged.lines.first?.contains(#""totalMessagesPurged":1"#) == true)
    try send("short", "--ttl", "1ms")
    #expect(try run(["queue", "receive", store, "d"]).output.isEmpty)
    let reports: [Report] = try read(["feedback", "read", store])
    #expect(reports.map(\.originalMessageId) == ["done", "bad", "kept", "short"])
    #expect(reports.map(\.statusCode) == ["Success", "Rejected", "Purged", "Expired"])
    #expect(reports[1].description == "too hot" && reports[1].deviceId == "d")
    let some: [Report] = try read(
      ["feedback", "read", store, "--group", "$Default", "--commit", "--max", "3"])
    #expect(some.count == 3)
    let rest: [Report] = try read(["feedback", "read", store, "--group", "$Default"])
    #expect(rest.map(\.statusCode) == ["Expired"])
    let letters: [Message] = try read(["dead-letters", "read", store])
    #expect(letters.map(\.body) == ["bad", "short"])
    #expect(letters.map(\.statusCode) == ["Rejected", "Expired"])
    #expect(letters.map(\.reason) == ["too hot", "Expired"])
    let number = letters[0].sequenceNumber
    #expect(
      sequences(try run(["dead-letters", "resend", store, "--sequence", "\(number)"])).count == 1)
    let back: [Message] = try read(["queue", "receive", store, "d", "--settle", "complete"])
    #expect(back.map(\.body) == ["bad"] && back[0].sequenceNumber > number)
    let left: [Message] = try read(["dead-letters", "read", store, "--max", "1"])
    #expect(left.map(\.body) == ["short"])
    try refuse(["dead-letters", "resend", store, "--sequence", "\(number)"], status: 1, "before")
    #expect(sequences(try run(["dead-letters", "resend", store, "--device", "d"])).count == 1)
    #expect(try run(["dead-letters", "resend", store, "--all"]).output.isEmpty)
    #expect(try run(["dead-letters", "read", store]).output.isEmpty)
    let again: [Message] = try read(["queue", "peek", store, "d"])
    #expect(again.map(\.body) == ["short"])
    try refuse(["dead-letters", "resend", store, "--sequence", "999999"], status: 1, "999999")
    #expect(try run(["fsck", store]).status == 0)
  }

  @Test("Lines from standard input: numbers in their order, and the first refusal ends it")
  func lines() throws {
    let good = (0..<600).map {
      #"{"deviceId":"d\#($0 % 20)","messageId":"m\#($0)","body":"\#($0)","ack":"negative"}"#
    }
    let numbers = sequences(
      try run(["queue", "send", store, "--stdin"], input: good.joined(separator: "\n")))
    #expect(numbers.count == 600 && numbers == numbers.sorted())
    let first: [Message] = try read(["queue", "peek", store, "d3", "--max", "2"])
    #expect(first.map(\.sequenceNumber) == [numbers[3], numbers[23]])
    // The queue of a device holds 50.
    let flood = (0..<60).map { #"{"deviceId":"full","body":"\#($0)"}"# }
    let outcome = try Executable.run(
      ["queue", "send", store, "--stdin"], input: flood.joined(separator: "\n"), scratch: scratch)
    #expect(outcome.status == 1 && outcome.lines.count == 50)
    #expect(outcome.errors.contains("line 51"), "\(outcome.errors)")
    #expect(outcome.errors.contains("50 messages, the limit is 50"), "\(outcome.errors)")
    let wrong = try Executable.run(
      ["queue", "send", store, "--stdin"],
      input: "{\"deviceId\":\"w\",\"body\":\"1\"}\n{\"deviceId\":\"w\",\"ack\":\"maybe\"}\n",
      scratch: scratch)
    #expect(wrong.status == 1 && wrong.lines.count == 1)
    #expect(wrong.errors.contains("line 2") && wrong.errors.contains("ack"), "\(wrong.errors)")
  }

  @Test("Wrong words are usage, refusals are failures with advice")
  func refusals() throws {
    let missing = scratch.path("missing")
    for arguments in [
      ["queue", "send", store], ["queue", "send", store, "no spaces", "--body", "x"],
      ["queue", "send", store, "d", "--body", "x", "--body-file", "y"],
      ["queue", "send", store, "d", "--ttl", "0s"], ["queue", "send", store, "d", "--stdin"],
      ["queue", "send", store, "d", "--property", "novalue"],
      ["queue", "receive", store, "d", "--max", "-1"],
      ["queue", "receive", store, "d", "--reason", "x"], ["queue", "peek", store, ""],
      ["feedback", "read", store, "--commit"], ["dead-letters", "resend", store],
      ["dead-letters", "resend", store, "--all", "--device", "d"],
    ] {
      try refuse(arguments, status: 64, "--help")
    }
    try refuse(["queue", "send", missing, "d", "--body", "x"], status: 1, "millrace init")
    try refuse(["queue", "send", store, "d", "--body-file", missing], status: 1, missing)
    let large = scratch.path("large")
    try Data(count: 65_537).write(to: URL(fileURLWithPath: large))
    try refuse(["queue", "send", store, "d", "--body-file", large], status: 1, "65536")
  }

  @Test("An argument that is not UTF-8 is refused, and nothing is stored in its place")
  func bytes() throws {
    let wrong: [[[UInt8]]] = [
      [Array("--body".utf8), [0xff, 0xfe]], [Array("--property".utf8), Array("k=".utf8) + [0xff]],
    ]
    for more in wrong {
      let outcome = try Executable(["queue", "send", store, "d"], more, scratch: scratch).finish()
      #expect(outcome.status == 64 && outcome.output.isEmpty)
      #expect(outcome.errors.hasPrefix("millrace: error: argument 6"), "\(outcome.errors)")
      #expect(outcome.errors.contains("--body-file") && outcome.errors.contains("bodyBase64"))
    }
    let path = try Executable(["stat"], [Array(store.utf8) + [0xff]], scratch: scratch).finish()
    #expect(path.status == 64 && path.errors.contains("not UTF-8"), "\(path.errors)")
    #expect(try run(["queue", "peek", store, "d"]).output.isEmpty)
  }

  @Test("Messages outlast a killed sender; what it printed is there")
  func killed() throws {
    let sender = try Executable(["queue", "send", store, "--stdin"], scratch: scratch)
    var printed = Data()
    for number in 0..<40 {
      sender.send(#"{"deviceId":"d","body":"\#(number)"}"#.utf8 + [0x0a])
      while printed.lineEnds.count <= number {
        let more = try sender.receive()
        try #require(!more.isEmpty, "the sender ended")
        printed += more
      }
    }
    sender.send(signal: SIGKILL)
    _ = try sender.finish()
    let messages: [Message] = try read(["queue", "receive", store, "d", "--max", "50"])
    #expect(messages.map(\.body) == (0..<40).map { "\($0)" })
    #expect(
      messages.map { "\($0.sequenceNumber)" }
        == String(decoding: printed, as: UTF8.self).split(separator: "\n").map(String.init))
  }
}
