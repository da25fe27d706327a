import EventModel
import Foundation
import LogFormat
import Millrace
import MillraceTesting
import SimulationKit
import StorageIO
import SystemPackage
import Testing

@Suite("Opening a store")
struct OpeningTests {
  /// A disk with a closed store of a few events.
  private func disk() async throws -> SimulatedDisk {
    let disk = SimulatedDisk()
    let store = try await disk.openStore()
    try await store.append(0..<20)
    try await store.consumerGroup("g").commit(Checkpoint(partition: 0, next: 3))
    try await store.close()
    return disk
  }

  @Test("A partition that has lost its file keeps no other from being opened, read and written")
  func lostPartition() async throws {
    let whole = SimulatedDisk()
    let first = try await whole.openStore(.init(partitionCount: 2))
    for number in 0..<20 {
      try await first.append(Event(from: DeviceID(stringLiteral: "d-\(number)"), body: "old"))
    }
    try await first.close()
    let lost = try #require(
      whole.image.keys.first { $0.extension == "segment" && $0.string.contains("partitions/000/") })
    var files = whole.image
    files[lost] = nil
    let disk = SimulatedDisk(files: files, directories: ["/store/partitions/000"])
    for _ in 0..<2 {
      let store = try await disk.openStore(access: .readWrite)
      #expect(store.recoveryNotices.map(\.partition) == [0])
      for partition in store.partitions {
        let device = try #require(
          (0..<100).map { DeviceID(stringLiteral: "d-\($0)") }.first {
            store.partition(of: $0) == partition
          })
        let event = Event(from: device, body: "new")
        if partition == 0 {
          #expect(await failure { try await store.append(event) }?.code == .corrupt)
        } else {
          try await store.append(event)
        }
        var (gapCount, count) = (0, 0)
        for try await batch in store.batches(in: partition, until: .highWatermark) {
          count += batch.count
          if batch.gap != nil { gapCount += 1 }
        }
        #expect((count == 0) == (partition == 0))
        #expect(gapCount == (partition == 0 ? 1 : 0))
      }
      try await store.close()
    }
    let reader = try await disk.openStore(access: .readOnly)
    #expect(try reader.offsets(in: 1).isEmpty == false)
    try await reader.close()
  }

  private static let accesses: [EventStore.Access] = [.createIfAbsent, .readWrite, .readOnly]

  @Test("A missing path, a file and a folder without a manifest are no stores")
  func notAStore() async throws {
    let file = SimulatedDisk(files: ["/store": [1, 2, 3]])
    let folder = SimulatedDisk(files: ["/store/notes.txt": [1]])
    let empty = SimulatedDisk(files: [:], directories: ["/store"])
    for access in [EventStore.Access.readWrite, .readOnly] {
      for disk in [SimulatedDisk(), file, folder, empty] {
        let before = disk.image
        #expect(await failure { try await disk.openStore(access: access) }?.code == .notAStore)
        #expect(disk.image == before)
      }
    }
    #expect(await failure { try await file.openStore() }?.code == .notAStore)
    #expect(await failure { try await folder.openStore() }?.code == .alreadyExists)
    #expect(folder.image.count == 1)
    let made = try await empty.openStore()
    try await made.close()
  }

  @Test("A second writer is told who writes; readers may come")
  func locked() async throws {
    let disk = try await disk()
    let store = try await disk.openStore()
    for access in [EventStore.Access.readWrite, .createIfAbsent] {
      let refused = await failure { try await disk.openStore(access: access) }
      #expect(refused?.code == .locked)
      #expect(refused?.message.contains("process 1") == true)
    }
    let reader = try await disk.openStore(access: .readOnly)
    #expect(try await reader.texts().count == 20)
    try await reader.close()
    try await store.append(20..<21)
    try await store.close()
  }

  @Test(
    "What the operating system refuses comes as what it is",
    arguments: [
      (Errno.permissionDenied, EventStoreError.Code.accessDenied), (.notPermitted, .accessDenied),
      (.readOnlyFileSystem, .readOnly), (.noSpace, .storageFull), (.ioError, .ioFailure),
    ])
  func systemErrors(reason: Errno, code: EventStoreError.Code) async throws {
    let disk = try await disk()
    // The lock is the first thing that a writer writes, the manifest the first that all read.
    for (operation, access) in [
      (IOFailure.Operation.lock, EventStore.Access.readWrite), (.open, .readWrite),
      (.open, .readOnly),
    ] {
      let suffix = operation == .lock ? "LOCK" : "MANIFEST"
      disk.plan = .failing(operation, suffix, reason)
      let refused = await failure { try await disk.openStore(access: access) }
      #expect(refused?.code == code)
      #expect(refused?.cause?.reason == reason)
    }
    let nothing = SimulatedDisk(.failing(.createDirectory, "/store", reason))
    #expect(await failure { try await nothing.openStore() }?.code == code)
    disk.plan = .none
    let store = try await disk.openStore()
    #expect(try await store.texts().count == 20)
    try await store.close()
  }

  @Test("A newer format is unsupported, damage is corrupt, and neither is touched")
  func formats() async throws {
    let original = try await disk()
    let manifest = try #require(
      original.image.keys.first { $0.string.hasSuffix("MANIFEST") })
    func variant(_ change: (inout [UInt8]) -> Void) -> SimulatedDisk {
      var files = original.image
      if var bytes = files[manifest] {
        change(&bytes)
        files[manifest] = bytes
      }
      return SimulatedDisk(files: files, directories: original.directories)
    }
    /// Changes one byte of the header and sets its checksum right again.
    func header(_ position: Int, _ value: UInt8) -> SimulatedDisk {
      variant { bytes in
        bytes[position] = value
        let checksum = bytes.withUnsafeBytes {
          CRC32C.checksum($0.bytes.extracting(0..<124))
        }
        for index in 0..<4 {
          bytes[124 + index] = UInt8(truncatingIfNeeded: checksum >> (8 * UInt32(index)))
        }
      }
    }
    let cases: [(SimulatedDisk, EventStoreError.Code)] = [
      (header(8, 2), .unsupportedVersion), (header(12, 1), .unsupportedVersion),
      (header(8, 0), .corrupt), (variant { $0[30] ^= 1 }, .corrupt),
      (variant { $0.removeSubrange(100...) }, .corrupt), (variant { $0[0] = 0 }, .corrupt),
    ]
    for (disk, code) in cases {
      let before = disk.image
      for access in Self.accesses {
        let refused = await failure { try await disk.openStore(access: access) }
        #expect(refused?.code == code)
        #expect(refused?.message.contains("MANIFEST") == true)
      }
      #expect(disk.image == before)
    }
  }

  @Test(
    "A configuration that no store can have is refused before anything is made",
    arguments: [
      EventStore.Configuration(partitionCount: 0), .init(partitionCount: 1_025),
      .init(segmentSize: .kibibytes(63)), .init(segmentSize: .gibibytes(17)),
      .init(batchSize: .bytes(4_095)), .init(batchSize: .bytes(1 << 20 + 1)),
    ])
  func configuration(_ configuration: EventStore.Configuration) async throws {
    let disk = SimulatedDisk()
    #expect(await failure { try await disk.openStore(configuration) }?.code == .invalidArgument)
    #expect(disk.operationCount == 0)
  }

  @Test("On real files: a missing parent is made, a file in the way is not")
  func realFiles() async throws {
    let root = FileManager.default.temporaryDirectory
      .appendingPathComponent("millrace-opening-\(UUID().uuidString)")
    defer {
      do { try FileManager.default.removeItem(at: root) } catch { Issue.record(error) }
    }
    let path = root.appendingPathComponent("a/b/store").path
    try await EventStore.create(at: path, configuration: .init(partitionCount: 3))
    #expect(await failure { try await EventStore.create(at: path) }?.code == .alreadyExists)
    let store = try await EventStore.open(at: path)
    #expect(store.partitions.count == 3)
    #expect(await failure { try await EventStore.open(at: path) }?.code == .locked)
    try await store.append(0..<5)
    try await store.close()
    let inside = path + "/MANIFEST"
    #expect(await failure { try await EventStore.open(at: inside) }?.code == .notAStore)
    let below = path + "/MANIFEST/below"
    let refused = await failure { try await EventStore.open(at: below) }
    #expect([.notAStore, .ioFailure].contains(refused?.code))
    let again = try await EventStore.open(at: path, access: .readOnly)
    #expect(try await again.texts(in: again.partition(of: "d")).count == 5)
    try await again.close()
  }
}
