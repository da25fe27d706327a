import EventModel
import LogFormat
import Millrace
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Files that cannot be read, as users of a store meet them.
@Suite("Files of an open store that cannot be read")
struct UnreadableTests {
  private static let settings = EventStore.Configuration(
    partitionCount: 2, queues: .init(feedback: .full))

  /// A closed store with events in both partitions and messages to a device: one was completed, one
  /// rejected and one waits.
  private func closedStore() async throws -> SimulatedDisk {
    let disk = SimulatedDisk()
    let store = try await disk.openStore(Self.settings)
    for partition in store.partitions {
      try await store.append(0..<3, from: try store.device(in: partition))
    }
    for id: MessageID in ["done", "bad", "left"] {
      try await store.deviceQueue(for: "d").enqueue(DeviceMessage(id: id, body: "x"))
    }
    let messages = try await store.deviceQueue(for: "d").receive(max: 2)
    try await store.deviceQueue(for: "d").complete(messages[0].lockToken)
    try await store.deviceQueue(for: "d").reject(messages[1].lockToken, reason: "no")
    try await store.close()
    return disk
  }

  /// The only segment in a folder.
  private func segment(_ disk: SimulatedDisk, in folder: String) throws -> FilePath {
    let paths = disk.image.keys.filter {
      $0.string.contains("/\(folder)/") && ["segment", "journal"].contains($0.extension)
    }
    try #require(paths.count == 1, "\(paths)")
    return paths[0]
  }

  private func spoil(_ disk: SimulatedDisk, _ path: FilePath, from position: Int = 0) {
    disk.plan = FaultPlan(badSectors: [path.string: position..<1 << 30])
  }

  @Test("A partition that cannot be read says so to everybody, and the others go on")
  func partition() async throws {
    let disk = try await closedStore()
    let path = try segment(disk, in: "partitions/000")
    spoil(disk, path)
    let store = try await disk.openStore(Self.settings, access: .readWrite)
    let notice = try #require(store.recoveryNotices.first)
    #expect(store.recoveryNotices.count == 1)
    #expect(notice.kind == .unreadable && notice.partition == 0 && notice.offsets.isEmpty)
    #expect(notice.message.contains("\(path)"))
    let (bad, good) = (try store.device(in: 0), try store.device(in: 1))
    func expectRefusal(_ body: () async throws -> some Any) async {
      let refusal = await failure { try await body() }
      #expect(refusal?.code == .ioFailure && refusal?.cause?.reason == .ioError)
      #expect(refusal?.position == LogPosition(partition: 0, offset: 0))
      #expect(refusal?.message.contains("\(path)") == true)
    }
    await expectRefusal { try await store.append(3..<4, from: bad) }
    await expectRefusal { try await store.texts() }
    await expectRefusal { try await store.texts(from: .latest) }
    await expectRefusal { try await store.lastEvent(of: bad) }
    await expectRefusal { try await store.scrub() }
    let group = try await store.consumerGroup(.standard)
    await expectRefusal { try await group.lag(in: 0) }
    #expect(try await group.lag(in: 1).events == 3)
    try await store.append(3..<4, from: good)
    #expect(try await store.texts(in: 1) == ["0", "1", "2", "3"])
    #expect(try await store.deviceQueue(for: "d").receive(max: 9).count == 1)
    try await store.close()
    let reader = try await disk.openStore(Self.settings, access: .readOnly)
    #expect(reader.recoveryNotices.map(\.kind) == [.unreadable])
    await expectRefusal { try await reader.texts() }
    #expect(try await reader.texts(in: 1) == ["0", "1", "2", "3"])
    try await reader.close()
    disk.plan = .none
    let again = try await disk.openStore(Self.settings, access: .readWrite)
    #expect(try await again.texts() == ["0", "1", "2"])
    try await again.append(3..<4, from: bad)
    #expect(try await again.texts() == ["0", "1", "2", "3"])
    try await again.close()
  }

