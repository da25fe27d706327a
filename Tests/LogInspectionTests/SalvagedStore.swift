import EventModel
import LogInspection
import Millrace
import StorageIO
import SystemPackage

/// A store that the engine wrote, as files and as what the engine reads of it.
struct SalvagedStore {
  static let root: FilePath = "/store"

  let files: [FilePath: [UInt8]]
  /// The events of each device, in their order.
  let events: [EventModel.DeviceID: [Event]]

  struct Found {
    let salvage: Salvage
    let reading: Salvage.Reading
    let events: [EventModel.DeviceID: [Event]]

    /// Whether they are just these: a failed comparison would print all of them.
    func holds(_ events: [EventModel.DeviceID: [Event]]) -> Bool { self.events == events }
  }

  /// What salvage makes of some files.
  static func salvage(
    _ files: [FilePath: [UInt8]], at path: FilePath = root
  ) throws(InspectionFailure) -> Found {
    let salvage = try Salvage(path, fileSystem: MemoryFileSystem(files: files))
    var events: [EventModel.DeviceID: [Event]] = [:]
    let reading = salvage.forEachEvent { events[$0.deviceID, default: []].append($0) }
    return Found(salvage: salvage, reading: reading, events: events)
  }

  /// Writes a store of three partitions with many segments, and messages to a few devices whose
  /// outcomes are told.
  static func write(
    compression: CompressionCodec = .lz4,
    body: (Int) -> Payload = { number in
      // Bodies that hardly compress, so that segments fill and roll.
      let fill = (0..<20).map { String(UInt64(number * 31 + $0 + 1) &* 0x9e37_79b9_7f4a_7c15) }
      return Payload(fill.joined())
    }
  ) async throws -> Self {
    let disk = MemoryFileSystem()
    let store = try await open(on: disk, compression: compression)
    for start in stride(from: 0, to: 600, by: 50) {
      let events = try (start..<start + 50).map { number in
        Event(
          from: try DeviceID("device-\(number % 40)"), body: body(number),
          contentType: "text/plain", messageID: try MessageID("m\(number)"),
          properties: try Properties([("line", "\(number % 3)")]))
      }
      _ = try await store.append(contentsOf: events)
    }
    for number in 0..<4 {
      let queue = store.deviceQueue(for: try DeviceID("device-\(number)"))
      try await queue.enqueue(
        DeviceMessage(id: try MessageID("c\(number)"), body: "on", feedback: .full))
      guard let delivery = try await queue.receive(max: 1).first else { continue }
      if number % 2 == 0 {
        try await queue.complete(delivery.lockToken)
      } else {
        try await queue.reject(delivery.lockToken, reason: "broken")
      }
    }
    try await store.close()
    return Self(files: disk.image, events: try await read(disk))
  }

  static func open(
    on disk: MemoryFileSystem, compression: CompressionCodec = .lz4,
    _ access: EventStore.Access = .createIfAbsent
  ) async throws -> EventStore {
    let system = EngineEnvironment.system()
    return try await EventStore.open(
      at: root.string,
      configuration: .init(
        partitionCount: 3, segmentSize: .kibibytes(64), compression: compression,
        batchSize: .kibibytes(4)),
      access: access,
      environment: EngineEnvironment(
        fileSystem: disk, now: system.now, random: system.random))
  }

  private static func read(
    _ disk: MemoryFileSystem
  ) async throws -> [EventModel.DeviceID: [Event]] {
    let store = try await open(on: disk, .readOnly)
    var events: [EventModel.DeviceID: [Event]] = [:]
    for partition in store.partitions {
      let end = try store.offsets(in: partition).upperBound
      for try await batch in store.batches(in: partition, until: .offset(end)) {
        for view in batch { events[view.deviceID, default: []].append(view.event) }
      }
    }
    try await store.close()
    return events
  }
}
