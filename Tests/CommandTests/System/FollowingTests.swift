import Foundation
import Glibc
import Testing

@Suite("Reading beside a writer")
struct FollowingTests {
  private let scratch: Scratch

  init() throws { scratch = try Scratch() }

  @Test("A follower sees every event once it is durable, in order, over rolls, and ends quietly")
  func following() throws {
    let store = scratch.path("store")
    try Executable.succeed(
      ["init", store, "--partitions", "3", "--segment-size", "64KiB"], scratch: scratch)
    let follower = try Executable(["read", store, "--follow"], scratch: scratch)
    let writer = try Executable(
      ["ingest", store, "--format", "ndjson", "--device-field", "/device"], scratch: scratch)
    var printed = Data()
    var sentCount = 0
    var printedCount = 0
    // One line, then many: each pause must make what was sent visible, full batch or not.
    for count in [1, 1, 5_000, 1, 300, 9_000, 2] {
      let lines = (sentCount..<sentCount + count).map { index in
        #"{"device":"d\#(index * 7_919 % 50)","n":\#(index),"x":"\#(index &* 2_654_435_761)"}"#
      }
      sentCount += count
      writer.send((lines.joined(separator: "\n") + "\n").utf8)
      while printedCount < sentCount {
        let more = try follower.receive()
        try #require(!more.isEmpty, "the follower ended")
        printed += more
        printedCount += more.lineEnds.count
      }
    }
    follower.send(signal: SIGINT)
    let ended = try follower.finish()
    #expect(ended.status == 0)
    #expect(ended.errors == "")
    #expect(ended.output.isEmpty)
    #expect(try writer.finish().status == 0)
    try check(printed, count: sentCount)
    let segments = try FileManager.default.contentsOfDirectory(atPath: store + "/partitions/000")
    #expect(segments.count { $0.hasSuffix(".segment") } > 1, "nothing was rolled")
  }

  @Test(
    "A follower ends when nobody reads what it prints, without waiting for more",
    arguments: [["read"], ["feedback", "read"]])
  func unread(_ command: [String]) throws {
    let store = scratch.path("store")
    try Executable.succeed(
      ["ingest", store, "--format", "envelope"], input: #"{"deviceId":"d","body":"x"}"#,
      scratch: scratch)
    let follower = try Executable(command + [store, "--follow"], scratch: scratch)
    if command == ["read"] { #expect(try !follower.receive().isEmpty) }
    // It would never end by itself.
    let processID = follower.processID
    let end = DispatchWorkItem { kill(processID, SIGKILL) }
    DispatchQueue.global().asyncAfter(deadline: .now() + 60, execute: end)
    follower.closeOutput()
    let outcome = try follower.finish()
    end.cancel()
    #expect(outcome.status == 0 && outcome.errors == "")
  }

  private func check(_ printed: Data, count: Int) throws {
    struct Body: Decodable { let n: Int }
    let outcome = Executable.Outcome(status: 0, output: printed, errors: "")
    let events = try outcome.events
    #expect(events.count == count)
    var next = [0, 0, 0]
    var last: [String: Int] = [:]
    for event in events {
      #expect(event.sequenceNumber == next[event.partition])
      next[event.partition] += 1
      let number = try JSONDecoder().decode(Body.self, from: Data(event.body.utf8)).n
      #expect(last[event.deviceId].map { $0 < number } ?? true)
      last[event.deviceId] = number
    }
  }

  @Test("A second writer is turned away with the first one's process, and harms nothing")
  func secondWriter() throws {
    let store = scratch.path("store")
    try Executable.succeed(["init", store], scratch: scratch)
    let writer = try Executable(["ingest", store, "--format", "envelope"], scratch: scratch)
    // Once an event of it is readable it holds the lock.
    let follower = try Executable(["read", store, "--follow", "--max", "1"], scratch: scratch)
    writer.send("{\"deviceId\":\"a\",\"body\":\"first\"}\n".utf8)
    #expect(try follower.finish().events.map(\.body) == ["first"])
    for arguments in [
      ["ingest", store, "--format", "envelope"], ["groups", "create", store, "late"],
      ["groups", "reset", store, "$Default", "--to", "latest"],
      ["read", store, "--group", "$Default", "--commit"],
    ] {
      let refused = try Executable.run(arguments, scratch: scratch)
      #expect(refused.status == 1)
      #expect(refused.errors.hasPrefix("millrace: error: "))
      #expect(refused.errors.contains("process \(writer.processID)"), "\(refused.errors)")
      #expect(refused.output.isEmpty)
    }
    for arguments in [
      ["stat", store], ["fsck", store], ["dump", store], ["groups", "list", store],
      ["salvage", store, "--into", scratch.path("saved")],
    ] {
      try Executable.succeed(arguments, scratch: scratch)
    }
    #expect(try writer.finish().status == 0)
  }
}
