import EventModel
import Foundation
import Millrace
import MillraceTesting
import SimulationKit
import StorageIO
import Synchronization
import SystemPackage
import Testing

extension FileSystem {
  /// Opens the store on this file system.
  func openStore(
    _ configuration: EventStore.Configuration = .init(partitionCount: 1),
    access: EventStore.Access = .createIfAbsent, clock: ManualClock? = nil
  ) async throws(EventStoreError) -> EventStore {
    let system = EngineEnvironment.system()
    var now = system.now
    if let clock { now = { clock.now } }
    return try await EventStore.open(
      at: "/store", configuration: configuration, access: access,
      environment: EngineEnvironment(fileSystem: self, now: now, random: system.random))
  }
}

extension EventStore {
  /// The bodies of a partition's events that can be read now, as texts; a gap is an error.
  func texts(
    in partition: PartitionID = 0, from position: ReadPosition = .earliest
  ) async throws -> [String] {
    try await texts(of: batches(in: partition, from: position, until: .highWatermark))
  }

  func texts(of batches: EventBatches) async throws -> [String] {
    var texts: [String] = []
    for try await batch in batches {
      try #require(batch.gap == nil)
      for event in batch { texts.append(event.text) }
    }
    return texts
  }

  /// How many records of a stream can be read now; a gap is an error.
  func count(of stream: PartitionID) async throws -> Int {
    var count = 0
    for try await batch in batches(in: stream, until: .highWatermark) {
      try #require(batch.gap == nil)
      count += batch.count
    }
    return count
  }

  /// Appends numbered events and returns their bodies.
  @discardableResult
  func append(
    _ numbers: Range<Int>, from device: EventModel.DeviceID = "d", durability: Durability = .durable
  ) async throws(EventStoreError) -> [String] {
    try await append(
      contentsOf: numbers.map { Event(from: device, body: Payload("\($0)")) },
      durability: durability)
    return numbers.map(String.init)
  }

  /// Suspends until a partition's high watermark lies beyond an offset: the next event arrives.
  func untilReadable(_ offset: Offset, in partition: PartitionID = 0) async throws {
    for try await _ in batches(in: partition, from: .offset(offset)) { return }
    Issue.record("the log ended before \(offset)")
  }

  /// A device whose events a partition holds.
  func device(in partition: PartitionID) throws -> EventModel.DeviceID {
    for number in 0..<10_000 {
      let device = try EventModel.DeviceID("device-\(number)")
      if self.partition(of: device) == partition { return device }
    }
    throw EventStoreError(.invalidArgument, "no device found for \(partition)")
  }
}

extension EventView {
  var text: String { String(decoding: Payload(copying: body).bytes, as: UTF8.self) }
}

/// The error a call throws; an issue if it throws none, or another.
func failure<Result>(
  _ location: SourceLocation = #_sourceLocation, of body: () async throws -> Result
) async -> EventStoreError? {
  do {
    _ = try await body()
    Issue.record("nothing was thrown", sourceLocation: location)
    return nil
  } catch {
    #expect(error is EventStoreError, sourceLocation: location)
    return error as? EventStoreError
  }
}

extension FaultPlan {
  /// One kind of call on some paths fails from now on, or once.
  static func failing(
    _ operation: IOFailure.Operation, _ suffix: String, _ reason: Errno = .ioError,
    isLasting: Bool = false
  ) -> FaultPlan {
    FaultPlan(failures: [
      Failure(.call(operation, pathSuffix: suffix), reason, isLasting: isLasting)
    ])
  }
}

/// A flag that a task raises and a test looks at.
final class Flag: Sendable {
  private let value = Atomic(false)
  var isRaised: Bool { value.load(ordering: .acquiring) }
  func raise() { value.store(true, ordering: .releasing) }
}

/// Counts what tasks have done.
final class Counter: Sendable {
  private let count = Atomic(0)
  var value: Int { count.load(ordering: .acquiring) }
  func add() { count.add(1, ordering: .acquiringAndReleasing) }
}

/// Runs something that may block on a thread of its own: a cooperative one that is blocked may be
/// the one that would let it go on.
func onThread<Value: Sendable>(
  _ body: @escaping @Sendable () throws -> Value
) -> Task<Value, any Error> {
  let (stream, continuation) = AsyncStream.makeStream(of: Result<Value, any Error>.self)
  Thread { continuation.yield(Result { try body() }) }.start()
  return Task {
    for await result in stream { return try result.get() }
    throw CancellationError()
  }
}
