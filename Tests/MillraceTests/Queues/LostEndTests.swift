import EventModel
import LogFormat
import Millrace
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// A log of the queues that has lost its end gives no number again that something else testifies
/// to (I15): the outcome copier passes over what is not behind the highest number that it finds,
/// and a group over what is below its checkpoint.
@Suite("Ends of the queues' logs that are lost")
struct LostEndTests {
  #if DEBUG
    private static let step = 15
  #else
    private static let step = 5
  #endif
  private static let settings: EventStore.Configuration = {
    var queues = EventStore.Queues(feedback: .full)
    queues.depthMax = 10_000
    queues.lockDuration = .seconds(300)
    queues.journalSegmentSize = 8 << 10
    return .init(partitionCount: 1, queues: queues)
  }()

  private func open(
    _ disk: any FileSystem, _ access: EventStore.Access = .createIfAbsent
  ) async throws(EventStoreError) -> EventStore {
    try await disk.openStore(Self.settings, access: access)
  }

  /// The disk as a process that was killed leaves it; what it still knows dies with it.
  private func killed(_ store: EventStore, _ disk: MemoryFileSystem) async throws
    -> MemoryFileSystem
  {
    let left = MemoryFileSystem(files: disk.image, directories: disk.directories)
    try await store.close()
    return left
  }

  /// The active file of a stream's log.
  private func active(_ disk: MemoryFileSystem, in folder: String) throws -> FilePath {
    let paths = disk.image.keys.filter {
      $0.string.contains("/\(folder)/") && ["segment", "journal"].contains($0.extension)
    }
    return try #require(paths.max { $0.string < $1.string })
  }

  /// Cuts a stream's active file so that it holds nothing but its header.
  private func cut(_ disk: MemoryFileSystem, in folder: String) throws {
    try disk.open(try active(disk, in: folder), .readWrite)
      .truncate(to: ByteCount(FileHeader.size))
  }

  private func originals(
    _ store: EventStore, until count: Int, in stream: PartitionID = .feedback
  ) async throws -> [String] {
    var found: [String] = []
    for try await batch in store.batches(in: stream) {
      found += batch.compactMap { event in
        stream == .feedback
          ? event.feedbackReport?.originalMessageID
          : event.deadLetter?.message.systemProperties[.messageID]
      }
      if found.count >= count { break }
    }
    return found
  }

  private func send(_ ids: [MessageID], to store: EventStore) async throws -> [UInt64] {
    let queue = store.deviceQueue(for: "d")
    var numbers: [UInt64] = []
    for id in ids { numbers.append(try await queue.enqueue(DeviceMessage(id: id, body: "x"))) }
    return numbers
  }

  /// Settles what waits, and returns the numbers it had.
  @discardableResult
  private func settle(_ store: EventStore, rejecting: Bool) async throws -> [UInt64] {
    let queue = store.deviceQueue(for: "d")
    let messages = try await queue.receive(max: 100)
    for message in messages {
      if rejecting {
        try await queue.reject(message.lockToken, reason: "no")
      } else {
        try await queue.complete(message.lockToken)
      }
    }
    return messages.map(\.sequenceNumber)
  }

  @Test(
    "Outcomes testify to the journal's numbers, and those of new settlements are copied",
    arguments: [false, true])
  func outcomes(rejecting: Bool) async throws {
    let disk = MemoryFileSystem()
    let stream: PartitionID = rejecting ? .deadLetters : .feedback
    let store = try await open(disk)
    let before = try await send(["a", "b", "c"], to: store)
    try await settle(store, rejecting: rejecting)
    #expect(try await originals(store, until: 3, in: stream) == ["a", "b", "c"])
    let left = try await killed(store, disk)
    try cut(left, in: "journal")
    let again = try await open(left)
    // The last of the settlements, behind three messages and one record of their locks.
    #expect(again.recoveryNotices.contains { $0.kind == .lostSuffix && $0.offsets.contains(6) })
    let after = try await send(["d", "e"], to: again)
    #expect(after.allSatisfy { $0 > 6 }, "\(after) after \(before)")
    try await settle(again, rejecting: rejecting)
    try await again.close()
    // Twice: the gap that the first opening recorded stays one.
    for _ in 0..<2 {
      let last = try await open(left, .readWrite)
      let told = try await originals(last, until: 5, in: stream)
      #expect(told == ["a", "b", "c", "d", "e"])
      try await last.close()
    }
  }

  /// A store of three messages that were settled and told of, without its journal's records.
  private func withoutJournalEnd() async throws -> MemoryFileSystem {
    let disk = MemoryFileSystem()
    let store = try await open(disk)
    _ = try await send(["a", "b", "c"], to: store)
    try await settle(store, rejecting: false)
    _ = try await originals(store, until: 3)
    let left = try await killed(store, disk)
    try cut(left, in: "journal")
    return left
  }

  /// Sends and settles one more message, and expects that it has a number of its own and is told of
  /// once.
  private func expectGoesOn(_ disk: any FileSystem, _ context: Comment) async throws {
    let store = try await open(disk)
    #expect(try await send(["d"], to: store)[0] > 6, context)
    try await settle(store, rejecting: false)
    try await store.close()
    let reader = try await open(disk, .readOnly)
    #expect(try await originals(reader, until: 4) == ["a", "b", "c", "d"], context)
    try await reader.close()
  }

