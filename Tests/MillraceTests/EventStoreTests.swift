import Millrace
import StorageIO
import SystemPackage
import Testing

/// A store on memory, opened and reopened.
struct MemoryStore {
  let fileSystem = MemoryFileSystem()

  func open(
    _ configuration: EventStore.Configuration = .init(partitionCount: 2),
    access: EventStore.Access = .createIfAbsent
  ) async throws -> EventStore {
    let system = EngineEnvironment.system()
    return try await EventStore.open(
      at: "/store", configuration: configuration, access: access,
      environment: EngineEnvironment(
        fileSystem: fileSystem, now: system.now, random: system.random))
  }
}

extension EventStore {
  /// Everything that can be read, partition by partition.
  func everything() async throws -> [PartitionID: [Event]] {
    var all: [PartitionID: [Event]] = [:]
    for partition in partitions {
      for try await batch in batches(in: partition, until: .highWatermark) {
        #expect(batch.gap == nil)
        for event in batch { all[partition, default: []].append(event.event) }
      }
    }
    return all
  }
}

@Suite("A store of events")
struct EventStoreTests {
  @Test("What was appended durably is read in order, also after reopening")
  func appendAndRead() async throws {
    let memory = MemoryStore()
    let store = try await memory.open()
    var expected: [PartitionID: [String]] = [:]
    for number in 0..<500 {
      let device = try DeviceID("device-\(number % 7)")
      let position = try await store.append(
        Event(
          from: device, body: Payload("reading \(number)"), contentType: "text/plain",
          properties: ["site": "plant-\(number % 3)"]), durability: .buffered)
      #expect(position.partition == store.partition(of: device))
      expected[position.partition, default: []].append("reading \(number)")
      #expect(position.offset.value == UInt64(expected[position.partition]?.count ?? 0) - 1)
    }
    try await store.append(Event(from: "device-0", body: "last"))
    expected[store.partition(of: "device-0"), default: []].append("last")
    try await store.close()

    let again = try await memory.open(access: .readWrite)
    let all = try await again.everything()
    #expect(
      all.mapValues { $0.map { String(decoding: $0.body.bytes, as: UTF8.self) } } == expected)
    #expect(
      all.values.joined().allSatisfy {
        $0.systemProperties[.contentType] != nil || $0.body.count == 4
      })
    try await again.close()
  }

  @Test("Many events take one wait and come back with their positions")
  func appendMany() async throws {
    let store = try await MemoryStore().open()
    let events = try (0..<10_000).map { number in
      Event(from: try DeviceID("device-\(number % 100)"), body: Payload("{\"n\":\(number)}"))
    }
    let positions = try await store.append(contentsOf: events)
    #expect(positions.count == events.count)
    #expect(Set(positions).count == events.count)
    let all = try await store.everything()
    for (event, position) in zip(events, positions) {
      #expect(all[position.partition]?[Int(position.offset.value)].body == event.body)
    }
    try await store.close()
  }

  @Test("A consumer goes on at its checkpoint and follows the tail")
  func consume() async throws {
    let memory = MemoryStore()
    let store = try await memory.open(.init(partitionCount: 1))
    let partition: PartitionID = 0
    for number in 0..<10 { try await store.append(Event(from: "d", body: Payload("\(number)"))) }
    let group = try await store.consumerGroup("billing")
    var seen = 0
    for try await batch in group.batches(in: partition, until: .offset(4)) {
      seen += batch.count
      try await group.commit(batch.checkpoint)
    }
    #expect(seen == 4)
    try await store.close()

    let again = try await memory.open(access: .readWrite)
    let billing = try await again.consumerGroup("billing")
    #expect(billing.checkpoint(in: partition)?.next == 4)
    #expect(try await billing.lag(in: partition).events == 6)
    let reader = Task {
      var bodies: [String] = []
      for try await batch in billing.batches(in: partition) {
        for event in batch {
          bodies.append(String(decoding: event.event.body.bytes, as: UTF8.self))
        }
        if bodies.count >= 8 { break }
      }
      return bodies
    }
    for number in 10..<12 {
      try await again.append(Event(from: "d", body: Payload("\(number)")))
    }
    #expect(try await reader.value == (4..<12).map(String.init))
    try await again.close()
  }

  @Test("The synchronous appender's events are durable when it says so")
  func appender() async throws {
    let memory = MemoryStore()
    let store = try await memory.open()
    var appender = store.makeAppender()
    let body = Array("{\"t\":21.5}".utf8)
    for number in 0..<20_000 {
      let device = try DeviceID("d\(number % 50)")
      try appender.append(from: device, body: body.span.bytes)
    }
    try await appender.durable()
    var count = 0
    for partition in store.partitions { count += Int(try store.offsets(in: partition).count) }
    #expect(count == 20_000)
    for number in 0..<1_000 {
      try appender.append(from: try DeviceID("d\(number % 50)"), body: body.span.bytes)
    }
    try appender.synchronize()
    try await store.close()
    let all = try await memory.open(access: .readOnly).everything()
    #expect(all.values.joined().count == 21_000)
  }
}

extension Range<Offset> {
  var count: UInt64 { upperBound.value - lowerBound.value }
}
