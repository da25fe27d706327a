import Foundation
import Glibc
import Millrace
import Testing

/// The tools that look at a store, given one that may be anything.
struct EveryTool {
  /// What each may end with, never a signal: success, what it found, or a refusal.
  private static let reads: Set<Int32> = [0, 1, 2]
  private static let checks: Set<Int32> = [0, 4, 8]
  private static let repairs: Set<Int32> = [0, 1, 4, 5, 8, 9, 12, 13]
  /// KiB that each may take, whatever the files say: far more than these stores hold.
  private static let memoryMax = 256 << 10

  let scratch: Scratch
  /// Every event that was ever appended.
  let written: Set<StoredEvent>

  /// Looks at a store with all of them, repairs it and looks again.
  ///
  /// - Parameters:
  ///   - store: the path.
  ///   - context: what was done to it.
  /// - Throws: what starting a process throws.
  func look(at store: String, _ context: String) throws {
    let before = try read(store, context)
    _ = try run(["fsck", store, "--json"], Self.checks, context)
    _ = try run(["dump", store, "--frames"], Self.reads, context)
    _ = try run(["stat", store], Self.reads, context)
    _ = try run(["groups", "list", store], Self.reads, context)
    _ = try run(["queue", "list", store], Self.reads, context)
    let rescued = scratch.path("rescued")
    _ = try run(["salvage", store, "--into", rescued], Self.reads, context)
    if FileManager.default.fileExists(atPath: rescued) {
      try checkRescued(rescued, "\(context), salvaged")
      try FileManager.default.removeItem(atPath: rescued)
    }
    try repair(store, before, context)
  }

  /// What reading gives: nothing that was never appended.
  func read(_ store: String, _ context: String) throws -> [StoredEvent] {
    let events = try run(["read", store], Self.reads, context).events
    let strangers = events.filter { !written.contains($0) }
    #expect(strangers.isEmpty, "\(context): \(strangers.prefix(3)) were never appended")
    #expect(Set(events).count == events.count, "\(context): events come twice")
    return events
  }

  /// What was salvaged has numbers of its own, and is nothing that was never appended.
  private func checkRescued(_ store: String, _ context: String) throws {
    let events = try run(["read", store], Self.reads, context).events
    let known = Set(written.map { [$0.deviceId, $0.body] })
    #expect(events.allSatisfy { known.contains([$0.deviceId, $0.body]) }, "\(context)")
  }

  /// Repairs a store: where that says that all is well, it is, and nothing is lost by it.
  func repair(_ store: String, _ before: [StoredEvent], _ context: String) throws {
    let status = try run(["fsck", store, "--repair"], Self.repairs, context).status
    guard status <= 1 else { return }
    let after = try read(store, "\(context), repaired")
    #expect(Set(after).isSuperset(of: before), "\(context): a repair lost events")
    #expect(try run(["fsck", store], Self.checks, context).status == 0, "\(context): repaired")
    let again = try run(["fsck", store, "--repair"], Self.repairs, context)
    #expect(again.status == 0, "\(context): \(again.errors)")
  }

  private func run(
    _ arguments: [String], _ allowed: Set<Int32>, _ context: String
  ) throws -> Executable.Outcome {
    let command = try Executable(arguments, memoryMax: Self.memoryMax, scratch: scratch)
    do {
      let outcome = try command.finish()
      #expect(
        allowed.contains(outcome.status),
        "\(context): \(arguments) ended with \(outcome.status): \(outcome.errors)")
      // A refusal says why.
      if outcome.status == 1 || outcome.status == 8, !arguments.contains("--repair") {
        #expect(outcome.errors.hasPrefix("millrace: "), "\(context): \(arguments)")
      }
      return outcome
    } catch {
      command.send(signal: SIGKILL)
      Issue.record("\(context): \(arguments): \(error)")
      throw error
    }
  }
}

