import CommitLog
import EventModel
import LogFormat
import LogInspection
import Millrace
import StorageIO
import SystemPackage
import Testing

/// What a repair does about queue files.
extension QueueFileTests {
  @Test("Of a queue file with a damaged frame a repair keeps the others")
  func repairedFrames() async throws {
    let device: EventModel.DeviceID = "large"
    let path = try await damage(frame: 1, to: device)
    let lost = try findings(disk).compactMap(\.acknowledgedLoss)
    #expect(lost.map(\.devices) == [["large"]])
    let outcome = try StoreRepair.run("/store", environment: environment(disk))
    #expect(outcome.repairs.contains { $0.kind == .rebuilt && path.string.hasSuffix($0.file) })
    #expect(try Fsck.check("/store", fileSystem: disk).clean)
    let again = try await open()
    let left = try await again.deviceQueue(for: device).receive(max: 9)
    #expect(left.compactMap { $0.message.body.bytes.first } == [0, 1, 4, 5])
    try await again.close()
  }

  private func path(of device: EventModel.DeviceID) throws -> FilePath {
    try #require(
      files(disk).first { $0.lastComponent?.string.hasPrefix("\(device)-0") == true })
  }

  private func replace(_ path: FilePath, _ bytes: [UInt8]) throws {
    try disk.openAnew(path).write(bytes.span.bytes, at: .start)
  }

  /// Repairs the store; says what was done the first time, and expects nothing the second time.
  private func repaired() throws -> [Repair] {
    let repairs = try StoreRepair.run("/store", environment: environment(disk)).repairs
    #expect(try Fsck.check("/store", fileSystem: disk).clean)
    #expect(try StoreRepair.run("/store", environment: environment(disk)).repairs == [])
    return repairs
  }

  /// A check that knew the kind of file only called this clean, and the engine read nothing of it.
  @Test("A queue file of another checkpoint is damage, and a repair writes it anew")
  func otherCheckpoint() async throws {
    let store = try await open()
    try await fill(store)
    try await store.close()
    let device = Self.offline[3]
    try rewrite(device, with: records(of: [device]), checkpointStep: 1)
    let found = try findings(disk)
    #expect(found.map(\.kind) == [.badFileHeader])
    #expect(found.first?.acknowledgedLoss?.devices == [device.description])
    let reader = try await open(at: "/store", .readOnly)
    #expect(try await reader.deviceQueue(for: device).peek(max: 10).isEmpty)
    try await reader.close()

    #expect(try repaired().map(\.kind) == [.rebuilt, .setAside])
    let again = try await open()
    for device in Self.offline { try await expectWhole(again, device) }
    try await again.close()
  }

  @Test("Files of another store are damage", arguments: ["queue", "directory"])
  func otherStore(_ kind: String) async throws {
    for root in ["/store", "/other"] {
      let store = try await open(at: root)
      try await fill(store)
      try await store.close()
    }
    func path(_ root: String) throws -> FilePath {
      try #require(
        disk.image.keys.first { path in
          path.string.hasPrefix(root) && path.extension == kind
            && (kind == "directory" || path.string.contains("offline-3-0"))
        })
    }
    try replace(path("/store"), try #require(disk.image[path("/other")]))
    let found = try findings(disk)
    #expect(found.map(\.kind) == [kind == "queue" ? .badFileHeader : .badIndex])
    #expect(found.first?.detail.contains("the header is one of checkpoint") == true)
    let repairs = try repaired()
    #expect(repairs.allSatisfy { $0.kind == .setAside } && !repairs.isEmpty)
  }

  @Test("Records that are none of the device's messages are left out of the file that is repaired")
  func strangeRecords() async throws {
    let store = try await open()
    try await fill(store)
    try await store.close()
    let (device, other) = (Self.offline[3], Self.offline[4])
    for path in disk.image.keys where path.extension == "directory" { try disk.remove(path) }
    try rewrite(device, with: records(of: [device, other]), isBetweenOthers: true)
    #expect(try findings(disk).contains { $0.kind == .badRecord })
    #expect(try repaired().map(\.kind).first == .rebuilt)
    let again = try await open()
    for device in Self.offline { try await expectWhole(again, device) }
    try await again.close()
  }

  @Test("A file that is a copy of another device's is set aside once")
  func otherDevice() async throws {
    let store = try await open()
    try await fill(store)
    try await store.close()
    try replace(
      path(of: Self.offline[3]), try #require(disk.image[path(of: Self.offline[4])]))
    #expect(try repaired().map(\.kind) == [.setAside, .setAside])
    let again = try await open()
    for device in Self.offline where device != Self.offline[3] {
      try await expectWhole(again, device)
    }
    try await again.close()
  }

  /// Writes a device's file anew with these records, as the engine would.
  ///
  /// - Parameters:
  ///   - device: the device.
  ///   - records: the records.
  ///   - checkpointStep: how far the checkpoint in its header is from the one in its name.
  ///   - isBetweenOthers: whether behind each there is a record that is none.
  /// - Throws: what goes wrong.
  private func rewrite(
    _ device: EventModel.DeviceID, with records: [InspectedRecord], checkpointStep: UInt64 = 0,
    isBetweenOthers: Bool = false
  ) throws {
    let path = try path(of: device)
    var bytes = ByteBuffer(capacity: FileHeader.size)
    for byte in try #require(disk.image[path]).prefix(FileHeader.size) { bytes.append(byte) }
    var header = try bytes.withBytes { try FileHeader(decoding: $0) }
    header.fileID += checkpointStep
    var writer = try BatchFileWriter(.lz4)
    writer.begin(try disk.openAnew(path), header)
    let nothing: [UInt8] = []
    for record in records {
      try writer.append(
        from: EventModel.DeviceID(record.deviceID), body: record.batch.body(at: record.index),
        properties: record.properties, systemProperties: record.systemProperties,
        at: record.enqueuedTime)
      guard isBetweenOthers else { continue }
      try writer.append(from: device, body: nothing.span.bytes, at: record.enqueuedTime)
    }
    try writer.finish()
  }

  /// The records of some devices' queue files, in the order of their times.
  private func records(of devices: [EventModel.DeviceID]) throws -> [InspectedRecord] {
    var records: [InspectedRecord] = []
    for device in devices {
      try StoreInspector(path(of: device), fileSystem: disk).walk { item in
        if case .record(let record) = item { records.append(record) }
        return .goOn
      }
    }
    return records.sorted { $0.enqueuedTime < $1.enqueuedTime }
  }

  /// Removes files of the store that the test names, repairs it, and expects that it is whole then
  /// and that journal numbers begin behind all that were given.
  private func expectLater(
    than last: UInt64, without isGone: (FilePath) -> Bool
  ) async throws {
    for path in disk.image.keys where isGone(path) { try disk.remove(path) }
    let outcome = try StoreRepair.run("/store", environment: environment(disk))
    #expect(outcome.repairs.contains { $0.kind == .gapRecorded })
    #expect(try Fsck.check("/store", fileSystem: disk).clean)
    let store = try await open()
    let queue = store.deviceQueue(for: "new")
    #expect(try await queue.enqueue(message(0, "new")) > last)
    let received = try #require(try await queue.receive(max: 1).first)
    try await queue.reject(received.lockToken)
    try await store.close()
    let again = try await open()
    for stream in [PartitionID.feedback, .deadLetters] {
      var devices: [EventModel.DeviceID] = []
      for try await batch in again.batches(in: stream, until: .highWatermark) {
        devices += batch.map(\.deviceID)
      }
      #expect(devices.last == "new", "\(stream)")
    }
    try await again.close()
    #expect(try Fsck.check("/store", fileSystem: disk).clean)
  }

  @Test(
    "Numbers of a journal that is gone with the manifest are not given again (I15)",
    arguments: ["streams", "files", "directory"])
  func journalGone(_ witness: String) async throws {
    let store = try await open()
    var last: UInt64 = 0
    if witness == "streams" {
      let queue = store.deviceQueue(for: "old")
      for number in 0..<3 { last = try await queue.enqueue(message(number, "old")) }
      try await queue.reject(try #require(try await queue.receive(max: 1).first).lockToken)
      // Behind the record of the settlement.
      last += 2
    } else {
      try await fill(store)
      last = UInt64(3 * Self.offline.count) - 1
    }
    try await store.close()
    try await expectLater(than: last) { path in
      path.lastComponent?.string == FileNames.manifest || path.extension == "journal"
        || (witness == "files" && path.extension == "directory")
        || (witness == "directory" && path.extension == "queue")
    }
  }
}

extension MemoryFileSystem {
  /// A file in another's place, still empty.
  fileprivate func openAnew(_ path: FilePath) throws(IOFailure) -> any StorageFile {
    try remove(path)
    return try open(path, .create)
  }
}
