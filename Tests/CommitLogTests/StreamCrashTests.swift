import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// A crash at every storage operation of making a log on demand and of the first writes to it.
@Suite("Crashes while a log is made")
struct StreamCrashTests {
  private struct Progress {
    /// Records whose sync has returned, and those that were handed over at all.
    var acknowledged: UInt64 = 0
    var written: UInt64 = 0
  }

  private func open(_ disk: SimulatedDisk, seed: UInt64 = 2) throws -> TestStore {
    try TestStore.open(on: disk, seed: seed)
  }

  private func begin(_ disk: SimulatedDisk) throws -> TestStore {
    try TestStore.create(on: disk)
    let store = try open(disk)
    try store.append(100..<103)
    return store
  }

  /// Makes the log, writes a second segment as well, and closes the store.
  private func run(
    _ store: TestStore, _ stream: FileHeader.Stream, _ progress: inout Progress
  ) throws {
    let log = try store.log.log(stream)
    for first in [0, 3, 6] as [UInt64] {
      progress.written = first + 3
      try store.write(first..<first + 3, to: log)
      switch first {
      case 0:
        _ = try log.synchronize()
        progress.acknowledged = 3
      case 3:
        try log.sealActive()
        progress.acknowledged = 6
      default: break
      }
    }
    try store.log.close()
    progress.acknowledged = progress.written
  }

  @Test(
    "The store opens, what was acknowledged is there, and the log can be made again",
    arguments: [FileHeader.Stream.journal, .deadLetter])
  func crashes(_ stream: FileHeader.Stream) throws {
    let whole = SimulatedDisk()
    let original = try begin(whole)
    let first = whole.operationCount
    var progress = Progress()
    try run(original, stream, &progress)
    #expect(progress.acknowledged == 9)
    #expect(try #require(original.log.existingLog(stream)).snapshot.segments.count > 1)
    let last = whole.operationCount
    var random = SeededRandom(seed: 5)
    var (present, absent) = (0, 0)
    for operation in first + 1...last {
      let disk = SimulatedDisk(.crash(at: operation))
      let store = try begin(disk)
      progress = Progress()
      #expect(throws: (any Error).self) { try run(store, stream, &progress) }
      for style in CrashStyle.allCases {
        let image = disk.crashImage(using: &random, style)
        if try check(image, stream, progress, "operation \(operation), \(style)") {
          present += 1
        } else {
          absent += 1
        }
      }
    }
    #expect(present > 0 && absent > 0)
  }

  /// Returns whether the log was there.
  private func check(
    _ image: SimulatedDisk, _ stream: FileHeader.Stream, _ progress: Progress,
    _ context: Comment
  ) throws -> Bool {
    let follower = try LogFollower.open(
      at: TestStore.root, environment: TestStore.environment(image, seed: 9)
    ) { (_) throws(CommitLogFailure) in [:] }
    let shown = follower.snapshot(of: stream)
    let store = try open(image, seed: 3)
    #expect(try store.read().serials == [100, 101, 102], context)
    let found = store.log.existingLog(stream)
    #expect((shown == nil) == (found == nil), context)
    #expect(found != nil || progress.acknowledged == 0, context)
    var kept: [UInt64] = []
    if let found {
      let contents = try store.read(found)
      kept = contents.serials
      #expect(contents.gaps.isEmpty && contents.wrong == nil, context)
      #expect(kept.starts(with: 0..<progress.acknowledged), context)
      #expect(kept == Array((0..<progress.written).prefix(kept.count)), context)
      #expect(shown?.highWatermark == UInt64(kept.count), context)
    }
    let log = try store.log.log(stream)
    try store.append(50..<53, to: log)
    #expect(try store.read(log).serials == kept + [50, 51, 52], context)
    try store.log.close()
    let again = try open(image, seed: 4)
    let last = try #require(again.log.existingLog(stream))
    #expect(last.report.isClean, context)
    #expect(try again.read(last).serials == kept + [50, 51, 52], context)
    #expect(try again.read().serials == [100, 101, 102], context)
    return found != nil
  }

  /// Every third operation, and behind it every operation of the opening.
  @Test("Openings after that may crash as well")
  func crashesTwice() throws {
    let whole = SimulatedDisk()
    let original = try begin(whole)
    let first = whole.operationCount
    var progress = Progress()
    try run(original, .journal, &progress)
    let last = whole.operationCount
    var random = SeededRandom(seed: 6)
    for operation in stride(from: first + 1, through: last, by: 3) {
      let disk = SimulatedDisk(.crash(at: operation))
      let store = try begin(disk)
      progress = Progress()
      #expect(throws: (any Error).self) { try run(store, .journal, &progress) }
      let image = disk.crashImage(using: &random, .random)
      var second = 0
      while true {
        second += 1
        let again = image.crashImage(using: &random, .processOnly)
        again.plan = .crash(at: again.operationCount + second)
        if (try? open(again, seed: 3).log.log(.journal)) != nil, !again.isDead { break }
        _ = try check(
          again.crashImage(using: &random, .random), .journal, progress,
          "operation \(operation), then \(second)")
      }
      #expect(second > 1)
    }
  }
}
