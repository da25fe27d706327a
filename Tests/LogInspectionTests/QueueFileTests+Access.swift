import EventModel
import LogFormat
import LogInspection
import Millrace
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// What becomes of queue files that cannot be opened now.
extension QueueFileTests {
  /// It was filed again without them.
  @Test("Another user's file is not taken for one that has lost its messages")
  func deniedFile() async throws {
    let store = try await open()
    try await fill(store)
    try await store.close()
    let victim = Self.offline[3]
    let failing = SimulatedDisk(files: disk.image)
    failing.plan = FaultPlan(failures: [
      .init(
        .call(.open, pathSuffix: "\(victim)-00000001.queue"), .permissionDenied, isLasting: true)
    ])
    var queues = EventStore.Queues(depthMax: 1_000, timeToLive: .seconds(1 << 30))
    queues.journalSegmentSize = 64 << 10
    let again = try await EventStore.open(
      at: "/store", configuration: .init(partitionCount: 1, queues: queues), access: .readWrite,
      environment: environment(failing))
    let sequence = try await again.deviceQueue(for: victim).enqueue(message(9, victim))
    let body = Payload([UInt8](repeating: 7, count: 1_000))
    for _ in 0..<12 {
      _ = try await again.enqueue((0..<60).map { _ in ("busy", DeviceMessage(body: body)) })
      let messages = try await again.deviceQueue(for: "busy").receive(max: 60)
      try await again.deviceQueue(for: "busy").complete(contentsOf: messages.map(\.lockToken))
    }
    while failing.failureCount == 0 { await Task.yield() }
    try await again.close()
    #expect(!failing.image.keys.contains { $0.string.contains("/quarantine/queues-\(victim)") })
    let whole = MemoryFileSystem(files: failing.image)
    let last = try await open(whole)
    let waiting = try await last.deviceQueue(for: victim).peek(max: 10)
    #expect(waiting.count == 4 && waiting.last?.sequenceNumber == sequence)
    try await last.close()
  }

  /// Has the journal rolled often enough that everything that waits would be filed again.
  private func churnBusy(_ store: EventStore) async throws {
    let body = Payload([UInt8](repeating: 7, count: 1_000))
    for _ in 0..<24 {
      _ = try await store.enqueue((0..<60).map { _ in ("busy", DeviceMessage(body: body)) })
      let messages = try await store.deviceQueue(for: "busy").receive(max: 60)
      try await store.deviceQueue(for: "busy").complete(contentsOf: messages.map(\.lockToken))
    }
  }

  private func openAgain(_ disk: any FileSystem) async throws -> EventStore {
    var queues = EventStore.Queues(depthMax: 1_000, timeToLive: .seconds(1 << 30))
    queues.journalSegmentSize = 64 << 10
    return try await EventStore.open(
      at: "/store", configuration: .init(partitionCount: 1, queues: queues), access: .readWrite,
      environment: environment(disk))
  }

  /// The path of a device's queue file.
  private func path(of device: EventModel.DeviceID, _ disk: SimulatedDisk) throws -> FilePath {
    let paths = disk.image.keys.filter {
      $0.extension == "queue" && $0.lastComponent?.string.hasPrefix("\(device)-0") == true
    }
    try #require(paths.count == 1, "\(paths)")
    return paths[0]
  }