/// A store with something of everything, of which copies are spoilt.
struct SpoiltStore {
  let path: String
  let tools: EveryTool
  private let template: String

  /// Makes the store.
  ///
  /// - Throws: what starting a process throws, or the engine.
  init(eventCount: Int, scratch: Scratch) async throws {
    template = scratch.path("template")
    path = scratch.path("spoilt")
    let fill = String(repeating: "fill ", count: 12)
    let lines = (0..<eventCount).map { number in
      #"{"device":"d\#(number % 20)","n":\#(number),"x":"\#(fill)\#(number &* 7_919)"}"#
    }
    try Executable.succeed(
      [
        "ingest", template, "--format", "ndjson", "--device-field", "/device", "--partitions", "2",
        "--segment-size", "64KiB", "--codec", "none",
      ], input: lines.joined(separator: "\n") + "\n", scratch: scratch)
    try await Self.settle(template)
    for number in 0..<4 {
      try Executable.succeed(
        ["queue", "send", template, "d1", "--body", "m\(number)", "--ack", "full"],
        scratch: scratch)
    }
    for (settlement, count) in [("complete", "1"), ("reject", "2")] {
      try Executable.succeed(
        ["queue", "receive", template, "d1", "--max", count, "--settle", settlement],
        scratch: scratch)
    }
    try Executable.succeed(
      ["read", template, "--group", "g", "--commit", "--max", "100"], scratch: scratch)
    let written = try Executable.succeed(["read", template], scratch: scratch).events
    try #require(written.count == eventCount)
    tools = EveryTool(scratch: scratch, written: Set(written))
  }

  /// Lets the engine do what nobody waits for: it makes the footers of sealed segments, and moves a
  /// message that waits for long into a queue file.
  ///
  /// The segments of the journal that the command makes are far too large for that.
  private static func settle(_ path: String) async throws {
    var queues = EventStore.Queues(depthMax: 100)
    queues.journalSegmentSize = 8 << 10
    let store = try await EventStore.open(
      at: path, configuration: .init(queues: queues), access: .readWrite)
    try await store.deviceQueue(for: "offline").enqueue(DeviceMessage(body: "waits"))
    let queue = store.deviceQueue(for: "busy")
    let body = Payload([UInt8](repeating: 7, count: 500))
    while try !isSettled(path) {
      _ = try await store.enqueue((0..<12).map { _ in ("busy", DeviceMessage(body: body)) })
      let messages = try await queue.receive(max: 12)
      try await queue.complete(contentsOf: messages.map(\.lockToken))
    }
    try await store.close()
  }

  private static func isSettled(_ path: String) throws -> Bool {
    let files = try FileManager.default.subpathsOfDirectory(atPath: path)
    let segments = files.filter { $0.hasPrefix("partitions/") && $0.hasSuffix(".segment") }
    let partitions = Set(segments.map { ($0 as NSString).deletingLastPathComponent })
    let footers = files.count { $0.hasSuffix(".footer") }
    return footers == segments.count - partitions.count
      && files.contains { $0.hasSuffix(".queue") } && files.contains { $0.hasSuffix(".directory") }
  }

  /// Puts a copy of the store in place of what was spoilt last.
  func renew() throws {
    if hasPresence { try FileManager.default.removeItem(atPath: path) }
    try FileManager.default.copyItem(atPath: template, toPath: path)
  }

  /// Whether something has the name, be it a link to nothing.
  private var hasPresence: Bool {
    var status = stat()
    return lstat(path, &status) == 0
  }

  /// The paths of its files, in the order of their names.
  var files: [String] {
    get throws {
      try FileManager.default.subpathsOfDirectory(atPath: path).sorted().filter {
        var isDirectory: ObjCBool = false
        let isThere = FileManager.default.fileExists(
          atPath: "\(path)/\($0)", isDirectory: &isDirectory)
        return !(isThere && isDirectory.boolValue)
      }
    }
  }
}
