import EventModel
import Foundation
import LogFormat
import LogInspection
import Millrace
import StorageIO
import SystemPackage
import Testing

/// A store with queues as a released version of the format left it: a journal, queue files, their
/// directory, feedback and dead letters.
///
/// Beside the folder stands `queues.messages` with a line for each message that waits, each report
/// and each dead letter. Made as the stores of ``GoldenStoreTests`` are.
@Suite("Queues that were written long ago")
struct GoldenQueueTests {
  private static let folder = GoldenStoreTests.here.appending(path: "version-1/queues")
  private static let root: FilePath = "/store"
  private static let offline: [EventModel.DeviceID] = ["attic", "cellar", "roof"]
  private static let start: Int64 = 1_700_000_000_000_000

  /// Clocks that stand, so that nothing expires and no lock runs out.
  private static func open(
    _ disk: MemoryFileSystem, _ access: EventStore.Access
  ) async throws -> EventStore {
    var queues = EventStore.Queues(depthMax: 100, timeToLive: .seconds(1 << 30))
    queues.journalSegmentSize = 8 << 10
    return try await EventStore.open(
      at: root.string, configuration: .init(partitionCount: 1, queues: queues), access: access,
      environment: EngineEnvironment(
        fileSystem: disk, now: { Timestamp(microseconds: start) }, steady: { 0 },
        random: EngineEnvironment.system().random))
  }

