import EventModel
import Foundation
import Millrace
import MillraceTesting
import SimulationKit
import StorageIO
import Testing

@Suite("The synchronous appender")
struct AppenderTests {
  @Test("Borrowed and owned events are the same events")
  func forms() async throws {
    let store = try await MemoryFileSystem().openStore(.init(partitionCount: 3))
    var appender = store.makeAppender()
    let properties: Properties = ["site": "plant-7", "unit": "°C"]
    var positions: [LogPosition] = []
    let body = Array("21.5".utf8)
    positions.append(
      try appender.append(from: "d-1", body: body.span.bytes, properties: properties))
    positions.append(try appender.append(from: "d-1", body: body, properties: properties))
    positions.append(
      try appender.append(Event(from: "d-1", body: Payload(body), properties: properties)))
    var event = Event(
      from: "d-1", body: .empty, contentType: "application/cbor", contentEncoding: "utf-8",
      messageID: "m-7", correlationID: "c", userID: "u", moduleID: "module",
      creationTime: "2026-01-01T00:00:00Z", properties: properties)
    event.systemProperties[.componentName] = "thermostat"
    positions.append(try appender.append(event))
    let id = Array("d-1".utf8)
    positions.append(
      try appender.append(
        fromDeviceWithID: id.span.bytes, body: body.span.bytes, properties: properties))
    try await appender.durable()

    let partition = store.partition(of: "d-1")
    #expect(positions.map(\.partition) == Array(repeating: partition, count: 5))
    #expect(positions.map(\.offset) == [0, 1, 2, 3, 4])
    let all = try await store.everything()
    let stored = try #require(all[partition])
    #expect((stored.prefix(3) + stored.suffix(1)).allSatisfy { $0.body.bytes == body[...] })
    #expect(stored.allSatisfy { $0.properties == properties && $0.deviceID == "d-1" })
    #expect(stored[3].systemProperties == event.systemProperties)
    #expect(stored[3].body.count == 0)
    try await store.close()
  }

  @Test(
    "Bytes that are no device id are refused, and nothing is taken in",
    arguments: ["", "a b", "caf\u{e9}", String(repeating: "x", count: 129)])
  func badID(_ text: String) async throws {
    let store = try await MemoryFileSystem().openStore()
    var appender = store.makeAppender()
    let (id, body): ([UInt8], [UInt8]) = (Array(text.utf8), [1])
    do throws(EventStoreError) {
      try appender.append(fromDeviceWithID: id.span.bytes, body: body.span.bytes)
      Issue.record("\(text) was taken for an id")
    } catch {
      #expect(error.code == .invalidArgument && error.description.contains("device id"))
    }
    try appender.synchronize()
    #expect(try await store.texts().isEmpty)
    try await store.close()
  }

  @Test("flush survives the process, synchronize the machine")
  func promises() async throws {
    let disk = SimulatedDisk()
    let store = try await disk.openStore(.init(partitionCount: 4))
    var appender = store.makeAppender()
    var random = SeededRandom(seed: 1)
    func count(_ style: CrashStyle) async throws -> Int {
      let image = disk.crashImage(using: &random, style)
      let again = try await image.openStore(access: .readWrite)
      let count = try await again.everything().values.reduce(0) { $0 + $1.count }
      try await again.close()
      return count
    }
    for number in 0..<100 { try appender.append(from: DeviceID("d-\(number)"), body: [1]) }
    try appender.flush()
    #expect(try await count(.processOnly) == 100)
    for number in 0..<100 { try appender.append(from: DeviceID("d-\(number)"), body: [2]) }
    try appender.synchronize()
    #expect(try await count(.dropAll) == 200)
    for number in 0..<100 { try appender.append(from: DeviceID("d-\(number)"), body: [3]) }
    try await appender.durable()
    #expect(try await count(.dropAll) == 300)
    // With nothing new there is nothing to wait for.
    try appender.synchronize()
    try appender.flush()
    try await store.close()
  }

  @Test(
    "Groups of several batches, laid out by many threads: durable at their synchronize, in order")
  func groups() async throws {
    let disk = MemoryFileSystem()
    let store = try await disk.openStore(.init(partitionCount: 1, batchSize: .kibibytes(4)))
    let (threads, groups, perGroup) = (3, 40, 100)
    let tasks = (0..<threads).map { thread in
      onThread {
        var appender = store.makeAppender()
        let device = try DeviceID("t\(thread)")
        for group in 0..<groups {
          var last = Offset(0)
          for number in 0..<perGroup {
            let text = "\(group * perGroup + number) \(String(repeating: "x", count: 200))"
            last = try appender.append(from: device, body: Array(text.utf8)).offset
          }
          try appender.synchronize()
          #expect(try store.offsets(in: 0).upperBound > last)
        }
      }
    }
    for task in tasks { try await task.value }
    try await store.close()

    let again = try await disk.openStore(access: .readOnly)
    var next: [DeviceID: Int] = [:]
    for event in try await again.everything()[0] ?? [] {
      let text = String(decoding: event.body.bytes, as: UTF8.self)
      #expect(text.prefix { $0 != " " } == "\(next[event.deviceID, default: 0])")
      next[event.deviceID, default: 0] += 1
    }
    #expect(next.count == threads && next.values.allSatisfy { $0 == groups * perGroup })
    try await again.close()
  }

  @Test("Threads with an appender each: every number once, each device in order (I12)")
  func manyThreads() async throws {
    let disk = MemoryFileSystem()
    let store = try await disk.openStore(
      .init(partitionCount: 3, segmentSize: .kibibytes(64), batchSize: .kibibytes(4)))
    let (threads, perThread) = (6, 2_000)
    let tasks = (0..<threads).map { thread in
      onThread { () -> [LogPosition] in
        var appender = store.makeAppender()
        var positions: [LogPosition] = []
        for number in 0..<perThread {
          let device = try DeviceID("t\(thread)-\(number % 5)")
          positions.append(try appender.append(from: device, body: Array("\(number)".utf8)))
          if number % 500 == 499 { try appender.synchronize() }
          if number % 700 == 699 { try appender.flush() }
        }
        try appender.synchronize()
        return positions
      }
    }
    // Other ways in at the same time.
    for number in 0..<200 {
      try await store.append(
        Event(from: DeviceID("async-\(number % 5)"), body: Payload("\(number)")),
        durability: number % 20 == 0 ? .durable : .written)
    }
    var positions: Set<LogPosition> = []
    for task in tasks {
      let mine = try await task.value
      #expect(positions.isDisjoint(with: mine))
      positions.formUnion(mine)
    }
    #expect(positions.count == threads * perThread)
    try await store.close()

    let again = try await disk.openStore(access: .readOnly)
    var last: [DeviceID: Int] = [:]
    for (partition, events) in try await again.everything() {
      for (offset, event) in events.enumerated() {
        let number = try #require(Int(String(decoding: event.body.bytes, as: UTF8.self)))
        #expect(last[event.deviceID, default: -1] < number, "\(event.deviceID) at \(offset)")
        #expect(partition == PartitionID(of: event.deviceID, partitionCount: 3))
        last[event.deviceID] = number
      }
    }
    #expect(last.count == threads * 5 + 5)
    try await again.close()
  }
}
