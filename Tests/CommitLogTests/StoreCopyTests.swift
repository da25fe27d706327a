import CommitLog
import ConsumerCheckpoints
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import Synchronization
import SystemPackage
import Testing

/// Copies of a store that goes on.
@Suite("Snapshots")
struct StoreCopyTests {
  private let target: FilePath = "/copy"

  /// Three sealed segments, an active one, and events that are not durable yet; the same of the
  /// journal and of dead letters with one sealed segment each.
  private func makeStore(on fileSystem: any FileSystem) throws -> TestStore {
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem, segmentSize: 2_048)
    var serial: UInt64 = 0
    while store.partition.snapshot.segments.count < 4 {
      try store.append(serial..<serial + 2)
      serial += 2
    }
    try store.append(serial..<serial + 3)
    try store.write(serial + 3..<serial + 6)
    for stream in [FileHeader.Stream.journal, .deadLetter] {
      let log = try store.log.log(stream)
      try store.append(0..<3, to: log)
      try log.sealActive()
      try store.append(3..<5, to: log)
      try store.write(5..<7, to: log)
    }
    return store
  }

  /// Whether a copy holds what was durable of the logs that `makeStore` made on demand, and no
  /// other log.
  private func expectStreams(_ copy: TestStore, _ context: Comment? = nil) throws {
    for stream in [FileHeader.Stream.journal, .deadLetter] {
      let log = try #require(copy.log.existingLog(stream), context)
      #expect(try copy.read(log).serials == Array(0..<5), context)
      #expect(log.report.isClean && log.snapshot.segments.count == 2, context)
    }
    #expect(copy.log.existingLog(.feedback) == nil, context)
  }

  private func copy(_ store: TestStore, onSource: () throws -> Void = {}) throws {
    try StoreCopy.make(
      at: target,
      environment: TestStore.environment(store.log.context.fileSystem, seed: 7)
    ) {
      StoreCopy.Source(store.log)
    } checkpoints: {
      []
    }
  }

  private func openCopy(_ fileSystem: any FileSystem) throws -> TestStore {
    try TestStore.open(on: fileSystem, at: target, seed: 8)
  }

  @Test("A copy holds what was durable, and stays what it is while the original goes on")
  func live() throws {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(on: fileSystem)
    let durable = try store.read().serials
    try copy(store)
    let image = fileSystem.image.filter { $0.key.starts(with: target) }
    #expect(image.keys.contains(target.appending(FileNames.manifest)))
    #expect(!image.keys.contains(target.appending(FileNames.unfinished)))
    try store.append(1_000..<1_100)
    try store.log.maintain { false }
    _ = try store.log.retain(
      RetentionPlan.Rule(age: nil, size: 1, keepsUntilConsumed: false, unreadSizeMax: nil),
      consumed: [nil])
    try store.append(7..<9, to: store.log.log(.journal))
    #expect(try store.log.retire(store.log.log(.journal), below: 3) == 1)
    #expect(try store.read().serials.first != 0)
    #expect(fileSystem.image.filter { $0.key.starts(with: target) } == image)
    let opened = try openCopy(fileSystem)
    #expect(opened.log.context.storeID == store.log.context.storeID)
    #expect(opened.partition.report.isClean)
    #expect(try opened.read().serials == durable)
    try expectStreams(opened)
    // The copy takes events of its own.
    try opened.append([5_000])
    #expect(try opened.read().serials == durable + [5_000])
    #expect(!(try store.read().serials.contains(5_000)))
  }

  @Test("A follower's copy ends at the published watermark")
  func follower() throws {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(on: fileSystem)
    let durable = try store.read().serials
    let environment = TestStore.environment(fileSystem, seed: 7)
    try StoreCopy.make(at: target, environment: environment) { () throws(CommitLogFailure) in
      try LogFollower.open(at: TestStore.root, environment: environment) {
        (_) throws(CommitLogFailure) in [:]
      }.copySource
    } checkpoints: {
      []
    }
    let opened = try openCopy(fileSystem)
    // The frame that was not synced says that those before it were.
    #expect(try opened.read().serials == durable)
    try expectStreams(opened)
  }

  @Test("A store that moved on is copied again from the start")
  func movedOn() throws {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(on: fileSystem)
    let before = StoreCopy.Source(store.log)
    var sources = 0
    try StoreCopy.make(
      at: target, environment: TestStore.environment(fileSystem, seed: 7)
    ) { () throws(CommitLogFailure) in
      sources += 1
      guard sources == 1 else { return StoreCopy.Source(store.log) }
      // What the first answer names goes before it is copied.
      _ = try store.log.retain(
        RetentionPlan.Rule(age: nil, size: 1, keepsUntilConsumed: false, unreadSizeMax: nil),
        consumed: [nil])
      return before
    } checkpoints: {
      []
    }
    #expect(sources == 2)
    #expect(try openCopy(fileSystem).read().serials == (try store.read().serials))
  }

  @Test("A roll between looking at the manifest and at the partitions is no matter")
  func rolledBetween() throws {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(on: fileSystem)
    let (manifest, snapshots) = (store.log.manifest.state, store.log.partitions.map(\.snapshot))
    let before = try store.read().serials
    let count = store.partition.snapshot.segments.count
    var serial: UInt64 = 1_000
    while store.partition.snapshot.segments.count < count + 2 {
      try store.append(serial..<serial + 2)
      serial += 2
    }
    let after = try store.read().serials
    let context = store.log.context
    for (place, source, expected): (FilePath, StoreCopy.Source, [UInt64]) in [
      (
        "/older-manifest",
        StoreCopy.Source(
          context: context, manifest: manifest,
          snapshots: store.log.partitions.map(\.snapshot)), after
      ),
      (
        "/newer-manifest",
        StoreCopy.Source(
          context: context, manifest: store.log.manifest.state, snapshots: snapshots), before
      ),
    ] {
      try StoreCopy.make(at: place, environment: TestStore.environment(fileSystem, seed: 7)) {
        source
      } checkpoints: {
        []
      }
      let opened = try TestStore.open(on: fileSystem, at: place, seed: 8)
      #expect(opened.partition.report.isClean, "\(place)")
      #expect(try opened.read().serials == expected, "\(place)")
      // The copy takes events of its own: its segments' ids do not meet the original's.
      try opened.append([9_999])
    }
  }

  @discardableResult
  private func copyFollowed(
    _ fileSystem: any FileSystem, to place: FilePath
  ) throws -> [ManifestEdit.RecordedGap] {
    let environment = TestStore.environment(fileSystem, seed: 7)
    return try StoreCopy.make(at: place, environment: environment) {
      () throws(CommitLogFailure) in
      try LogFollower.open(at: TestStore.root, environment: environment) {
        (_) throws(CommitLogFailure) in [:]
      }.copySource
    } checkpoints: {
      []
    }
  }

  @Test(
    "What the original lost at its end is a gap in the copy, and numbers go on behind it (I15)",
    arguments: [true, false])
  func lostEnds(isGone: Bool) throws {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(on: fileSystem)
    for log in store.log.logs { _ = try log.synchronize() }
    let logs = store.log.logs.map(\.id)
    let ends = store.log.logs.map(\.nextNumber)
    let actives = try store.log.logs.map { try #require($0.snapshot.segments.last) }
    try store.log.close()
    for active in actives {
      if isGone {
        try fileSystem.remove(active.path)
      } else {
        try fileSystem.open(active.path, .readWrite).truncate(to: ByteCount(FileHeader.size))
      }
    }
    let losses = try copyFollowed(fileSystem, to: target)
    #expect(losses.map(\.log) == logs)
    #expect(losses.map(\.first) == actives.map(\.baseNumber) && losses.map(\.next) == ends)
    #expect(losses.allSatisfy { $0.reason == (isGone ? .missingSegment : .lostSuffix) })
    let copy = try openCopy(fileSystem)
    #expect(copy.log.logs.map(\.nextNumber) == ends)
    #expect(copy.log.manifest.state.gaps == losses)
    try copy.append([9_999])
    #expect(try copy.read().serials.last == 9_999)
    #expect(try copy.count().missing == ends[0] - actives[0].baseNumber)
    #expect(copy.partition.nextNumber == ends[0] + 1)
  }

  @Test("What the original records as lost is told once, and recorded in every copy")
  func recordedEnds() throws {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(on: fileSystem)
    let (end, active) = (store.partition.highWatermark, store.partition.snapshot.segments.last)
    try store.log.close()
    try fileSystem.open(try #require(active).path, .readWrite)
      .truncate(to: ByteCount(FileHeader.size))
    let again = try TestStore.open(on: fileSystem, segmentSize: 2_048)
    #expect(again.partition.report.lostSuffix?.upperBound ?? 0 >= end)
    let next = again.partition.nextNumber
    for isFollowed in [false, true] {
      let place: FilePath = isFollowed ? "/followed" : "/copied"
      let losses =
        isFollowed
        ? try copyFollowed(fileSystem, to: place)
        : try StoreCopy.make(at: place, environment: again.log.context.environment) {
          StoreCopy.Source(again.log)
        } checkpoints: {
          []
        }
      #expect(losses == [])
      let copy = try TestStore.open(on: fileSystem, at: place, seed: 8)
      #expect(copy.partition.nextNumber == next, "\(place)")
      #expect(copy.log.manifest.state.gaps == again.log.manifest.state.gaps, "\(place)")
    }
  }

  @Test("A segment that is lost ends the copy with an error, and no store is left")
  func lostSegment() throws {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(on: fileSystem)
    let lost = store.partition.snapshot.segments[1].path
    try fileSystem.remove(lost)
    let failure = #expect(throws: CommitLogFailure.self) { try copy(store) }
    guard case .io(let cause) = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    #expect(cause.isMissing && cause.path == lost)
    #expect(throws: CommitLogFailure.self) { try openCopy(fileSystem) }
  }

  @Test("A segment that is gone and recorded as a gap is one in the copy too")
  func recordedSegment() throws {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(on: fileSystem)
    let lost = store.partition.snapshot.segments[1]
    let end = try #require(lost.summary).nextNumber
    try fileSystem.remove(lost.path)
    let expected = try store.count()
    let gap = ManifestEdit.RecordedGap(
      log: store.partition.id, segmentID: lost.added.segmentID, first: lost.baseNumber, next: end,
      reason: .missingSegment, from: lost.added.created, to: lost.added.created)
    try store.log.manifest.append([.gap(gap)])
    try store.log.close()
    #expect(try copyFollowed(fileSystem, to: target) == [])
    let copy = try openCopy(fileSystem)
    let found = try copy.count()
    #expect(found.missing == end - lost.baseNumber && found.missing == expected.missing)
    #expect(copy.log.manifest.state.gaps == [gap])
  }

  @Test("A folder that holds anything is refused and left as it is")
  func occupied() throws {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(on: fileSystem)
    #expect(throws: CommitLogFailure.alreadyExists(TestStore.root)) {
      try StoreCopy.make(
        at: TestStore.root, environment: TestStore.environment(fileSystem, seed: 7)
      ) {
        StoreCopy.Source(store.log)
      } checkpoints: {
        []
      }
    }
    try copy(store)
    let image = fileSystem.image
    #expect(throws: CommitLogFailure.alreadyExists(target)) { try copy(store) }
    #expect(fileSystem.image == image)
  }

  @Test("A store that lost its manifest is not taken for an empty folder")
  func lostManifest() throws {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(on: fileSystem)
    try store.log.close()
    try fileSystem.remove(TestStore.root.appending(FileNames.manifest))
    let image = StoreImage(fileSystem).withoutLock.files
    let failure = #expect(throws: CommitLogFailure.self) {
      try TestStore.create(on: fileSystem)
    }
    guard case .lostManifest = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    #expect(StoreImage(fileSystem).withoutLock.files == image)
  }

  @Test("A log that was named a moment ago is no part of a copy that does not hold it")
  func namedMeanwhile() throws {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(on: fileSystem)
    let snapshots = store.log.logs.map(\.snapshot)
    _ = try store.log.log(.feedback)
    let source = StoreCopy.Source(
      context: store.log.context, manifest: store.log.manifest.state, snapshots: snapshots)
    try StoreCopy.make(
      at: target, environment: TestStore.environment(fileSystem, seed: 7)
    ) { () throws(CommitLogFailure) in
      source
    } checkpoints: {
      []
    }
    let opened = try openCopy(fileSystem)
    try expectStreams(opened)
    // Made there, it takes a segment id that was never given.
    try opened.append(0..<2, to: opened.log.log(.feedback))
    #expect(try opened.read(opened.log.log(.feedback)).serials == [0, 1])
  }

  @Test("A folder whose only records are a journal's is not taken for an empty one")
  func lostManifestOfJournal() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem)
    try store.append(0..<2, to: store.log.log(.journal))
    var image = StoreImage(fileSystem)
    image.files[TestStore.root.appending(FileNames.manifest)] = nil
    image.files[store.partition.snapshot.segments[0].path]?.removeSubrange(FileHeader.size...)
    let damaged = image.memory()
    let failure = #expect(throws: CommitLogFailure.self) { try TestStore.create(on: damaged) }
    guard case .lostManifest = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    #expect(StoreImage(damaged).withoutLock.files == image.withoutLock.files)
  }

  /// A crash at every operation of the copy, in every style: no store, or the whole one.
  @Test("A crash leaves no store or a whole one, and the next attempt succeeds")
  func crashes() throws {
    let whole = SimulatedDisk()
    let original = try makeStore(on: whole)
    let durable = try original.read().serials
    let first = whole.operationCount
    try copy(original)
    let last = whole.operationCount
    #expect(last > first)
    var random = SeededRandom(seed: 5)
    var (complete, incomplete) = (0, 0)
    for operation in first + 1...last {
      let disk = SimulatedDisk(.crash(at: operation))
      let store = try makeStore(on: disk)
      #expect(throws: (any Error).self) { try copy(store) }
      for style in [CrashStyle.dropAll, .keepAll, .prefix, .random, .random] {
        let image = disk.crashImage(using: &random, style)
        do {
          let opened = try openCopy(image)
          #expect(try opened.read().serials == durable, "operation \(operation), \(style)")
          try expectStreams(opened, "operation \(operation), \(style)")
          complete += 1
        } catch CommitLogFailure.notAStore {
          incomplete += 1
          let again = try TestStore.open(on: image, seed: 9)
          try copy(again)
          #expect(
            try openCopy(image).read().serials.starts(with: durable),
            "operation \(operation), \(style)")
        }
      }
    }
    #expect(complete > 0 && incomplete > 0)
  }
}
