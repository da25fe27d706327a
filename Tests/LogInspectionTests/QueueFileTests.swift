import EventModel
import LogFormat
import LogInspection
import Millrace
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// What waits for long leaves the journal, and nothing else changes.
@Suite("Queue files")
struct QueueFileTests {
  static let offline = (0..<40).map { EventModel.DeviceID(stringLiteral: "offline-\($0)") }
  let disk = MemoryFileSystem()

  func open(
    _ disk: MemoryFileSystem? = nil, at path: String = "/store",
    _ access: EventStore.Access = .createIfAbsent
  ) async throws -> EventStore {
    var queues = EventStore.Queues(depthMax: 1_000, timeToLive: .seconds(1 << 30))
    queues.journalSegmentSize = 64 << 10
    // Clocks that stand: however slow the machine, no lock runs out.
    return try await EventStore.open(
      at: path, configuration: .init(partitionCount: 1, queues: queues), access: access,
      environment: environment(disk ?? self.disk))
  }

  func environment(
    _ disk: any FileSystem, after passed: Duration = .zero
  ) -> EngineEnvironment {
    let time = Timestamp(microseconds: 1_700_000_000_000_000).advanced(by: passed)
    return EngineEnvironment(
      fileSystem: disk, now: { time }, steady: { 0 }, random: EngineEnvironment.system().random)
  }

  func message(_ number: Int, _ device: EventModel.DeviceID) -> DeviceMessage {
    DeviceMessage(
      id: MessageID(stringLiteral: "m-\(number)"),
      body: Payload(Array("\(number) to \(device)".utf8)),
      properties: ["n": "\(number)"], feedback: .full)
  }

  func files(_ disk: MemoryFileSystem, _ root: FilePath = "/store") -> [FilePath] {
    disk.image.keys.filter { $0.string.hasPrefix(root.string) && $0.extension == "queue" }
  }

  private func journalSegments(_ disk: MemoryFileSystem) throws -> Int {
    try disk.list("/store/queues/journal").count { $0.name.hasSuffix(".journal") }
  }

  /// Messages to devices that are offline, then traffic until the journal knows nothing of them.
  ///
  /// Each of these devices has three messages; the first was received and abandoned once.
  func fill(_ store: EventStore) async throws {
    for number in 0..<3 {
      let outcome = try await store.enqueue(
        Self.offline.map { ($0, message(number, $0)) })
      #expect(outcome.refusal == nil)
    }
    for device in Self.offline {
      let queue = store.deviceQueue(for: device)
      let locked = try #require(try await queue.receive(max: 1).first)
      try await queue.abandon(locked.lockToken)
    }
    try await churn(store)
    let fresh = EventModel.DeviceID(stringLiteral: "busy")
    #expect(try await store.deviceQueue(for: fresh).counts() == nil)
  }

  func churn(
    _ store: EventStore, rounds: Int = 12, on disk: MemoryFileSystem? = nil
  ) async throws {
    let queue = store.deviceQueue(for: "busy")
    let body = Payload([UInt8](repeating: 7, count: 1_000))
    for _ in 0..<rounds {
      _ = try await store.enqueue((0..<60).map { _ in ("busy", DeviceMessage(body: body)) })
      let messages = try await queue.receive(max: 60)
      #expect(messages.count == 60)
      try await queue.complete(contentsOf: messages.map(\.lockToken))
    }
    while try journalSegments(disk ?? self.disk) > 3 { await Task.yield() }
  }

  /// Receives everything that waits for a device, and checks it.
  func expectWhole(_ store: EventStore, _ device: EventModel.DeviceID) async throws {
    let peeked = try await store.deviceQueue(for: device).peek(max: 10)
    #expect(peeked.map(\.deliveryCount) == [1, 0, 0])
    let messages = try await store.deviceQueue(for: device).receive(max: 10)
    #expect(messages.map(\.deliveryCount) == [2, 1, 1])
    for (number, received) in messages.enumerated() {
      let sent = message(number, device)
      #expect(received.message.body == sent.body)
      #expect(received.message.properties == sent.properties)
      #expect(received.message.systemProperties == sent.systemProperties)
    }
    #expect(messages.count == 3)
  }

