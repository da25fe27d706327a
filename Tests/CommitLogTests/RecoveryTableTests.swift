import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import Testing

/// The decision table of format-spec §5.2 through the engine: disk in, report and reading out.
@Suite struct RecoveryTableTests {
  @Test(
    "Opening decides as the table says, keeps what it cuts, and goes on",
    arguments: RecoveryCase.all)
  func decision(_ row: RecoveryCase) throws {
    let (image, expected) = try row.make()
    let fileSystem = image.memory()
    let store = try TestStore.open(on: fileSystem, seed: 10)
    let report = store.partition.report
    let tail = report.tail
    #expect(tail?.verdict == expected.tail)
    #expect(tail?.range == expected.cut)
    #expect(report.lostSuffix == expected.lostSuffix)
    #expect(report.possiblyAcknowledged == expected.possiblyAcknowledged)
    #expect(report.healed == expected.healed)
    #expect(
      report.findings.map {
        RecoveryCase.Loss(kind: $0.kind, position: $0.position, range: $0.first..<$0.next)
      } == expected.findings)
    #expect(store.partition.nextNumber == expected.next)
    try expectContents(store, expected)

    let segment = try image.segment()
    let quarantine = StoreImage(fileSystem).quarantine
    if let tail {
      #expect(quarantine == [tail.name: Array(segment.bytes[tail.range])])
      #expect(try cuts(fileSystem).map(\.quarantineName) == [tail.name])
    } else {
      #expect(quarantine.count == expected.healed.count)
    }
    try goesOn(store, fileSystem, expected)
  }

  private func expectContents(
    _ store: TestStore, _ expected: RecoveryCase.Expected, _ place: Comment? = nil
  ) throws {
    let contents = try store.read()
    #expect(contents.serials == expected.events && contents.wrong == nil, place)
    let gaps = contents.gaps.map {
      RecoveryCase.Missing(range: $0.first.value..<$0.next.value, reason: $0.reason)
    }
    #expect(gaps == expected.gaps, place)
  }

  private func cuts(_ fileSystem: any FileSystem) throws -> [ManifestEdit.TailCut] {
    try ManifestImage.read(root: TestStore.root, fileSystem: fileSystem).state.cuts
  }

  /// What is appended then takes the next number, and opening again finds nothing new.
  private func goesOn(
    _ store: TestStore, _ fileSystem: MemoryFileSystem, _ expected: RecoveryCase.Expected
  ) throws {
    let before = StoreImage(fileSystem).quarantine
    try store.append([1_000])
    #expect(store.partition.highWatermark == expected.next + 1)
    let killed = StoreImage(fileSystem)
    let again = try TestStore.open(on: killed.memory(), seed: 11)
    var after = expected
    after.events.append(1_000)
    try expectContents(again, after)
    #expect(again.partition.nextNumber == expected.next + 1)
    #expect(again.partition.report.tail == nil && again.partition.report.lostSuffix == nil)
    #expect(again.partition.report.healed.isEmpty)
    #expect(killed.quarantine == before)
  }

  @Test(
    "Recovery that is interrupted at any of its operations is done by the next one",
    arguments: RecoveryCase.all)
  func interrupted(_ row: RecoveryCase) throws {
    let (image, expected) = try row.make()
    let counting = image.disk()
    _ = try TestStore.open(on: counting, seed: 20)
    let original = try image.segment().bytes
    for operation in 1...counting.operationCount {
      let dying = image.disk(.crash(at: operation))
      do throws(CommitLogFailure) {
        _ = try TestStore.open(on: dying, seed: 20)
        Issue.record("the machine did not die at operation \(operation)")
      } catch {
        #expect(dying.isDead, "operation \(operation): \(error)")
      }
      let style = [CrashStyle.dropAll, .random, .keepAll][operation % 3]
      var random = SeededRandom(seed: UInt64(operation))
      let disk = dying.crashImage(using: &random, style)
      let store = try TestStore.open(on: disk, seed: 21)
      let place: Comment = "operation \(operation), \(style)"
      try expectContents(store, expected, place)
      #expect(store.partition.nextNumber == expected.next, place)
      guard let cut = expected.cut else { continue }
      // What is gone from the segment is in the quarantine (I7).
      let kept = disk.image.contains { path, bytes in
        bytes.count == cut.count && path.string.contains("/quarantine/")
          && bytes == Array(original[cut])
      }
      #expect(kept, place)
    }
  }
}