  @Test("A tail that cannot be cut keeps its partition readable, and the others go on")
  func unwritable() async throws {
    let disk = try await closedStore()
    let path = try segment(disk, in: "partitions/000")
    var image = disk.image
    image[path]? += [UInt8](repeating: 0xee, count: 300)
    let torn = SimulatedDisk(files: image)
    torn.plan = .failing(.truncate, path.string, isLasting: true)
    let store = try await torn.openStore(Self.settings, access: .readWrite)
    #expect(store.recoveryNotices.map(\.kind).contains(.unreadable))
    #expect(try await store.texts() == ["0", "1", "2"])
    let device = try store.device(in: 0)
    let refusal = await failure { try await store.append(3..<4, from: device) }
    #expect(refusal?.code == .poisoned && refusal?.cause?.reason == .ioError)
    try await store.append(3..<4, from: try store.device(in: 1))
    _ = await failure { try await store.close() }
    torn.plan = .none
    let again = try await torn.openStore(Self.settings, access: .readWrite)
    #expect(try await again.append(3..<4, from: device) == ["3"])
    for partition in again.partitions {
      #expect(try await again.texts(in: partition) == ["0", "1", "2", "3"])
    }
    try await again.close()
  }

  /// Nobody knows whether a segment stands there that has the next numbers.
  @Test("A partition whose folder is not listed is read and takes nothing, and the others go on")
  func folder() async throws {
    let disk = try await closedStore()
    let folder = try segment(disk, in: "partitions/000").removingLastComponent()
    disk.plan = .failing(.list, folder.string, .permissionDenied, isLasting: true)
    let store = try await disk.openStore(Self.settings, access: .readWrite)
    #expect(store.recoveryNotices.map(\.kind) == [.unreadable])
    #expect(store.recoveryNotices.first?.message.contains("\(folder)") == true)
    let device = try store.device(in: 0)
    let refusal = await failure { try await store.append(3..<4, from: device) }
    #expect(refusal?.code == .accessDenied && refusal?.cause?.path == folder)
    var texts: [String] = []
    let unread = await failure {
      for try await batch in store.batches(in: 0, from: .earliest) {
        for event in batch { texts.append(event.text) }
      }
    }
    #expect(unread?.cause?.path == folder && texts == ["0", "1", "2"])
    try await store.append(3..<4, from: try store.device(in: 1))
    #expect(try await store.texts(in: 1) == ["0", "1", "2", "3"])
    #expect(try await store.deviceQueue(for: "d").receive(max: 9).count == 1)
    try await store.close()
    let reader = try await disk.openStore(Self.settings, access: .readOnly)
    #expect(reader.recoveryNotices.map(\.kind) == [.unreadable])
    try await reader.close()
    disk.plan = .none
    let again = try await disk.openStore(Self.settings, access: .readWrite)
    #expect(again.recoveryNotices.isEmpty)
    try await again.append(3..<4, from: device)
    #expect(try await again.texts() == ["0", "1", "2", "3"])
    try await again.close()
  }

  @Test("A scrub reads on behind a bad sector, and says where it is")
  func scrubbed() async throws {
    let disk = SimulatedDisk()
    let small = EventStore.Configuration(partitionCount: 1, segmentSize: ByteCount(1 << 20))
    let store = try await disk.openStore(small)
    var random = SeededRandom(seed: 1)
    for _ in 0..<40 {
      try await store.append(contentsOf: [Event(from: "d", body: Payload(random.bytes(100_000)))])
    }
    try await store.close()
    let paths = disk.image.keys.filter { $0.extension == "segment" }
      .sorted { $0.string < $1.string }
    try #require(paths.count > 2)
    spoil(disk, paths[0], from: 300_000)
    let again = try await disk.openStore(small, access: .readWrite)
    let refusal = await failure { try await again.scrub() }
    #expect(refusal?.cause?.path == paths[0])
    #expect(refusal?.position.map { $0.offset > 0 && $0.offset < 10 } == true)
    #expect(refusal?.message.contains("can go on from number") == true)
    try await again.close()
  }

