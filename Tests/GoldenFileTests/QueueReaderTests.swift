import CommitLog
import EventModel
import Foundation
import LogFormat
import LogInspection
import Millrace
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Where the second reader and this code disagree about runs, the contract does not say what the
/// code does.
@Suite("Runs in the journal, to a second reader")
struct QueueReaderTests {
  private static let root = SimulatedStore.root
  private static let time = Timestamp(microseconds: 1_700_000_000_000_000)

  private static func open(
    _ disk: MemoryFileSystem, _ access: EventStore.Access
  ) async throws -> EventStore {
    try await EventStore.open(
      at: root.string, configuration: .init(partitionCount: 1), access: access,
      environment: EngineEnvironment(
        fileSystem: disk, now: { time }, steady: { 0 },
        random: EngineEnvironment.system().random))
  }

  /// What waits for devices as a store that only reads finds it, and as the second reader does.
  private func expectAgreement(
    on disk: MemoryFileSystem, _ devices: [EventModel.DeviceID], status: Int32
  ) async throws {
    let store = try await Self.open(disk, .readOnly)
    var expected: [String] = []
    for device in devices.sorted() {
      expected += try await store.deviceQueue(for: device).peek(max: .max).map { queued in
        let body = String(decoding: queued.message.body.bytes, as: UTF8.self)
        return "\(device)\t\(queued.sequenceNumber)\t\(queued.deliveryCount)\t-\t\t\(body)"
      }
    }
    try await store.close()
    let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    defer { try? FileManager.default.removeItem(at: folder) }
    for (path, bytes) in disk.image {
      let file = folder.appending(path: String(path.string.dropFirst(Self.root.string.count + 1)))
      try FileManager.default.createDirectory(
        at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(bytes).write(to: file)
    }
    let found = try QueueReader.read(folder)
    #expect(found.lines == expected && found.status == status)
    #expect(!expected.isEmpty)
  }

  @Test("Both find what waits behind receives, completions and purges of many messages")
  func written() async throws {
    let disk = MemoryFileSystem()
    let store = try await Self.open(disk, .createIfAbsent)
    let devices = (0..<6).map { EventModel.DeviceID(stringLiteral: "device-\($0)") }
    for (number, device) in devices.enumerated() {
      let outcome = try await store.enqueue(
        (0..<20).map { (device, DeviceMessage(body: Payload("\($0)"))) })
      #expect(outcome.refusal == nil)
      let queue = store.deviceQueue(for: device)
      let messages = try await queue.receive(max: 3 * number)
      try await queue.complete(contentsOf: messages.prefix(2 * number).map(\.lockToken))
    }
    #expect(try await store.deviceQueue(for: devices[3]).purge() > 0)
    try await store.close()
    try await expectAgreement(on: disk, devices, status: 0)
  }

  @Test("Both find the same in runs that are damaged", arguments: [41, 42, 43] as [UInt64])
  func damaged(seed: UInt64) async throws {
    let disk = MemoryFileSystem()
    try SimulatedStore.create(on: disk, partitionCount: 1, seed: seed)
    let store = try SimulatedStore.open(on: disk, segmentSize: 64 << 10, seed: seed)
    let journal = try store.log.log(.journal)
    let devices = (0..<50).map { EventModel.DeviceID(stringLiteral: "device-\($0)") }
    var random = SeededRandom(seed: seed)
    var corrupt: Set<UInt64> = []
    var number: UInt64 = 0
    for device in devices {
      let batch = BatchEncoder(targetSize: 4 << 10)
      func append(_ body: [UInt8]) {
        batch.append(
          from: device, body: body.span.bytes, properties: .empty, at: Self.time.microseconds)
      }
      for index in 0..<4 {
        let entry = JournalEntry.enqueued(.init(expiry: .init(microseconds: .max), feedback: .none))
        append(Self.bytes([entry]) + Array("\(index)".utf8))
      }
      for _ in 0..<4 {
        let body = Self.body(about: number..<number + 4, &random)
        do throws(FormatError) {
          var entries: [JournalEntry] = []
          _ = try JournalEntry.decodeAll(body.span.bytes, into: &entries)
        } catch .corrupt {
          corrupt.insert(number + UInt64(batch.count))
        } catch {
          // Neither goes on behind what a later program wrote.
          continue
        }
        append(body)
      }
      // Nothing follows these two: whatever does makes the record none.
      if random.chance(percent: 30) {
        let rest = random.chance(percent: 50) ? [] : random.bytes(3)
        if !rest.isEmpty { corrupt.insert(number + UInt64(batch.count)) }
        append(Self.bytes([random.chance(percent: 50) ? .deviceRemoved : Self.told(number)]) + rest)
      }
      number += UInt64(batch.count)
      _ = try journal.write(batch)
    }
    _ = try journal.synchronize()
    try store.log.close()
    #expect((20..<150).contains(corrupt.count), "seed \(seed): \(corrupt.count) of 215")
    let lost = try Fsck.check(Self.root, fileSystem: disk).findings.compactMap(\.acknowledgedLoss)
    #expect(Set(lost.flatMap { $0.firstSequence..<$0.nextSequence }) == corrupt, "seed \(seed)")
    try await expectAgreement(on: disk, devices, status: 2)
  }

  /// A run of entries, as it would be written or not.
  private static func body(about numbers: Range<UInt64>, _ random: inout SeededRandom) -> [UInt8] {
    var entries = (0..<Int.random(in: 1...5, using: &random)).map { _ in
      entry(about: UInt64.random(in: numbers, using: &random), &random)
    }
    if random.chance(percent: 15) {
      entries.insert(
        random.chance(percent: 50)
          ? .deviceRemoved
          : told(numbers.lowerBound),
        at: Int.random(in: 0...entries.count, using: &random))
    }
    var bytes = bytes(entries)
    switch Int.random(in: 0..<6, using: &random) {
    case 0: bytes.removeLast(Int.random(in: 1..<bytes.count, using: &random))
    case 1: bytes += [UInt8.random(in: 0...4, using: &random)]
    case 2:
      let place = Int.random(in: bytes.indices, using: &random)
      bytes[place] ^= 1 << Int.random(in: 0..<8, using: &random)
    default: break
    }
    return bytes
  }

  /// A settlement of which the sender hears.
  private static func told(_ number: UInt64) -> JournalEntry {
    .settled(
      .init(
        sequence: number, status: .success, givesFeedback: true, deliveryCount: 1,
        description: "Success"))
  }

  private static func entry(
    about number: UInt64, _ random: inout SeededRandom
  ) -> JournalEntry {
    switch Int.random(in: 0..<3, using: &random) {
    case 0: .locked(.init(sequence: number, deliveryCount: 7, duration: 60_000_000))
    case 1:
      .returned(
        .init(
          sequence: number, deliveryCount: 300,
          availableFrom: random.chance(percent: 50) ? time : nil))
    default:
      .settled(
        .init(
          sequence: number, status: .success, givesFeedback: false, deliveryCount: 1,
          description: "Success"))
    }
  }

  private static func bytes(_ entries: [JournalEntry]) -> [UInt8] {
    var buffer = ByteBuffer()
    for entry in entries { entry.encode(into: &buffer) }
    return buffer.array(0..<buffer.count)
  }
}
