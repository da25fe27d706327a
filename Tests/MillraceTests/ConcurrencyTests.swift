import EventModel
import Foundation
import Millrace
import Synchronization
import Testing

/// Everything at once, for as long as `MILLRACE_SOAK_SECONDS` says: for the thread sanitizer.
@Suite("Readers, a writer and retention together")
struct ConcurrencyTests {
  private static let seconds =
    ProcessInfo.processInfo.environment["MILLRACE_SOAK_SECONDS"].flatMap(Int.init) ?? 2

  private static let configuration = EventStore.Configuration(
    partitionCount: 2, segmentSize: .kibibytes(64), batchSize: .kibibytes(4))

  @Test("Two readers, a writer and retention: every reader gets every number or a gap, in order")
  func together() async throws {
    let folder = FileManager.default.temporaryDirectory.appending(
      path: "millrace-soak-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let store = try await EventStore.open(at: folder.path, configuration: Self.configuration)
    let other = try await EventStore.open(at: folder.path, access: .readOnly)
    let end = ContinuousClock.now + .seconds(Self.seconds)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await Self.write(to: store, until: end) }
      for reader in [store, other] {
        for partition in reader.partitions {
          tasks.addTask { try await Self.read(reader, partition, until: end) }
        }
        tasks.addTask { try await Self.look(into: reader, until: end) }
      }
      tasks.addTask {
        while ContinuousClock.now < end {
          _ = try await store.retain(.init(size: .kibibytes(400)))
        }
      }
      tasks.addTask {
        let copy = folder.appending(path: "copy")
        while ContinuousClock.now < end {
          try await other.snapshot(to: copy.path)
          try FileManager.default.removeItem(at: copy)
        }
      }
      try await tasks.waitForAll()
    }
    try await other.close()
    try await store.close()
  }

  private static let devices = (0..<20).map { EventModel.DeviceID(stringLiteral: "d-\($0)") }

  private static func write(
    to store: EventStore, until end: ContinuousClock.Instant
  ) async throws {
    var number = 0
    let body = Payload(String(repeating: "x", count: 200))
    while ContinuousClock.now < end {
      let events = (0..<50).map { Event(from: devices[(number + $0) % 20], body: body) }
      number += 50
      try await store.append(
        contentsOf: events, durability: number % 500 == 0 ? .durable : .buffered)
    }
    // What ends the readers.
    for partition in store.partitions {
      try await store.append(
        Event(from: try store.device(in: partition), body: "last"), durability: .durable)
    }
  }

  private static func read(
    _ store: EventStore, _ partition: PartitionID, until end: ContinuousClock.Instant
  ) async throws {
    var next: UInt64?
    for try await batch in store.batches(in: partition) {
      if let gap = batch.gap {
        #expect(gap.reason == .retired)
        #expect(next.map { gap.first.value == $0 } ?? true)
        next = gap.next.value
        continue
      }
      #expect(next.map { batch.offsets.lowerBound.value == $0 } ?? true)
      next = batch.offsets.upperBound.value
      if batch.contains(where: { $0.text == "last" }) { return }
    }
  }

  /// The history and the last event of devices, times and lag, again and again.
  private static func look(
    into store: EventStore, until end: ContinuousClock.Instant
  ) async throws {
    let group = try await store.consumerGroup(.standard)
    while ContinuousClock.now < end {
      for device in devices {
        _ = try await store.lastEvent(of: device)
        var last: Offset?
        for try await batch in store.batches(of: device) {
          for event in batch {
            #expect(event.deviceID == device)
            #expect(last.map { $0 < event.position.offset } ?? true)
            last = event.position.offset
          }
        }
      }
      for partition in store.partitions { _ = try await group.lag(in: partition) }
    }
  }
}