  private static func load() throws -> MemoryFileSystem {
    var files: [FilePath: [UInt8]] = [:]
    let prefix = folder.path().count
    let found = try #require(
      FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil))
    for case let url as URL in found where !url.hasDirectoryPath {
      let name = String(url.path().dropFirst(prefix)).split(separator: "/").joined(separator: "/")
      files[root.appending(name)] = Array(try Data(contentsOf: url))
    }
    return MemoryFileSystem(files: files)
  }

  private static func expected() throws -> String {
    try String(contentsOf: folder.appendingPathExtension("messages"), encoding: .utf8)
  }

  @Test(
    "Whatever waits, and whatever was told, is there as it was written",
    arguments: [EventStore.Access.readOnly, .readWrite])
  func contents(_ access: EventStore.Access) async throws {
    let disk = try Self.load()
    let names = Set(disk.image.keys.compactMap(\.extension))
    #expect(names.isSuperset(of: ["journal", "queue", "directory", "segment"]))
    let store = try await Self.open(disk, access)
    #expect(try await Self.text(of: store) == Self.expected())
    try await store.close()
    if access == .readWrite {
      let again = try await Self.open(disk, .readOnly)
      #expect(try await Self.text(of: again) == Self.expected())
      try await again.close()
    }
  }

  @Test("Without the directory, which is derived, nothing is missing")
  func withoutDirectory() async throws {
    let whole = try Self.load()
    let disk = MemoryFileSystem(files: whole.image.filter { $0.key.extension != "directory" })
    let store = try await Self.open(disk, .readOnly)
    #expect(try await Self.text(of: store) == Self.expected())
    try await store.close()
  }

  @Test("A check is content")
  func check() throws {
    let found = try Fsck.check(Self.root, fileSystem: try Self.load())
    #expect(found.clean)
    #expect(found.findings.allSatisfy { $0.kind == .missingFile })
  }

  @Test("A bit that is flipped in a queue file hurts its device alone, and a check tells")
  func flippedBits() async throws {
    let whole = try Self.load()
    let path = try #require(whole.image.keys.first { $0.string.contains("/cellar-") })
    let bytes = try #require(whole.image[path])
    let expected = try Self.expected().split(separator: "\n").filter { $0.hasPrefix("waiting") }
    let others = expected.filter { !$0.contains("\tcellar\t") }
    var stated = 0
    for position in stride(from: 0, to: bytes.count, by: 3) {
      var damaged = bytes
      damaged[position] ^= 1 << (position % 8)
      var files = whole.image
      files[path] = damaged
      let disk = MemoryFileSystem(files: files)
      let found = try Fsck.check(Self.root, fileSystem: disk).findings.filter {
        $0.kind != .missingFile
      }
      let store = try await Self.open(disk, .readOnly)
      var waiting: [String] = []
      for device in Self.offline {
        do throws(EventStoreError) {
          waiting += try await Self.lines(of: device, in: store)
        } catch {
          #expect(error.code == .corrupt && device == "cellar", "byte \(position)")
        }
      }
      try await store.close()
      #expect(Set(waiting).isSubset(of: expected.map(String.init)), "byte \(position)")
      #expect(waiting.filter { !$0.contains("\tcellar\t") } == others.map(String.init))
      if !found.isEmpty { stated += 1 }
      if waiting.count < expected.count {
        #expect(found.contains { $0.acknowledgedLoss != nil }, "byte \(position)")
      }
      #expect(found.allSatisfy { $0.file.contains("cellar") }, "byte \(position): \(found)")
    }
    // Only the padding behind a frame means nothing.
    #expect(stated > bytes.count / 3 * 3 / 4)
  }

  /// `tools/reader.py` was written from `format-spec.md` alone.
  @Test(
    "The second reader finds what waits, in the store and in a queue file alone",
    arguments: ["", "queues/8e/cellar-00000001.queue"])
  func secondReader(_ name: String) throws {
    let (found, status) = try QueueReader.read(Self.folder.appending(path: name))
    #expect(status == 0)
    var expected: [String] = []
    for line in try Self.expected().split(separator: "\n") {
      let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
      guard fields[0] == "waiting", name.isEmpty || fields[1] == "cellar" else { continue }
      // All but the time, which the reader prints for people.
      expected.append((fields[1...3] + fields[5...]).joined(separator: "\t"))
    }
    #expect(found == expected)
    #expect(found.count == (name.isEmpty ? 9 : 3))
  }

  @Test("What waits is delivered and settled")
  func settling() async throws {
    let store = try await Self.open(try Self.load(), .readWrite)
    for device in Self.offline {
      let queue = store.deviceQueue(for: device)
      let messages = try await queue.receive(max: 10)
      #expect(messages.count == 3)
      let done = try await queue.complete(contentsOf: messages.map(\.lockToken))
      #expect(done == [true, true, true])
    }
    #expect(try await store.queueSummaries().isEmpty)
    try await store.close()
  }

  @Test(
    "A golden store is written where one is asked for",
    .enabled(if: ProcessInfo.processInfo.environment["MILLRACE_GOLDEN"] != nil))
  func make() async throws {
    let target = URL(
      filePath: try #require(ProcessInfo.processInfo.environment["MILLRACE_GOLDEN"])
    ).appending(path: "queues")
    let disk = MemoryFileSystem()
    let store = try await Self.open(disk, .createIfAbsent)
    try await Self.fill(store, disk)
    let text = try await Self.text(of: store)
    try await store.close()
    for (path, bytes) in disk.image where path.lastComponent?.string != FileNames.lock {
      let name = path.string.dropFirst(Self.root.string.count + 1)
      let url = target.appending(path: String(name))
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(bytes).write(to: url)
    }
    try Data(text.utf8).write(to: target.appendingPathExtension("messages"))
  }

  private static func fill(_ store: EventStore, _ disk: MemoryFileSystem) async throws {
    for (index, device) in offline.enumerated() {
      for number in 0..<3 {
        try await store.deviceQueue(for: device).enqueue(
          DeviceMessage(
            id: try MessageID("m-\(index)-\(number)"), body: Payload("\(number) for \(device)"),
            properties: number == 1 ? ["site": "plant-7", "line": "ü"] : .empty, feedback: .full))
      }
    }
    let first = store.deviceQueue(for: offline[0])
    try await first.abandon(try #require(try await first.receive(max: 1).first).lockToken)
    // Traffic that the journal forgets, and with it what waits.
    let busy = store.deviceQueue(for: "busy")
    let body = Payload([UInt8](repeating: 7, count: 500))
    for round in 0..<6 {
      for number in 0..<12 {
        try await busy.enqueue(
          DeviceMessage(
            id: try MessageID("b-\(round)-\(number)"), body: number == 0 ? "rejected" : body,
            feedback: number < 2 ? .full : FeedbackMode.none))
      }
      let messages = try await busy.receive(max: 12)
      try await busy.reject(try #require(messages.first).lockToken, reason: "not mine")
      try await busy.complete(contentsOf: messages.dropFirst().map(\.lockToken))
    }
    while try disk.list(root.appending("queues/journal"))
      .count(where: { $0.name.hasSuffix(".journal") }) > 2
    {
      await Task.yield()
    }
    while try await text(of: store).split(separator: "\n").count < 9 + 12 + 6 {
      await Task.yield()
    }
  }

  /// A line for each message that waits, each report and each dead letter.
  private static func text(of store: EventStore) async throws -> String {
    var lines: [String] = []
    for summary in try await store.queueSummaries().sorted(by: { $0.device < $1.device }) {
      lines += try await Self.lines(of: summary.device, in: store).map { $0 + "\n" }
    }
    func line(_ fields: String?...) {
      lines.append(fields.map { $0 ?? "-" }.joined(separator: "\t") + "\n")
    }
    for try await batch in store.batches(in: .feedback, until: .highWatermark) {
      for report in batch.compactMap(\.feedbackReport) {
        line(
          "feedback", "\(report.device)", "\(report.sequenceNumber)", report.originalMessageID,
          "\(report.statusCode)", report.description)
      }
    }
    for try await batch in store.batches(in: .deadLetters, until: .highWatermark) {
      for letter in batch.compactMap(\.deadLetter) {
        line(
          "dead letter", "\(letter.device)", "\(letter.sequenceNumber)",
          "\(letter.deliveryCount)", "\(letter.statusCode)", letter.reason,
          text(of: letter.message))
      }
    }
    return lines.joined()
  }

  /// A line for each message that waits for a device.
  private static func lines(
    of device: EventModel.DeviceID, in store: EventStore
  ) async throws(EventStoreError) -> [String] {
    try await store.deviceQueue(for: device).peek(max: 100).map { queued in
      [
        "waiting", "\(device)", "\(queued.sequenceNumber)", "\(queued.deliveryCount)",
        "\(queued.expiryTime.microseconds)", text(of: queued.message),
      ].joined(separator: "\t")
    }
  }

  private static func text(of message: DeviceMessage) -> String {
    let properties = message.properties.map { "\($0.name)=\($0.value)" }.sorted()
    return [
      message.systemProperties[.messageID] ?? "-", properties.joined(separator: ","),
      String(decoding: message.body.bytes, as: UTF8.self),
    ].joined(separator: "\t")
  }
}
