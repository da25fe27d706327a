import EventModel
import Foundation
import LogFormat
import Millrace
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Snapshots of a damaged store that a crash ends anywhere: there is none, or a whole one, and the
/// original is what it was.
@Suite("Crashes within a snapshot of a damaged store")
struct DamagedCopyTests {
  private static let target = "/copy"

  /// What of the original is damaged.
  enum Damage: String, CaseIterable {
    /// The last records of the journal, the feedback and the dead letters are gone.
    case lostEnds
    /// The active segments of the feedback and the dead letters are gone.
    case lostFiles
    /// Zeros in the middle of the logs.
    case gaps
    /// Zeros in a queue file, one that is gone, and no directory.
    case queueFiles
  }

  #if DEBUG
    private static let step = 31
  #else
    private static let step = DamageScope.isWhole ? 1 : 5
  #endif

  private func damaged(_ store: QueueStore, _ damage: Damage) throws -> [FilePath: [UInt8]] {
    var files = store.files
    func last(_ part: QueueHonesty.Part) throws -> FilePath {
      try #require(
        files.keys.filter { QueueHonesty.Part($0) == part }.max { $0.string < $1.string })
    }
    switch damage {
    case .lostEnds:
      for part in [QueueHonesty.Part.journal, .feedback, .deadLetters] {
        let path = try last(part)
        files[path] = files[path].map { Array($0.prefix(FileHeader.size + 64)) }
      }
    case .lostFiles:
      for part in [QueueHonesty.Part.feedback, .deadLetters] { files[try last(part)] = nil }
    case .gaps:
      for part in [QueueHonesty.Part.journal, .feedback, .deadLetters] {
        let path = try last(part)
        for index in 320..<max(320, min(420, files[path]?.count ?? 0)) { files[path]?[index] = 0 }
      }
    case .queueFiles:
      let queues = files.keys.filter { $0.extension == "queue" }.sorted { $0.string < $1.string }
      try #require(queues.count >= 2)
      for index in 200..<min(260, files[queues[0]]?.count ?? 260) { files[queues[0]]?[index] = 0 }
      files[queues[1]] = nil
      files[try #require(files.keys.first { $0.extension == "directory" })] = nil
    }
    return files
  }

  /// What the store of a folder shows: the copy's files in the place of the original's.
  private func contents(_ disk: SimulatedDisk) async throws -> QueueContents {
    let prefix = Self.target + "/"
    var files: [FilePath: [UInt8]] = [:]
    for (path, bytes) in disk.image where path.string.hasPrefix(prefix) {
      files[QueueStore.root.appending(String(path.string.dropFirst(prefix.count)))] = bytes
    }
    let store = try await QueueStore.open(SimulatedDisk(files: files), .readOnly)
    let contents = try await QueueContents(of: store)
    try await store.close()
    return contents
  }

  private func snapshot(_ store: EventStore) async throws -> SnapshotReport {
    do {
      let report = try await store.snapshot(to: Self.target)
      try await store.close()
      return report
    } catch {
      try? await store.close()
      throw error
    }
  }

  private func source(_ disk: SimulatedDisk) -> [FilePath: [UInt8]] {
    disk.image.filter { $0.key.starts(with: QueueStore.root) && $0.key.lastComponent != "LOCK" }
  }

  @Test(
    "A crash leaves no store or a whole one, and the next attempt succeeds",
    arguments: QueueStore.Ending.allCases, Damage.allCases)
  func everyOperation(_ ending: QueueStore.Ending, _ damage: Damage) async throws {
    let store = try await QueueStore(ending)
    let files = try damaged(store, damage)
    func disk(_ plan: FaultPlan = .none) -> SimulatedDisk {
      SimulatedDisk(files: files, directories: store.directories, plan)
    }
    let whole = disk()
    let reader = try await QueueStore.open(whole, .readOnly)
    let first = whole.operationCount
    let report = try await snapshot(reader)
    let last = whole.operationCount
    let expected = try await contents(whole)
    let before = source(disk())
    #expect(source(whole) == before)
    var random = DamageScope.random(500)
    var (complete, incomplete) = (0, 0)
    for operation in stride(from: first + 1, through: last, by: Self.step) {
      let crashed = disk(.crash(at: operation))
      let reader = try await QueueStore.open(crashed, .readOnly)
      await #expect(throws: (any Error).self) { try await snapshot(reader) }
      for style in CrashStyle.allCases {
        let image = crashed.crashImage(using: &random, style)
        let context =
          "crash at \(operation), \(style); " + DamageScope.replay("^DamageTests.DamagedCopyTests")
        #expect(source(image) == before, "\(context)")
        do {
          #expect(try await contents(image) == expected, "\(context)")
          complete += 1
        } catch let error as EventStoreError where error.code == .notAStore {
          incomplete += 1
          guard style == .random else { continue }
          let again = try await snapshot(try await QueueStore.open(image, .readOnly))
          #expect(again == report, "\(context)")
          #expect(try await contents(image) == expected, "\(context)")
        } catch {
          Issue.record("\(error): \(context)")
        }
      }
    }
    #expect(complete + incomplete > 0 && incomplete > 0)
    print("counted: \(complete + incomplete) crashes within snapshots of damaged stores")
    fflush(nil)
  }
}
