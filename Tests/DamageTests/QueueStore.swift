import EventModel
import Millrace
import StorageIO
import SystemPackage

/// A store of a few KiB with everything that there is about device queues: a journal of runs and
/// single entries, queue files of which some are outdated, their directory, feedback and dead
/// letters, one of them sent again.
///
/// The engine writes it, in memory.
struct QueueStore: Sendable {
  /// How the writer left the store.
  enum Ending: String, CaseIterable, Sendable {
    case closed
    /// Killed after a sync: nothing in the files says that it returned.
    case killed
  }

  static let root: FilePath = "/store"
  private static let time = Timestamp(microseconds: 1_700_000_000_000_000)
  /// Devices whose messages are in queue files.
  static let filed: [EventModel.DeviceID] = ["attic", "cellar", "roof"]
  private static let busy: EventModel.DeviceID = "busy"
  private static let gone: EventModel.DeviceID = "gone"
  static let devices = filed + [busy, gone, "late"]

  let ending: Ending
  private(set) var files: [FilePath: [UInt8]]
  /// The same files; never written to.
  private var disk: MemoryFileSystem
  /// What an undamaged store shows.
  let contents: QueueContents
  /// The text of every message that was ever sent.
  let sent: [EventModel.DeviceID: [UInt64: String]]

  var fileSystem: MemoryFileSystem { disk.copy() }

  var directories: [FilePath] { disk.directories }

  /// Of what the queues are in: folders, the manifest that names their files, and the lock.
  private static let names = ["/queues/", "/feedback/", "/dead-letter/", "/MANIFEST", "/LOCK"]

  /// The files that the queues go by.
  var queueFiles: [FilePath: [UInt8]] {
    files.filter { path, bytes in
      !bytes.isEmpty && Self.names.contains { path.string.contains($0) }
    }
  }

  /// A file with few of the zeros that its writer has written ahead: they are all alike, and would
  /// be most of what is damaged.
  private static func trimmed(_ bytes: [UInt8]) -> [UInt8] {
    let end = bytes.lastIndex { $0 != 0 } ?? -1
    return Array(bytes.prefix(end + 1 + zeroCountMax))
  }

  private static let zeroCountMax = 512

  /// The same store with another content of one file; nil removes it.
  func replacing(_ path: FilePath, by bytes: [UInt8]?) -> QueueStore {
    var store = self
    store.files[path] = bytes
    store.disk = disk.replacing(path, by: bytes)
    return store
  }

  /// Whether a file system holds what the store does.
  func isUntouched(on fileSystem: MemoryFileSystem) -> Bool { fileSystem.isSame(as: disk) }

  /// Opens a store by clocks that stand, so that nothing expires and no lock runs out.
  static func open(
    _ disk: any FileSystem, _ access: EventStore.Access
  ) async throws(EventStoreError) -> EventStore {
    var queues = EventStore.Queues(depthMax: 100, timeToLive: .seconds(1 << 30))
    queues.journalSegmentSize = 8 << 10
    return try await EventStore.open(
      at: root.string, configuration: .init(partitionCount: 1, queues: queues), access: access,
      environment: EngineEnvironment(
        fileSystem: disk, now: { time }, steady: { 0 },
        random: EngineEnvironment.system().random))
  }

  /// Lets the engine write the store.
  init(_ ending: Ending) async throws {
    let disk = MemoryFileSystem()
    var writer = QueueStoreWriter(store: try await Self.open(disk, .createIfAbsent))
    try await writer.send(3, to: Self.filed + [Self.gone])
    let attic = writer.store.deviceQueue(for: Self.filed[0])
    try await attic.abandon(contentsOf: try await attic.receive(max: 1))
    // Traffic that the journal forgets, and with it what waits: after a roll that finds it settled.
    repeat {
      try await writer.deliver(12, to: Self.busy)
    } while try writer.rounds < 6 || !Self.isForgotten(on: disk)
    // Behind it what the files do not say: they are outdated by now.
    let cellar = writer.store.deviceQueue(for: Self.filed[1])
    let locked = try await cellar.receive(max: 3)
    try await cellar.complete(contentsOf: locked.prefix(2).map(\.lockToken))
    try await attic.abandon(contentsOf: try await attic.receive(max: 2), after: .seconds(60))
    try await writer.store.deviceQueue(for: Self.gone).remove()
    try await writer.send(2, to: [Self.filed[2], "late", Self.busy])
    try await writer.resendFirst()
    contents = try await writer.contents(reports: 2 * writer.rounds + 2)
    sent = writer.sent
    if ending == .closed { try await writer.store.close() }
    files = disk.image.mapValues(Self.trimmed)
    self.disk = MemoryFileSystem(files: files, directories: disk.directories)
    if ending == .killed { try await writer.store.close() }
    self.ending = ending
  }
}

extension QueueStore {
  /// Whether the journal has let go of all but its last segments, and queue files hold what waits.
  private static func isForgotten(on disk: MemoryFileSystem) throws -> Bool {
    let journal = try disk.list(root.appending("queues/journal"))
    return journal.count { $0.name.hasSuffix(".journal") } <= 2
      && disk.image.keys.contains { $0.extension == "queue" }
  }
}

