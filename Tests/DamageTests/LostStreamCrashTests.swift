import EventModel
import Foundation
import LogFormat
import LogInspection
import Millrace
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Outcomes while the stream that they belong to is lost, and while it is repaired: crashes
/// anywhere, and each outcome is told once in the end.
@Suite("Crashes while a stream of outcomes is lost")
struct LostStreamCrashTests {
  private static let device: EventModel.DeviceID = "d"

  /// How the stream comes back.
  enum Return: String, CaseIterable {
    /// The file is found again.
    case found
    /// A repair makes a new one.
    case repaired
  }

  #if DEBUG
    private static let step = 31
  #else
    private static let step = DamageScope.isWhole ? 1 : 9
  #endif

  /// Sends messages and rejects them, and notes of which that was acknowledged.
  private func settle(
    _ names: [String], in store: EventStore, _ settled: inout Set<String>
  ) async throws {
    let queue = store.deviceQueue(for: Self.device)
    for name in names {
      try await queue.enqueue(
        DeviceMessage(id: try MessageID(name), body: "x", feedback: .full))
    }
    for message in try await queue.receive(max: 100) {
      try await queue.reject(message.lockToken, reason: "no")
      settled.insert(message.message.systemProperties[.messageID] ?? "")
    }
  }

  /// Opens, settles and closes; a store that a crash ends is closed all the same, for its threads.
  private func live(
    on disk: any FileSystem, _ names: [String], _ settled: inout Set<String>
  ) async throws {
    let store = try await QueueStore.open(disk, .createIfAbsent)
    do {
      try await settle(names, in: store, &settled)
    } catch {
      try? await store.close()
      throw error
    }
    try await store.close()
  }

  /// How often each message is told of, by the feedback and by the dead letters.
  private func told(_ disk: any FileSystem) async throws -> [[String: Int]] {
    // Closing waits until everything is copied.
    try await QueueStore.open(disk, .readWrite).close()
    let store = try await QueueStore.open(disk, .readOnly)
    var counts: [[String: Int]] = [[:], [:]]
    for try await batch in store.batches(in: .feedback, until: .highWatermark) {
      for report in batch.compactMap(\.feedbackReport) {
        counts[0][report.originalMessageID ?? "", default: 0] += 1
      }
    }
    for try await batch in store.batches(in: .deadLetters, until: .highWatermark) {
      for letter in batch.compactMap(\.deadLetter) {
        counts[1][letter.message.systemProperties[.messageID] ?? "", default: 0] += 1
      }
    }
    try await store.close()
    return counts
  }

  private func repair(_ disk: SimulatedDisk, seed: UInt64) throws {
    _ = try StoreRepair.run(
      QueueStore.root, environment: CanonicalStore.environment(disk, seed: seed))
  }

  /// Brings the stream back; a repair crashes on the way, wherever chance says, and is begun again.
  private func restored(
    _ image: SimulatedDisk, _ way: Return, _ lost: (path: FilePath, bytes: [UInt8]),
    _ random: inout SeededRandom
  ) throws -> SimulatedDisk {
    var files = image.image
    switch way {
    case .found:
      files[lost.path] = lost.bytes
      return SimulatedDisk(files: files, directories: image.directories)
    case .repaired:
      let disk = SimulatedDisk(
        files: files, directories: image.directories, .crash(at: 1 + random.below(30)))
      do {
        try repair(disk, seed: random.next())
      } catch {
        try #require(disk.isDead, "\(error)")
      }
      let style = CrashStyle.allCases[random.below(CrashStyle.allCases.count)]
      let again = disk.crashImage(using: &random, style)
      try repair(again, seed: random.next())
      return again
    }
  }

  @Test(
    "Each settlement is told exactly once, whatever the stream went through",
    arguments: [FileNames.feedback, FileNames.deadLetter], Return.allCases)
  func once(_ folder: String, _ way: Return) async throws {
    let whole = SimulatedDisk()
    var before: Set<String> = []
    try await live(on: whole, ["a", "b", "c"], &before)
    var files = whole.image
    let path = try #require(
      files.keys.first { $0.string.contains("/\(folder)/") && $0.extension == "segment" })
    let lost = (path, try #require(files[path]))
    files[path] = nil
    func disk(_ plan: FaultPlan = .none) -> SimulatedDisk {
      SimulatedDisk(files: files, directories: whole.directories, plan)
    }
    let names = ["d", "e", "f"]
    let uncrashed = disk()
    var all = before
    try await live(on: uncrashed, names, &all)
    var random = DamageScope.random(400)
    var count = 0
    // One more, which is none: the store was closed.
    for operation in stride(from: 1, through: uncrashed.operationCount + 1, by: Self.step) {
      let crashed = disk(.crash(at: operation))
      var settled = before
      do {
        try await live(on: crashed, names, &settled)
      } catch {
        try #require(crashed.isDead, "\(error)")
      }
      let style = CrashStyle.allCases[random.below(CrashStyle.allCases.count)]
      let image = crashed.crashImage(using: &random, style)
      let context =
        "crash at \(operation), \(style); "
        + DamageScope.replay("^DamageTests.LostStreamCrashTests")
      do {
        let restored = try restored(image, way, lost, &random)
        for counts in try await told(restored) {
          #expect(counts.values.allSatisfy { $0 == 1 }, "\(counts): \(context)")
          let untold = settled.subtracting(counts.keys)
          #expect(untold.isEmpty, "\(untold) are untold: \(context)")
        }
      } catch {
        Issue.record("\(error): \(context)")
      }
      count += 1
    }
    print("counted: \(count) crashes while a stream is lost")
    fflush(nil)
  }
}