  func findings(_ disk: MemoryFileSystem) throws -> [FsckFinding] {
    try Fsck.check("/store", fileSystem: disk).findings
  }

  @Test("Messages that wait leave the journal, are all there after opening, and their files go")
  func filed() async throws {
    let store = try await open()
    try await fill(store)
    #expect(files(disk).count == Self.offline.count)
    try await expectWhole(store, Self.offline[0])
    try await store.close()
    #expect(try findings(disk).isEmpty)

    let reader = try await open(at: "/store", .readOnly)
    #expect(try await reader.queueTotals().pending == 3 * Self.offline.count)
    #expect(try await reader.deviceQueue(for: Self.offline[7]).peek(max: 5).count == 3)
    try await reader.close()

    let again = try await open()
    for device in Self.offline.dropFirst() { try await expectWhole(again, device) }
    for device in Self.offline.dropFirst() {
      let queue = again.deviceQueue(for: device)
      // Locked by the store that was closed: purging takes all of them.
      #expect(try await queue.purge() == 3)
    }
    try await churn(again)
    while files(disk).count > 1 { await Task.yield() }
    #expect(files(disk)[0].lastComponent?.string.hasPrefix("offline-0-") == true)
    var reports = 0
    try await again.close()
    let last = try await open()
    for try await batch in last.batches(in: .feedback, until: .highWatermark) {
      reports += batch.compactMap(\.feedbackReport).count
    }
    #expect(reports == 3 * (Self.offline.count - 1))
    #expect(try await last.queueSummaries().map(\.device) == [Self.offline[0]])
    try await last.close()
    #expect(try findings(disk).isEmpty)
  }

  /// Leaves a queue file of three frames with two messages each, of which one is damaged.
  func damage(frame: Int, to device: EventModel.DeviceID) async throws -> FilePath {
    let store = try await open()
    let body = [UInt8](repeating: 0, count: 40_000)
    let messages = (0..<6).map { number in
      DeviceMessage(body: Payload([UInt8(number)] + body))
    }
    for message in messages { try await store.deviceQueue(for: device).enqueue(message) }
    try await churn(store)
    try await store.close()
    let path = try #require(files(disk).first { $0.string.contains("\(device)") })
    var bytes = try #require(disk.image[path])
    let starts = stride(from: FileHeader.size, to: bytes.count, by: FrameHeader.alignment).filter {
      FrameHeader.bearsMagic(bytes.span.bytes, at: $0)
    }
    try #require(starts.count == 4, "three frames and a mark")
    for index in starts[frame] + 80..<starts[frame] + 90 { bytes[index] ^= 0xff }
    let file = try disk.open(path, .readWrite)
    try file.write(bytes.span.bytes, at: .start)
    return path
  }

  @Test("Messages that cannot be read keep nobody from those behind them, and are told of")
  func unreadableFirst() async throws {
    let device: EventModel.DeviceID = "large"
    _ = try await damage(frame: 0, to: device)
    for access in [EventStore.Access.readOnly, .readWrite] {
      let store = try await open(at: "/store", access)
      let queue = store.deviceQueue(for: device)
      let peeked = try await queue.peekReadable(max: 3)
      #expect(peeked.found.compactMap { $0.message.body.bytes.first } == [2])
      #expect(peeked.damages.map { "\($0)".hasPrefix("message ") } == [true, true])
      #expect(try await queue.peek(max: 2).isEmpty)
      let listed = try await store.lookAtQueues(of: device)
      #expect(listed.found.map(\.pending) == [6] && listed.damages == [peeked.damages[0]])
      guard access == .readWrite else {
        try await store.close()
        continue
      }
      let first = try await queue.receiveReadable(max: 1)
      #expect(first.found.compactMap { $0.message.body.bytes.first } == [2])
      #expect(first.damages == peeked.damages)
      let blocking = try store.makeBlockingQueues()
      let second = try blocking.receive(by: device, max: 1)
      #expect(second.compactMap { $0.message.body.bytes.first } == [3])
      #expect(try await queue.receive(max: 9).compactMap { $0.message.body.bytes.first } == [4, 5])
      // What cannot be read is locked as well, and its deliveries count.
      #expect(try await queue.counts()?.locked == 6)
      try await store.close()
    }
  }