/// Writes the messages of a ``QueueStore``.
private struct QueueStoreWriter {
  let store: EventStore
  private(set) var sent: [EventModel.DeviceID: [UInt64: String]] = [:]
  private var count = 0
  /// How often something was delivered.
  private(set) var rounds = 0

  init(store: EventStore) { self.store = store }

  /// Sends so many messages to each of some devices.
  mutating func send(_ count: Int, to devices: [EventModel.DeviceID]) async throws {
    for number in 0..<count {
      for device in devices {
        let message = DeviceMessage(
          id: try MessageID("m-\(self.count)"), body: Payload("\(number) for \(device)"),
          properties: number == 1 ? ["site": "plant-7", "line": "ü"] : .empty, feedback: .full)
        self.count += 1
        let sequence = try await store.deviceQueue(for: device).enqueue(message)
        note(message, sequence, device)
      }
    }
  }

  private mutating func note(
    _ message: DeviceMessage, _ sequence: UInt64, _ device: EventModel.DeviceID
  ) {
    sent[device, default: [:]][sequence] = QueueContents.text(of: message)
  }

  /// Sends messages together and settles them: the first is rejected, and of the first two their
  /// sender hears.
  mutating func deliver(_ count: Int, to device: EventModel.DeviceID) async throws {
    rounds += 1
    let body = Payload([UInt8](repeating: 7, count: 500))
    let messages = try (0..<count).map { number in
      DeviceMessage(
        id: try MessageID("b-\(self.count + number)"), body: number == 0 ? "rejected" : body,
        feedback: number < 2 ? .full : FeedbackMode.none)
    }
    self.count += count
    let outcome = try await store.enqueue(messages.map { (device, $0) })
    for (message, sequence) in zip(messages, outcome.sequenceNumbers) {
      note(message, sequence, device)
    }
    let queue = store.deviceQueue(for: device)
    let locked = try await queue.receive(max: count)
    guard let first = locked.first else { return }
    try await queue.reject(first.lockToken, reason: "not mine")
    try await queue.complete(contentsOf: locked.dropFirst().map(\.lockToken))
  }

  /// Moves the oldest dead letter back into its queue.
  mutating func resendFirst() async throws {
    var letter: DeadLetter?
    while letter == nil {
      for try await batch in store.batches(in: .deadLetters, until: .highWatermark) {
        letter = letter ?? batch.compactMap(\.deadLetter).first
      }
    }
    guard let letter else { return }
    let sequence = try await store.resend(letter)
    note(letter.message, sequence, letter.device)
  }

  /// What the store holds, once all feedback has come into its stream.
  func contents(reports: Int) async throws -> QueueContents {
    while true {
      let contents = try await QueueContents(of: store)
      if contents.reports.count == reports, contents.sentAgain.count == 1 { return contents }
      await Task.yield()
    }
  }
}

extension DeviceQueue {
  fileprivate func abandon(
    contentsOf messages: [LockedMessage], after delay: Duration = .zero
  ) async throws {
    for message in messages { try await abandon(message.lockToken, delay: delay) }
  }
}

/// What a store shows of its queues, its feedback and its dead letters.
struct QueueContents: Equatable, Sendable {
  struct Waiting: Hashable, Sendable {
    let deliveryCount: Int
    let text: String
  }

  private(set) var waiting: [EventModel.DeviceID: [UInt64: Waiting]] = [:]
  private(set) var reports: [String] = []
  private(set) var letters: [String] = []
  private(set) var sentAgain: [UInt64] = []

  /// Reads all of it; messages that cannot be read are missing.
  init(of store: EventStore) async throws(EventStoreError) {
    for summary in try await store.queueSummaries() {
      let queue = store.deviceQueue(for: summary.device)
      for queued in try await queue.peek(max: .max) {
        waiting[summary.device, default: [:]][queued.sequenceNumber] = Waiting(
          deliveryCount: queued.deliveryCount, text: Self.text(of: queued.message))
      }
    }
    for try await batch in store.batches(in: .feedback, until: .highWatermark) {
      for report in batch.compactMap(\.feedbackReport) {
        reports.append(
          "\(report.device) \(report.sequenceNumber) \(report.originalMessageID ?? "-") "
            + "\(report.statusCode) \(report.description)")
      }
    }
    for try await batch in store.batches(in: .deadLetters, until: .highWatermark) {
      for event in batch {
        if let letter = event.deadLetter {
          letters.append(
            "\(letter.device) \(letter.sequenceNumber) \(letter.deliveryCount) "
              + "\(letter.statusCode) \(letter.reason) \(Self.text(of: letter.message))")
        }
        if let number = event.sentAgainSequenceNumber { sentAgain.append(number) }
      }
    }
  }

  static func text(of message: DeviceMessage) -> String {
    let properties = message.properties.map { "\($0.name)=\($0.value)" }.sorted()
    return [
      message.systemProperties[.messageID] ?? "-", properties.joined(separator: ","),
      "\(message.feedback ?? .none)", String(decoding: message.body.bytes, as: UTF8.self),
    ].joined(separator: " ")
  }
}