  @Test(
    "Opening such a store may crash anywhere, and is begun again", arguments: CrashStyle.allCases)
  func interrupted(_ style: CrashStyle) async throws {
    let left = try await withoutJournalEnd()
    // Without most of the zeros that were written ahead.
    let files = left.image.mapValues { bytes in
      Array(bytes.prefix((bytes.lastIndex { $0 != 0 } ?? -1) + 1_024))
    }
    var random = SeededRandom(seed: 3)
    var operation = 0
    var isDead = true
    while isDead {
      operation += Self.step
      let disk = SimulatedDisk(
        files: files, directories: left.directories, .crash(at: operation))
      do {
        try await open(disk).close()
      } catch {
        try #require(disk.isDead, "\(error)")
      }
      isDead = disk.isDead
      let image = disk.crashImage(using: &random, style)
      try await expectGoesOn(image, "crash at \(operation)")
    }
    #expect(operation > Self.step)
  }

  @Test("Queue files testify to the journal's numbers: a message has its number to itself")
  func queueFiles() async throws {
    let disk = MemoryFileSystem()
    let store = try await open(disk)
    let busy = store.deviceQueue(for: "busy")
    var files: Set<String> = []
    var found: (disk: MemoryFileSystem, waiting: [UInt64])?
    // Those of a thousand others are written before the device's messages are looked at.
    _ = try await store.enqueue(
      try (0..<1_030).map { (try EventModel.DeviceID("other-\($0)"), DeviceMessage(body: "x")) })
    // Traffic that the journal forgets, until what waits is in a queue file that also holds what
    // came when the journal had rolled.
    for _ in 0..<12 where found == nil {
      for message in try await busy.receive(max: 9) {
        try await busy.complete(message.lockToken)
      }
      for _ in 0..<5 {
        try await busy.enqueue(
          DeviceMessage(
            body: Payload([UInt8](repeating: 7, count: 3_500)), feedback: FeedbackMode.none))
      }
      for _ in 0..<3 { _ = try await send(["new"], to: store) }
      let now = try names(disk)
      guard now != files else { continue }
      files = now
      // The file is there, and soon the manifest names its checkpoint.
      for _ in 0..<3 where found == nil {
        found = try await filed(MemoryFileSystem(files: disk.image, directories: disk.directories))
        await Task.yield()
      }
      _ = try await store.deviceQueue(for: "d").purge()
    }
    try await store.close()
    // Whether a file holds something from behind the roll is a matter of threads.
    guard let (left, waiting) = found else { return }
    let again = try await open(left)
    let queue = again.deviceQueue(for: "d")
    #expect(try await queue.peek(max: 1_000).map(\.sequenceNumber) == waiting)
    let fresh = try await send(["fresh"], to: again)
    #expect(fresh[0] > waiting.max() ?? 0)
    #expect(try await queue.peek(max: 1_000).map(\.sequenceNumber) == waiting + fresh)
    try await again.close()
  }

  /// The names of the device's queue files.
  private func names(_ disk: MemoryFileSystem) throws -> Set<String> {
    let folder: FilePath = "/store/queues"
    let path = folder.appending(FileNames.queueFolder(of: "d"))
    guard try disk.kind(of: path) == .directory else { return [] }
    return Set(try disk.list(path).map(\.name).filter { $0.hasPrefix("d-") })
  }

  /// A store whose journal loses its end, and what waits in queue files for the device; nil where
  /// that came before the end.
  private func filed(
    _ disk: MemoryFileSystem
  ) async throws -> (disk: MemoryFileSystem, waiting: [UInt64])? {
    let journal = try active(disk, in: "journal")
    let base = try #require(journal.stem?.prefix(20))
    try cut(disk, in: "journal")
    let reader = try await open(disk, .readOnly)
    let waiting = try await reader.deviceQueue(for: "d").peek(max: 1_000).map(\.sequenceNumber)
    try await reader.close()
    guard let last = waiting.last, let base = UInt64(base), last >= base else { return nil }
    return (disk, waiting)
  }

  /// The store went on below the checkpoint: the group never saw what came there.
  @Test("A group's checkpoint testifies to the numbers of feedback", arguments: [false, true])
  func groups(isCopied: Bool) async throws {
    let disk = MemoryFileSystem()
    let store = try await open(disk)
    _ = try await send(["a", "b", "c"], to: store)
    try await settle(store, rejecting: false)
    #expect(try await originals(store, until: 3) == ["a", "b", "c"])
    let group = try await store.consumerGroup("senders")
    for try await batch in store.batches(in: .feedback, until: .highWatermark) {
      try await group.commit(batch.checkpoint)
    }
    var left = try await killed(store, disk)
    try cut(left, in: FileNames.feedback)
    // What the settlements say is copied anew only where the stream has no copy of it: the journal
    // has lost its end as well, and knows of none.
    try cut(left, in: "journal")
    if isCopied {
      let reader = try await open(left, .readOnly)
      try await reader.snapshot(to: "/copy")
      try await reader.close()
      let files = left.image.filter { $0.key.starts(with: "/copy") }.map {
        (FilePath("/store" + $0.key.string.dropFirst("/copy".count)), $0.value)
      }
      left = MemoryFileSystem(files: Dictionary(uniqueKeysWithValues: files))
    }
    let again = try await open(left)
    _ = try await send(["d"], to: again)
    try await settle(again, rejecting: false)
    let senders = try await again.consumerGroup("senders")
    var told: [String] = []
    read: for try await batch in senders.batches(
      in: .feedback, from: .checkpoint(orElse: .earliest))
    {
      told += batch.compactMap(\.feedbackReport?.originalMessageID)
      if told.contains("d") { break read }
    }
    #expect(told == ["d"])
    try await again.close()
  }
}