  @Test(
    "A file that cannot be opened now keeps no other message from expiring, and its own waits",
    .timeLimit(.minutes(5)))
  func expiringOthers() async throws {
    let store = try await open()
    for device: EventModel.DeviceID in ["blocked", "other"] {
      try await store.deviceQueue(for: device).enqueue(
        DeviceMessage(
          id: MessageID(stringLiteral: "\(device)"), body: "x", timeToLive: .seconds(100),
          feedback: .full))
    }
    try await churn(store)
    try await store.close()
    let failing = SimulatedDisk(files: disk.image)
    failing.plan = FaultPlan(failures: [
      .init(.call(.open, pathSuffix: "blocked-00000001.queue"), .tooManyOpenFiles, isLasting: true)
    ])
    let again = try await EventStore.open(
      at: "/store", configuration: .init(partitionCount: 1), access: .readWrite,
      environment: environment(failing, after: .seconds(101)))
    var told: [String?] = []
    for try await batch in again.batches(in: .feedback) {
      told += batch.compactMap(\.feedbackReport?.originalMessageID)
      if told.count == 2 { break }
      #expect(told == ["other"])
      // It is tried again, and not without rest.
      let before = failing.failureCount
      for _ in 0..<10_000 { await Task.yield() }
      #expect(failing.failureCount <= before + 2)
      failing.plan = .none
    }
    #expect(told == ["other", "blocked"])
    try await again.close()
  }

  @Test(
    "What is no file, or another user's, costs its own device's messages",
    arguments: [Errno.isDirectory, .tooManySymbolicLinkLevels, .permissionDenied])
  func noFile(_ reason: Errno) async throws {
    let store = try await open()
    try await fill(store)
    try await store.close()
    let victim = Self.offline[3]
    let failing = SimulatedDisk(files: disk.image)
    failing.plan = FaultPlan(
      failures: ["\(victim)-00000001.queue", "00000001.directory"].map {
        .init(.call(.open, pathSuffix: $0), reason, isLasting: true)
      })
    let again = try await EventStore.open(
      at: "/store", configuration: .init(partitionCount: 1), access: .readWrite,
      environment: environment(failing))
    let look = try await again.lookAtQueues()
    #expect(look.found.count == Self.offline.count - 1)
    #expect(look.damages == [.file(victim)])
    try await expectWhole(again, Self.offline[4])
    try await again.close()
  }

  @Test(
    "A queue file that the disk does not read stays as it is",
    arguments: [FileNames.queueSuffix, FileNames.journalSuffix])
  func unreadable(_ suffix: String) async throws {
    let store = try await open()
    try await fill(store)
    try await store.close()
    let failing = SimulatedDisk(files: disk.image)
    failing.plan = FaultPlan(
      failures: [.init(.call(.read, pathSuffix: suffix), .ioError, isLasting: true)])
    let found = try Fsck.check("/store", fileSystem: failing).findings
    #expect(found.contains { $0.kind == .unreadable && $0.file.hasSuffix(suffix) })
    _ = try StoreRepair.run("/store", environment: environment(failing))
    failing.plan = .none
    let left = failing.image.filter { !$0.key.string.contains("/quarantine/") }
    for (path, bytes) in disk.image
    where !FileNames.isDerived(path.string) && path.lastComponent?.string != FileNames.lock {
      #expect(left[path] == bytes || path.extension == "directory", "\(path) is another")
    }
  }

  @Test(
    "A directory that is gone or damaged is made again from the files", arguments: [true, false])
  func directory(isGone: Bool) async throws {
    let store = try await open()
    try await fill(store)
    try await store.close()
    var image = disk.image
    let path = try #require(image.keys.first { $0.extension == "directory" })
    if isGone {
      image[path] = nil
    } else {
      image[path]?[200] ^= 1
    }
    let damaged = MemoryFileSystem(files: image)
    let found = try findings(damaged)
    #expect(found.map(\.kind) == [.badIndex] && found[0].severity == .warning)
    let again = try await open(damaged)
    #expect(try await again.queueTotals().pending == 3 * Self.offline.count)
    for device in Self.offline { try await expectWhole(again, device) }
    try await again.close()
  }

