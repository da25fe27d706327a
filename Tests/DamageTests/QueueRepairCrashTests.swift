import EventModel
import Foundation
import LogFormat
import LogInspection
import Millrace
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// A repair of a damaged store with queue files, a journal, feedback and dead letters that a crash
/// ends at any operation, and that is begun again.
@Suite("Crashes within a repair of device queues")
struct QueueRepairCrashTests {
  private typealias Files = [FilePath: [UInt8]]

  /// Which files are damaged, and how.
  enum Damage: String, CaseIterable {
    /// A bit of one queue file, zeros in another, a directory that is cut, a manifest frame.
    case queueFiles
    /// The active segments of the journal and of the feedback are gone; a bit of a dead letter.
    case lostEnds
    /// Zeros in the middle of the journal and of the dead letters, and the manifest is gone.
    case middles
    /// Whatever the seed says, of any files.
    case any
  }

  #if DEBUG
    private static let (seedCount, step) = (1, 17)
  #else
    private static let (seedCount, step) = DamageScope.isWhole ? (12, 1) : (1, 3)
  #endif

  private func paths(_ files: Files, _ part: QueueHonesty.Part) -> [FilePath] {
    files.keys.filter { QueueHonesty.Part($0) == part }.sorted { $0.string < $1.string }
  }

  private func damaged(
    _ store: QueueStore, _ damage: Damage, _ random: inout SeededRandom
  ) throws -> Files {
    var files = store.files
    let manifest = QueueStore.root.appending(FileNames.manifest)
    func zero(_ path: FilePath, from start: Int, _ count: Int) {
      guard let size = files[path]?.count else { return }
      for index in start..<min(size, start + count) { files[path]?[index] = 0 }
    }
    func flip(_ path: FilePath, at place: Int) {
      guard let size = files[path]?.count, size > 0 else { return }
      files[path]?[place % size] ^= 1 << UInt8(place % 8)
    }
    switch damage {
    case .queueFiles:
      let queues = files.keys.filter { $0.extension == "queue" }.sorted { $0.string < $1.string }
      try #require(queues.count >= 2)
      flip(queues[0], at: 200 + random.below(64))
      zero(queues[1], from: 128 + random.below(64), 80)
      let directory = try #require(files.keys.first { $0.extension == "directory" })
      files[directory] = files[directory].map { Array($0.prefix(200)) }
      zero(manifest, from: 300 + random.below(100), 40)
    case .lostEnds:
      files[try #require(paths(files, .journal).last)] = nil
      files[try #require(paths(files, .feedback).last)] = nil
      flip(try #require(paths(files, .deadLetters).last), at: 300)
    case .middles:
      zero(try #require(paths(files, .journal).first), from: 400 + random.below(600), 200)
      zero(try #require(paths(files, .deadLetters).first), from: 200 + random.below(100), 200)
      files[manifest] = nil
    case .any:
      for path in files.keys.sorted(by: { $0.string < $1.string }) where random.below(2) == 0 {
        guard let size = files[path]?.count, size > 0, path.lastComponent != "LOCK" else {
          continue
        }
        let start = random.below(size)
        switch random.below(6) {
        case 0: files[path] = nil
        case 1: files[path]?.removeSubrange(start...)
        case 2: flip(path, at: start)
        default: zero(path, from: start, 300)
        }
      }
    }
    return files
  }

  private func repair(_ disk: SimulatedDisk, seed: UInt64) throws {
    _ = try StoreRepair.run(
      QueueStore.root, environment: CanonicalStore.environment(disk, seed: seed))
  }

  /// What the store shows once it has been opened for writing, as repairing ends.
  private func contents(_ disk: SimulatedDisk) async throws -> QueueContents {
    // Closed, so that everything is copied to the streams.
    try await QueueStore.open(disk, .readWrite).close()
    let reader = try await QueueStore.open(disk, .readOnly)
    let contents = try await QueueContents(of: reader)
    try await reader.close()
    return contents
  }

  /// The files that are damaged and still there.
  private func evidence(_ files: Files, _ store: QueueStore) -> Files {
    files.filter { $0.value != store.files[$0.key] && $0.key.lastComponent != "LOCK" }
  }

  /// A place whose bytes are neither in their file nor in the quarantine any more; nil if none is.
  private func lostEvidence(_ before: Files, _ after: Files) -> String? {
    let size = FrameHeader.alignment
    var kept: Set<ArraySlice<UInt8>> = []
    for (path, bytes) in after where path.string.contains("/\(FileNames.quarantine)/") {
      for start in stride(from: 0, to: bytes.count, by: size) {
        kept.insert(bytes[start..<min(bytes.count, start + size)])
      }
    }
    for (path, bytes) in before {
      let now = after[path] ?? []
      for start in stride(from: 0, to: bytes.count, by: size) {
        let block = bytes[start..<min(bytes.count, start + size)]
        let isThere = now.count >= block.endIndex && now[start..<block.endIndex] == block
        guard isThere || kept.contains(block) || block.allSatisfy({ $0 == 0 }) else {
          return "byte \(start) of \(path)"
        }
      }
    }
    return nil
  }

  /// What a crash within the repair leaves that should be otherwise; nil for nothing.
  private func violation(
    _ image: SimulatedDisk, _ evidence: Files, _ expected: QueueContents
  ) async throws -> String? {
    if let place = lostEvidence(evidence, image.image) { return "after the crash \(place) is gone" }
    try repair(image, seed: 4)
    if let place = lostEvidence(evidence, image.image) { return "\(place) is gone" }
    let seen = try await contents(image)
    if seen != expected { return "the store is another one than without the crash" }
    let left = try Fsck.check(QueueStore.root, fileSystem: image)
    return left.findings.first { $0.severity == .error }.map { "left: \($0.file): \($0.detail)" }
  }

  @Test(
    "A crash at any operation of a repair loses nothing, and repairing again goes on",
    arguments: QueueStore.Ending.allCases, Damage.allCases)
  func everyOperation(_ ending: QueueStore.Ending, _ damage: Damage) async throws {
    let store = try await QueueStore(ending)
    let replay = DamageScope.replay("^DamageTests.QueueRepairCrashTests")
    var count = 0
    for variant in 0..<Self.seedCount {
      var random = DamageScope.random(300 + UInt64(variant))
      let files = try damaged(store, damage, &random)
      func disk(_ plan: FaultPlan = .none) -> SimulatedDisk {
        SimulatedDisk(files: files, directories: store.directories, plan)
      }
      let whole = disk()
      try repair(whole, seed: 3)
      let last = whole.operationCount
      let expected = try await contents(whole)
      let evidence = evidence(files, store)
      for operation in stride(from: 1, through: last, by: Self.step) {
        let crashed = disk(.crash(at: operation))
        do {
          try repair(crashed, seed: 3)
        } catch {
          try #require(crashed.isDead, "\(error)")
        }
        let style = CrashStyle.allCases[random.below(CrashStyle.allCases.count)]
        let image = crashed.crashImage(using: &random, style)
        let context = "variant \(variant), crash at \(operation) of \(last), \(style); \(replay)"
        do {
          let violation = try await violation(image, evidence, expected)
          #expect(violation == nil, "\(context)")
        } catch {
          Issue.record("\(error): \(context)")
        }
        count += 1
      }
    }
    #expect(count > 0)
    print("counted: \(count) crashes within repairs of queues")
    fflush(nil)
  }
}
