import Foundation
import Millrace
import MillraceTesting

/// Fills stores with the readings of a fleet.
final class Filling {
  private(set) var fleet: SimulatedFleet
  let firstTime: Timestamp

  init(deviceCount: Int) {
    fleet = SimulatedFleet(deviceCount: deviceCount, seed: 20_250_601)
    firstTime = fleet.time
  }

  var lastTime: Timestamp { fleet.time }

  /// Makes a store of one partition and waits until its sealed segments have their footers.
  func fill(_ path: String, count: Int) async throws {
    let store = try await EventStore.open(at: path, configuration: .init(partitionCount: 1))
    try await append(count, to: store)
    try await Self.waitForMaintenance(path)
    try await store.close()
  }

  func append(_ count: Int, to store: EventStore, eachDurable: Bool = false) async throws {
    var appender = store.makeAppender()
    var body: [UInt8] = []
    for _ in 0..<count {
      let device = fleet.next(into: &body)
      try appender.append(
        from: fleet.devices[device], body: body.span.bytes, properties: fleet.properties[device],
        enqueuedTime: fleet.time)
      if eachDurable { try appender.synchronize() }
    }
    try appender.synchronize()
  }

  /// A million events; then the process ends as by `kill -9`.
  static func fillAndDie(at path: String) async throws {
    let store = try await EventStore.open(at: path, configuration: .init(partitionCount: 1))
    try await Filling(deviceCount: 10_000).append(1_000_000, to: store)
    kill(getpid(), SIGKILL)
  }

  private static func files(_ path: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: path + "/partitions/000")
  }

  static func segmentCount(_ path: String) throws -> Int {
    try files(path).count { $0.hasSuffix(".segment") }
  }

  /// Where the active segment begins.
  static func sealedEnd(_ path: String) throws -> Offset {
    let bases = try files(path).filter { $0.hasSuffix(".segment") }.compactMap {
      UInt64($0.prefix { $0 != "-" })
    }
    return Offset(bases.max() ?? 0)
  }

  /// Returns once every sealed segment has a footer and nothing has changed for a second.
  static func waitForMaintenance(_ path: String) async throws {
    var before: [String] = []
    while true {
      let files = try files(path).sorted()
      let segments = files.count { $0.hasSuffix(".segment") }
      let footers = files.count { $0.hasSuffix(".footer") }
      if footers >= segments - 1, files == before { return }
      before = files
      try await Task.sleep(for: .seconds(1))
    }
  }
}
