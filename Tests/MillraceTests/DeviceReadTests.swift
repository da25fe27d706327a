import EventModel
import Millrace
import MillraceTesting
import Testing

import CommitLog

/// Reads of some devices against all events and a filter.
@Suite("Reading devices")
struct DeviceReadTests {
  private struct Stored: Hashable {
    let position: LogPosition
    let device: DeviceID
    let body: [UInt8]
    let time: Timestamp
  }

  /// Small batches and segments, so that devices are missing from most of them.
  private static let configuration = EventStore.Configuration(
    partitionCount: 2, segmentSize: .kibibytes(64), compression: .lz4, batchSize: .kibibytes(4))

  private func fill(_ store: EventStore, count: Int, seed: UInt64) async throws {
    var fleet = SimulatedFleet(deviceCount: 300, seed: seed)
    var body: [UInt8] = []
    var appender = store.makeAppender()
    for index in 0..<count {
      let device = fleet.next(into: &body)
      try appender.append(
        from: fleet.devices[device], body: body, properties: fleet.properties[device],
        enqueuedTime: Timestamp(microseconds: 1_000_000 + Int64(index / 3) * 1_000))
    }
    try await appender.durable()
  }

  private func stored(_ batches: EventBatches) async throws -> [Stored] {
    var events: [Stored] = []
    for try await batch in batches {
      #expect(batch.gap == nil)
      for view in batch {
        let event = view.event
        events.append(
          Stored(
            position: view.position, device: event.deviceID, body: Array(event.body.bytes),
            time: view.enqueuedTime))
      }
    }
    return events
  }

  /// Everything in the store.
  private func all(_ store: EventStore) async throws -> [Stored] {
    var events: [Stored] = []
    for partition in store.partitions {
      events += try await stored(store.batches(in: partition, until: .highWatermark))
    }
    return events
  }

  @Test("A device's events are the same with and without footers")
  func oneDevice() async throws {
    let storage = InMemoryStorage()
    let store = try await storage.open(configuration: Self.configuration)
    try await fill(store, count: 12_000, seed: 5)
    let all = try await all(store)
    let devices = Set(all.map(\.device)).sorted()
    #expect(all.count == 12_000)
    for round in 0..<3 {
      for device in devices.indices where device % 29 == round {
        let own = all.filter { $0.device == devices[device] }
        #expect(try await stored(store.batches(of: devices[device])) == own)
        let last = try #require(try await store.lastEvent(of: devices[device]))
        #expect(last.position == own.last?.position)
      }
    }
    try await store.close()
    let again = try await storage.open(configuration: Self.configuration, access: .readOnly)
    for device in devices.prefix(20) {
      let own = all.filter { $0.device == device }
      #expect(try await stored(again.batches(of: device)) == own)
    }
    try await again.close()
  }

  @Test("Some devices from a place to a time")
  func someDevices() async throws {
    let storage = InMemoryStorage()
    let store = try await storage.open(configuration: Self.configuration)
    try await fill(store, count: 8_000, seed: 6)
    let all = try await all(store)
    let partition = store.partitions[1]
    let devices = Set(all.filter { $0.position.partition == partition }.map(\.device).prefix(9))
    for bounds in [(0, 4_000), (1_000, 1_001), (1_000, 2_000), (2_500, 9_000)] {
      let from = Offset(UInt64(bounds.0))
      let end = Timestamp(microseconds: 1_000_000 + Int64(bounds.1) * 500)
      let found = try await stored(
        store.batches(of: devices, in: partition, from: .offset(from), until: .time(end)))
      let expected = all.filter {
        devices.contains($0.device) && $0.position.partition == partition
          && $0.position.offset >= from && $0.time < end
      }
      #expect(found == expected, "from \(from) until \(end)")
    }
    try await store.close()
  }

  @Test(
    "A number of events is read to the last of them, and the next read goes on behind it",
    arguments: CompressionCodec.allCases)
  func pages(compression: CompressionCodec) async throws {
    let storage = InMemoryStorage()
    var configuration = Self.configuration
    configuration.compression = compression
    let store = try await storage.open(configuration: configuration)
    try await fill(store, count: 3_000, seed: 8)
    let partition = store.partitions[0]
    let all = try await stored(store.batches(in: partition, until: .highWatermark))
    let devices = Set(all.map(\.device).prefix(7))
    let some = all.filter { devices.contains($0.device) }
    for size in [1, 2, 37, 100, 999, all.count, all.count + 1, .max] {
      var (next, whole, chosen) = (Offset.zero, [] as [Stored], [] as [Stored])
      for _ in 0..<60 {
        let page = store.batches(in: partition, from: .offset(next), until: .count(size))
        whole += try await stored(page)
        for try await batch in page { next = batch.checkpoint.next }
      }
      #expect(whole == Array(all.prefix(size > 50 ? .max : 60 * size)), "\(size) at a time")
      next = .zero
      for _ in 0..<60 {
        let page = store.batches(
          of: devices, in: partition, from: .offset(next), until: .count(size))
        chosen += try await stored(page)
        for try await batch in page { next = batch.checkpoint.next }
      }
      #expect(chosen == Array(some.prefix(size > 50 ? .max : 60 * size)), "\(size) of some")
    }
    let time = all[700].time
    let expected = all.drop { $0.time < time }.prefix(100)
    let page = store.batches(in: partition, from: .time(time), until: .count(100))
    #expect(try await stored(page) == Array(expected))
    #expect(try await stored(store.batches(in: partition, until: .count(0))).isEmpty)
    try await store.close()
  }

  @Test("A device that has sent nothing has no events and no last one")
  func unknownDevice() async throws {
    let store = try await InMemoryStorage().open(configuration: Self.configuration)
    try await fill(store, count: 3_000, seed: 7)
    #expect(try await stored(store.batches(of: "nobody")).isEmpty)
    #expect(try await store.lastEvent(of: "nobody") == nil)
    try await store.close()
  }
}

extension EventView? {
  fileprivate static func == (left: Self, right: EventView?) -> Bool {
    left?.position == right?.position
  }
}
