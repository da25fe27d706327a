import EventModel
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import Synchronization
import SystemPackage
import Testing

@Suite("Checking a store")
struct FsckTests {
  private func check(_ store: SampleStore) throws -> FsckResult {
    try Fsck.check(SampleStore.root, fileSystem: store.fileSystem)
  }

  @Test(
    "A store that was closed is clean, and everything in it was looked at",
    arguments: CompressionCodec.allCases)
  func cleanStore(codec: CompressionCodec) throws {
    let result = try check(SampleStore(codec: codec))
    #expect(result.findings == [])
    #expect(result.clean)
    #expect(result.checked.segments == 3)
    #expect(result.checked.batches == 6)
    #expect(result.checked.events == 15)
    #expect(result.checked.indexEntries == 4)
    #expect(result.checked.manifestEdits == 8)
    #expect(result.checked.checkpointEntries == 2)
  }

  @Test("A store that a crash left is clean")
  func crashedStore() throws {
    let result = try check(SampleStore(isClosed: false))
    #expect(result.findings == [])
    #expect(result.clean)
  }

  @Test("A damaged body is an exact loss with its devices and times")
  func damagedBody() throws {
    var store = try SampleStore()
    let frame = try #require(
      frames(of: store).first { $0.header.type == 1 && $0.header.baseNumber == 2 })
    let path = store.sealed
    store.files[path]?[frame.position + 64 + Int(frame.header.clearSize) + 3] ^= 0x40
    let result = try check(store)
    #expect(!result.clean)
    let finding = try #require(result.findings.first)
    #expect(result.findings.count == 1)
    #expect(finding.kind == .damagedFrame)
    #expect(finding.position == frame.position)
    let loss = try #require(finding.acknowledgedLoss)
    #expect(loss.partition == 0)
    #expect(loss.firstSequence == 2)
    #expect(loss.nextSequence == 4)
    #expect(loss.devices == SampleStore.devices[0][1...2].sorted())
    #expect(loss.from == Timestamp(microseconds: 20_000))
    #expect(loss.to == Timestamp(microseconds: 21_000))
  }

  private func frames(of store: SampleStore) throws -> [InspectedFrame] {
    let inspector = try StoreInspector(SampleStore.root, fileSystem: store.fileSystem)
    var frames: [InspectedFrame] = []
    inspector.walk { item in
      if case .frame(let frame) = item { frames.append(frame) }
      return .goOn
    }
    return frames
  }

  @Test("A destroyed acknowledged suffix is a loss from the end of what is there to the watermark")
  func lostSuffix() throws {
    var store = try SampleStore()
    let end = try #require(
      frames(of: store).first { $0.header.type == 1 && $0.header.baseNumber == 9 })
    let path = store.active
    store.files[path]?.removeSubrange(end.position...)
    let result = try check(store)
    #expect(!result.clean)
    let finding = try #require(result.findings.first { $0.kind == .lostSuffix })
    #expect(finding.acknowledgedLoss?.firstSequence == 9)
    #expect(finding.acknowledgedLoss?.nextSequence == 11)
    #expect(finding.acknowledgedLoss?.from == Timestamp(microseconds: 50_000))
  }

  @Test("A torn tail that nobody was told of is a note")
  func tornTail() throws {
    var store = try SampleStore(isClosed: false)
    let path = store.active
    store.files[path]? += [UInt8](repeating: 7, count: 100)
    let result = try check(store)
    #expect(result.clean)
    #expect(result.findings.map(\.kind) == [.tornTail])
    #expect(result.findings.map(\.severity) == [.note])
  }

  @Test("A last batch whose body does not hold is a warning, since no evidence tells")
  func undecidableTail() throws {
    var store = try SampleStore(isClosed: false, checkpoint: 0)
    let path = store.active
    let frame = try #require(
      frames(of: store).first { $0.header.type == 1 && $0.header.baseNumber == 9 })
    store.files[path]?[frame.position + 70] ^= 3
    let result = try check(store)
    #expect(result.clean)
    #expect(result.findings.map(\.kind).first == .undecidableTail)
    #expect(result.findings.map(\.severity).max() == .warning)
  }

  @Test("A flipped bit in the last batch is a warning, and the batch is there as it was written")
  func flippedBit() throws {
    var store = try SampleStore(isClosed: false, checkpoint: 0)
    let path = store.active
    let frame = try #require(
      frames(of: store).first { $0.header.type == 1 && $0.header.baseNumber == 9 })
    store.files[path]?[frame.position + 70] ^= 1
    let result = try check(store)
    #expect(result.clean)
    #expect(result.findings.map(\.kind) == [.flippedBit])
    #expect(result.findings.map(\.severity) == [.warning])
    #expect(result.findings.map(\.position) == [frame.position])
    #expect(result.checked.events == 15)
  }

  @Test("A checkpoint behind the end of its partition is an error and names the group")
  func checkpointAhead() throws {
    let result = try check(SampleStore(checkpoint: 20))
    #expect(!result.clean)
    let finding = try #require(result.findings.first { $0.kind == .checkpointAhead })
    #expect(finding.detail.contains("readers"))
    #expect(finding.file == FileNames.checkpoints)
  }

  @Test("A missing index is a note, a missing sealed segment is the loss of its events")
  func missingFiles() throws {
    var store = try SampleStore()
    let segment = store.sealed
    let stem = try #require(segment.lastComponent?.stem)
    let index = segment.removingLastComponent().appending(stem + FileNames.indexSuffix)
    store.files[index] = nil
    var result = try check(store)
    #expect(result.clean)
    #expect(result.findings.map(\.kind) == [.missingFile])
    store.files[segment] = nil
    result = try check(store)
    #expect(!result.clean)
    let loss = try #require(result.findings.compactMap(\.acknowledgedLoss).first)
    #expect(loss.firstSequence == 0)
    #expect(loss.nextSequence == 6)
    #expect(loss.to == Timestamp(microseconds: 31_000))
  }

  @Test("A loss that the manifest records is a note")
  func recordedGap() throws {
    let gap = ManifestEdit.RecordedGap(
      log: ManifestEdit.LogID(stream: .events, partition: 0), segmentID: 1, first: 2, next: 4,
      reason: .damaged, from: Timestamp(microseconds: 20_000),
      to: Timestamp(microseconds: 21_000))
    var store = try SampleStore(extraEdits: [.gap(gap)])
    let path = store.sealed
    let frame = try #require(
      frames(of: store).first { $0.header.type == 1 && $0.header.baseNumber == 2 })
    store.files[path]?[frame.position + 70] ^= 1
    let result = try check(store)
    #expect(result.clean)
    #expect(result.findings.map(\.kind) == [.manifestGap, .damagedFrame])
    #expect(result.findings.allSatisfy { $0.severity == .note })
  }

  @Test("Files that belong to nothing are notes")
  func orphans() throws {
    var store = try SampleStore()
    store.files[SampleStore.root.appending("MANIFEST.new")] = [1, 2]
    store.files[SampleStore.root.appending("notes.txt")] = [1]
    let made = SegmentWriter(
      SampleStore.added(9, partition: 1, base: 4), storeID: SampleStore.storeID)
    store.files[SampleStore.path(made.added, FileNames.segmentSuffix)] = made.file
    let result = try check(store)
    #expect(result.clean)
    #expect(result.findings.map(\.kind) == [.orphanFile, .orphanFile, .orphanFile])
    #expect(result.findings.allSatisfy { $0.severity == .note })
  }

  @Test("A segment with events that the manifest does not name means that edits are lost")
  func unnamedSegment() throws {
    var writer = SegmentWriter(
      SampleStore.added(9, partition: 1, base: 4), storeID: SampleStore.storeID)
    try writer.batch([SampleStore.devices[1][0]], at: 90_000)
    writer.mark(at: 91_000)
    var store = try SampleStore()
    store.files[SampleStore.path(writer.added, FileNames.segmentSuffix)] = writer.file
    let result = try check(store)
    #expect(!result.clean)
    #expect(result.findings.map(\.kind).first == .manifestDamaged)
    #expect(result.checked.events == 16)
  }

  /// Others had gone on while it could not be read.
  @Test("So does one whose id is no longer the highest, where it follows its log's last segment")
  func unnamedFollower() throws {
    for (predecessor, isClean): (UInt64, Bool) in [(2, false), (1, true)] {
      var writer = SegmentWriter(
        SampleStore.added(9, partition: 1, base: 4, predecessor: predecessor),
        storeID: SampleStore.storeID)
      try writer.batch([SampleStore.devices[1][0]], at: 90_000)
      writer.mark(at: 91_000)
      var store = try SampleStore(extraEdits: [.segmentIDFloor(20)])
      store.files[SampleStore.path(writer.added, FileNames.segmentSuffix)] = writer.file
      let result = try check(store)
      #expect(result.clean == isClean)
      #expect(result.findings.contains { $0.kind == .manifestDamaged } == !isClean)
      #expect(result.checked.events == (isClean ? 15 : 16))
    }
  }

  @Test("A device in a partition that is not its own is an error")
  func misplacedDevice() throws {
    var writer = SegmentWriter(
      SampleStore.added(2, partition: 1), storeID: SampleStore.storeID)
    writer.epoch(at: 2_000)
    try writer.batch([SampleStore.devices[0][0]], at: 15_000)
    writer.mark(at: 16_000)
    var store = try SampleStore(isClosed: false)
    store.files[store.other] = writer.file
    let result = try check(store)
    #expect(!result.clean)
    #expect(result.findings.map(\.kind) == [.misplacedDevice])
  }

  @Test("A segment whose summary tells something else is an error")
  func badSummary() throws {
    var writer = SegmentWriter(
      SampleStore.added(2, partition: 1), storeID: SampleStore.storeID)
    writer.epoch(at: 2_000)
    try writer.batch(Array(SampleStore.devices[1][0..<4]), at: 15_500)
    writer.mark(at: 16_000)
    var store = try SampleStore()
    store.files[store.other] = writer.file
    let result = try check(store)
    #expect(result.findings.map(\.kind) == [.badSummary])
    #expect(!result.clean)
  }

  @Test("What is no store is refused with the reason")
  func refusals() throws {
    let fileSystem = MemoryFileSystem(
      files: ["/file": [1], "/folder/a": [2]], directories: ["/empty"])
    #expect(throws: InspectionFailure.missing("/none")) {
      try Fsck.check("/none", fileSystem: fileSystem)
    }
    #expect(throws: InspectionFailure.notAStore("/folder")) {
      try Fsck.check("/folder", fileSystem: fileSystem)
    }
    #expect(throws: InspectionFailure.notAStore("/empty")) {
      try StoreInspector("/empty", fileSystem: fileSystem)
    }
    #expect(throws: InspectionFailure.notAFileOfAStore("/file")) {
      try StoreInspector("/file", fileSystem: fileSystem)
    }
    let store = try SampleStore()
    #expect(throws: InspectionFailure.notAFolder(SampleStore.manifest)) {
      try Fsck.check(SampleStore.manifest, fileSystem: store.fileSystem)
    }
  }

  /// The manifest said how the store was closed, and the segment went on since.
  @Test("A writer that opens the store while it is checked damages nothing")
  func openedMeanwhile() throws {
    let disk = MemoryFileSystem()
    try SimulatedStore.create(on: disk, partitionCount: 1, seed: 1)
    let store = try SimulatedStore.open(on: disk, segmentSize: 1 << 20, seed: 1)
    try store.append(0..<10, to: 0)
    try store.log.close()
    let isFirst = Mutex(true)
    // The first that is told is what the manifest holds.
    let result = try Fsck.check(SimulatedStore.root, fileSystem: disk) { _ in
      let mayWrite = isFirst.withLock { isFirst in
        defer { isFirst = false }
        return isFirst
      }
      guard mayWrite else { return }
      do {
        let writer = try SimulatedStore.open(on: disk, segmentSize: 1 << 20, seed: 2)
        try writer.append(10..<20, to: 0)
        _ = try writer.log.partitions[0].synchronize()
      } catch {
        Issue.record(error)
      }
    }
    #expect(result.clean && result.findings.isEmpty, "\(result.findings)")
    #expect(result.checked.events == 20)
  }

  @Test("Notes leave room for what is worse, however many they are")
  func manyNotes() throws {
    let time = Timestamp(microseconds: 1_000)
    let gap = ManifestEdit.RecordedGap(
      log: ManifestEdit.LogID(stream: .events, partition: 0), segmentID: 1, first: 4, next: 5,
      reason: .damaged, from: time, to: time)
    var store = try SampleStore(extraEdits: Array(repeating: .gap(gap), count: 10))
    let whole = store.files[store.sealed]
    for index in 300..<330 { store.files[store.sealed]?[index] ^= 0xff }
    let result = try Fsck.check(SampleStore.root, fileSystem: store.fileSystem, findingMax: 3)
    #expect(result.findings.count { $0.kind == .manifestGap } == 3)
    #expect(result.findings.count { $0.severity == .error } == 1)
    #expect(result.omitted == 7)
    #expect(!result.clean && result.needsRepair)
    store.files[store.sealed] = whole
    let clean = try Fsck.check(SampleStore.root, fileSystem: store.fileSystem, findingMax: 3)
    #expect(clean.clean && clean.omitted == 7 && !clean.needsRepair)
  }
}