  @Test("Without its journal a store takes events, refuses messages and says why")
  func journal() async throws {
    let disk = try await closedStore()
    let path = try segment(disk, in: "journal")
    spoil(disk, path)
    let store = try await disk.openStore(Self.settings, access: .readWrite)
    #expect(store.recoveryNotices.map(\.kind) == [.unreadable])
    #expect(store.recoveryNotices.first?.partition == .journal)
    for partition in store.partitions {
      try await store.append(3..<5, from: try store.device(in: partition))
      #expect(try await store.texts(in: partition).count == 5)
    }
    func expectRefusal(_ body: () async throws -> some Any) async {
      let refusal = await failure { try await body() }
      #expect(refusal?.code == .ioFailure && refusal?.cause?.path == path)
    }
    await expectRefusal { try await store.deviceQueue(for: "d").enqueue(DeviceMessage(body: "y")) }
    await expectRefusal { try await store.deviceQueue(for: "d").receive(max: 1) }
    // Nobody is told that nothing waits.
    await expectRefusal { try await store.queueTotals() }
    await expectRefusal { try await store.queueSummaries() }
    #expect(try await store.count(of: .feedback) == 2)
    try await store.close()
    disk.plan = .none
    let again = try await disk.openStore(Self.settings, access: .readWrite)
    let messages = try await again.deviceQueue(for: "d").receive(max: 9)
    #expect(messages.map { $0.message.systemProperties[.messageID] } == ["left"])
    try await again.close()
  }

  /// The store did not open at all.
  @Test("A bad sector in a sealed segment of the journal refuses messages and nothing else")
  func sealedJournal() async throws {
    let disk = SimulatedDisk()
    var settings = Self.settings
    settings.queues.journalSegmentSize = 64 << 10
    // No queue file is made: all of it stays in the journal.
    disk.plan = .failing(.create, ".queue", isLasting: true)
    let store = try await disk.openStore(settings)
    let body = Payload([UInt8](repeating: 7, count: 1_000))
    let devices = (0..<40).map { EventModel.DeviceID(stringLiteral: "d-\($0)") }
    for _ in 0..<4 {
      _ = try await store.enqueue(devices.map { ($0, DeviceMessage(body: body)) })
    }
    try await store.close()
    let journal = disk.image.keys.filter { $0.extension == "journal" }.sorted {
      $0.string < $1.string
    }
    try #require(journal.count > 1)
    spoil(disk, journal[0], from: 8_192)
    let again = try await disk.openStore(settings, access: .readWrite)
    #expect(again.recoveryNotices.map(\.kind) == [.unreadable])
    try await again.append(0..<2)
    let refusal = await failure {
      try await again.deviceQueue(for: "d-1").enqueue(DeviceMessage(body: "y"))
    }
    #expect(refusal?.code == .ioFailure && refusal?.cause?.path == journal[0])
    try await again.close()
    disk.plan = .none
    let last = try await disk.openStore(settings, access: .readWrite)
    #expect(last.recoveryNotices.isEmpty)
    #expect(try await last.deviceQueue(for: "d-1").receive(max: 9).count == 4)
    #expect(try await last.texts(in: last.partition(of: "d")) == ["0", "1"])
    try await last.close()
  }