  /// Its messages counted as lost in the file that was written anew, or no file was.
  @Test("A queue file that the disk does not read keeps its messages, and the others are filed")
  func unreadableFile() async throws {
    let store = try await open()
    try await fill(store)
    try await store.close()
    let (victim, other) = (Self.offline[3], Self.offline[4])
    let failing = SimulatedDisk(files: disk.image)
    let file = try path(of: victim, failing)
    let bytes = try #require(failing.image[file])
    for bad in [0..<64, FileHeader.size + 64..<bytes.count - 64] {
      failing.plan = FaultPlan(badSectors: [file.string: bad])
      let again = try await openAgain(failing)
      let before = try path(of: other, failing)
      for device in [victim, other] {
        try await again.deviceQueue(for: device).enqueue(message(9, device))
      }
      // The others are filed anew.
      for _ in 0..<20 where try path(of: other, failing) == before {
        try await churnBusy(again)
      }
      #expect(try path(of: other, failing) != before)
      try await again.close()
      #expect(failing.image[file] == bytes)
      #expect(!failing.image.keys.contains { $0.string.contains("/quarantine/") })
    }
    let whole = MemoryFileSystem(files: failing.image)
    #expect(try findings(whole).isEmpty)
    let last = try await open(whole)
    for device in [victim, other] {
      let waiting = try await last.deviceQueue(for: device).peek(max: 10)
      #expect(waiting.count == 5 && waiting.prefix(3).map(\.deliveryCount) == [1, 0, 0])
    }
    try await churn(last, rounds: 24, on: whole)
    #expect(try await last.deviceQueue(for: victim).receive(max: 10).count == 5)
    try await last.close()
    #expect(try findings(whole).isEmpty)
  }

  /// What makes a queue file out of reach.
  enum Reach: CaseIterable { case denied, unreadable, later }

  private func put(
    _ victim: EventModel.DeviceID, outOf reach: Reach
  ) throws -> (disk: SimulatedDisk, file: FilePath) {
    let failing = SimulatedDisk(files: disk.image)
    let file = try path(of: victim, failing)
    switch reach {
    case .denied:
      failing.plan = FaultPlan(failures: [
        .init(.call(.open, pathSuffix: file.string), .permissionDenied, isLasting: true)
      ])
    case .unreadable: failing.plan = FaultPlan(badSectors: [file.string: 0..<1 << 20])
    case .later:
      var image = failing.image
      let bytes = try #require(image[file])
      var header = try FileHeader(decoding: bytes.span.bytes)
      header.incompatibleFlags = 1
      var buffer = ByteBuffer()
      header.encode(into: &buffer)
      image[file] = buffer.array(0..<buffer.count) + bytes[FileHeader.size...]
      return (SimulatedDisk(files: image), file)
    }
    return (failing, file)
  }

  @Test(
    "One queue file that is out of reach keeps nobody from seeing the others",
    arguments: Reach.allCases, [true, false])
  func listing(_ reach: Reach, hasDirectory: Bool) async throws {
    let store = try await open()
    try await fill(store)
    try await store.close()
    let victim = Self.offline[3]
    if !hasDirectory {
      let files = disk.image.filter { $0.key.extension != "directory" }
      try #require(files.count < disk.image.count)
      for path in disk.image.keys where files[path] == nil { try disk.remove(path) }
    }
    let (failing, file) = try put(victim, outOf: reach)
    let bytes = failing.image[file]
    for access in [EventStore.Access.readOnly, .readWrite] {
      let store =
        access == .readWrite
        ? try await openAgain(failing)
        : try await EventStore.open(
          at: "/store", configuration: .init(), access: access, environment: environment(failing))
      let look = try await store.lookAtQueues()
      let found = Dictionary(uniqueKeysWithValues: look.found.map { ($0.device, $0) })
      for device in Self.offline where device != victim {
        #expect(found[device]?.pending == 3 && found[device]?.oldestTime != nil)
      }
      #expect(look.damages.contains { "\($0)".contains("\(victim)") }, "\(look.damages)")
      #expect(look.damages.contains(.later(victim)) == (reach == .later))
      #expect(found[victim]?.pending == (hasDirectory ? 3 : nil))
      if access == .readWrite { try await churnBusy(store) }
      try await store.close()
    }
    #expect(failing.image[file] == bytes)
    #expect(!failing.image.keys.contains { $0.string.contains("/quarantine/") })
    guard reach != .later else { return }
    let whole = MemoryFileSystem(files: failing.image)
    let last = try await open(whole)
    for device in Self.offline {
      #expect(try await last.deviceQueue(for: device).peek(max: 10).count == 3, "\(device)")
    }
    try await last.close()
  }
}