  @Test("A damaged file costs its own device's messages, and that is stated")
  func damagedFile() async throws {
    let store = try await open()
    try await fill(store)
    try await store.close()
    var image = disk.image
    let victim = Self.offline[3]
    let path = try #require(
      image.keys.first { $0.lastComponent?.string.hasPrefix("\(victim)-0") == true })
    let size = try #require(image[path]?.count)
    image[path]?.replaceSubrange(150..<size, with: [UInt8](repeating: 0x55, count: size - 150))
    let damaged = MemoryFileSystem(files: image)
    let found = try findings(damaged)
    let loss = try #require(found.first?.acknowledgedLoss)
    #expect(
      found.count == 1 && found[0].file == "queues" + path.string.dropFirst("/store/queues".count))
    #expect(loss.devices == [victim.description])

    let again = try await open(damaged)
    for device in Self.offline where device != victim { try await expectWhole(again, device) }
    let queue = again.deviceQueue(for: victim)
    await #expect(throws: EventStoreError.self) { try await queue.receive(max: 10) }
    let sequence = try await queue.enqueue(message(9, victim))
    #expect(try await queue.receive(max: 10).map(\.sequenceNumber) == [sequence])
    // Its file is written anew, and what is left of the old one kept.
    try await churn(again, on: damaged)
    while try damaged.kind(of: "/store/quarantine") == nil { await Task.yield() }
    let kept = try damaged.list("/store/quarantine").map(\.name)
    #expect(kept.count == 1 && kept[0].hasPrefix("queues-\(victim)-"))
    #expect(try await queue.counts()?.pending == 4)
    #expect(try await queue.purge() == 4)
    try await again.close()
  }

  /// What a cut left looked like an unfinished write, which is a note.
  @Test("A file that is cut within a frame is no unfinished write: its loss is an error")
  func cutFile() async throws {
    let store = try await open()
    try await fill(store)
    try await store.close()
    let path = try #require(files(disk).first)
    let bytes = try #require(disk.image[path])
    // Up to the last frame of messages, behind which is a mark.
    for size in stride(from: FileHeader.size, to: bytes.count - 2 * FrameHeader.size, by: 37) {
      let damaged = disk.replacing(path, by: Array(bytes[..<size]))
      let result = try Fsck.check("/store", fileSystem: damaged)
      #expect(!result.clean && result.findings.contains { $0.acknowledgedLoss != nil }, "\(size)")
    }
  }

  @Test("What was completed together is no loss where its file is damaged")
  func settledTogether() async throws {
    let store = try await open()
    try await fill(store)
    let queue = store.deviceQueue(for: Self.offline[5])
    let messages = try await queue.receive(max: 3)
    try await queue.complete(contentsOf: messages.prefix(2).map(\.lockToken))
    try await store.close()
    var image = disk.image
    let path = try #require(
      image.keys.first { $0.lastComponent?.string.hasPrefix("\(Self.offline[5])-0") == true })
    image[path]?[200] ^= 1
    let found = try findings(MemoryFileSystem(files: image))
    let loss = try #require(found.first?.acknowledgedLoss)
    #expect(found.count == 1)
    #expect(loss.firstSequence == messages[2].sequenceNumber)
    #expect(loss.nextSequence == messages[2].sequenceNumber + 1)
  }

  @Test("A copy has the queues as they were, also beside traffic")
  func copy() async throws {
    let store = try await open()
    try await fill(store)
    let traffic = Task { try await churn(store, rounds: 20) }
    for number in 0..<5 {
      try await store.snapshot(to: "/copy-\(number)")
      let root = FilePath("/copy-\(number)")
      #expect(files(disk, root).count == Self.offline.count)
      #expect(try Fsck.check(root, fileSystem: disk).clean)
      let copy = try await open(at: root.string)
      for device in Self.offline.prefix(3) { try await expectWhole(copy, device) }
      try await copy.close()
    }
    try await traffic.value
    try await store.close()
  }
}