  @Test("Without feedback or dead letters the queues go on, and all of it is copied afterwards")
  func outcomes() async throws {
    for (folder, stream): (String, PartitionID) in [
      (FileNames.feedback, .feedback), (FileNames.deadLetter, .deadLetters),
    ] {
      let disk = try await closedStore()
      let path = try segment(disk, in: folder)
      spoil(disk, path)
      let store = try await disk.openStore(Self.settings, access: .readWrite)
      #expect(store.recoveryNotices.map(\.kind) == [.unreadable], "\(folder)")
      let queue = store.deviceQueue(for: "d")
      try await queue.enqueue(DeviceMessage(id: "more", body: "y"))
      for message in try await queue.receive(max: 2) {
        try await queue.reject(message.lockToken, reason: "no")
      }
      let refusal = await failure { try await store.count(of: stream) }
      #expect(refusal?.cause?.path == path)
      try await store.close()
      disk.plan = .none
      let again = try await disk.openStore(Self.settings, access: .readWrite)
      try await again.close()
      let all = try await disk.openStore(Self.settings, access: .readOnly)
      #expect(try await all.count(of: .feedback) == 4, "\(folder)")
      #expect(try await all.count(of: .deadLetters) == 3, "\(folder)")
      try await all.close()
    }
  }

  /// Nobody got feedback where the dead letters could not be made, and the other way round.
  @Test(
    "Where nobody can tell whether a stream is there, the other one goes on",
    arguments: [PartitionID.feedback, .deadLetters])
  func unlistedOutcomes(_ lost: PartitionID) async throws {
    let files = SimulatedDisk()
    let store = try await files.openStore(Self.settings)
    try await store.deviceQueue(for: "d").enqueue(DeviceMessage(id: "bad", body: "x"))
    try await store.close()
    let name = lost == .feedback ? FileNames.feedback : FileNames.deadLetter
    let above = FilePath("/store").appending(name)
    let folder = above.appending(FileNames.partition(0))
    let disk = SimulatedDisk(
      files: files.image, directories: files.directories + [above, folder])
    disk.plan = .failing(.list, folder.string, .permissionDenied, isLasting: true)
    for count in 1...2 {
      let held = try await disk.openStore(Self.settings, access: .readWrite)
      #expect(held.recoveryNotices.map(\.kind) == [.unreadable])
      #expect(held.recoveryNotices.first?.partition == lost)
      #expect(held.recoveryNotices.first?.message.contains("\(folder)") == true)
      let queue = held.deviceQueue(for: "d")
      let messages = try await queue.receive(max: 2)
      try #require(messages.count == 1)
      try await queue.reject(messages[0].lockToken, reason: "no")
      try await queue.enqueue(DeviceMessage(id: "more", body: "y"))
      // All of it has been handed over then.
      try await held.close()
      let reader = try await disk.openStore(Self.settings, access: .readOnly)
      #expect(try await reader.count(of: lost) == 0)
      let other: PartitionID = lost == .feedback ? .deadLetters : .feedback
      #expect(try await reader.count(of: other) == count)
      try await reader.close()
    }
    disk.plan = .none
    let again = try await disk.openStore(Self.settings, access: .readWrite)
    #expect(again.recoveryNotices.isEmpty)
    try await again.close()
    let all = try await disk.openStore(Self.settings, access: .readOnly)
    #expect(try await all.count(of: .feedback) == 2)
    #expect(try await all.count(of: .deadLetters) == 2)
    try await all.close()
  }

  @Test("Whoever waits at the tail hears that it cannot be read any more")
  func waiting() async throws {
    let disk = SimulatedDisk()
    let writer = try await disk.openStore(Self.settings)
    let (bad, good) = (try writer.device(in: 0), try writer.device(in: 1))
    try await writer.append(0..<1, from: bad)
    let reader = try await disk.openStore(Self.settings, access: .readOnly)
    let waiting = Task {
      await failure {
        for try await _ in reader.batches(in: 0, from: .earliest) {}
      }
    }
    let path = try segment(disk, in: "partitions/000")
    try await reader.untilReadable(0)
    spoil(disk, path)
    try await writer.append(0..<1, from: good)
    #expect(await waiting.value?.cause?.path == path)
    disk.plan = .none
    try await reader.close()
    try await writer.close()
  }
}
