import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// A full disk is a normal state (I9).
@Suite struct FullDiskTests {
  /// What the files of a disk take.
  private func taken(_ disk: SimulatedDisk) -> Int {
    disk.image.values.reduce(0) { $0 + $1.count }
  }

  private func expectStorageFull(_ body: () throws -> Void) {
    do {
      try body()
      Issue.record("there is room")
    } catch let error as CommitLogFailure {
      guard case .storageFull = error else {
        Issue.record("\(error)")
        return
      }
    } catch {
      Issue.record("\(error)")
    }
  }

  @Test("Appends fail, reads go on, and with room again nothing is missing")
  func fullAndEmptied() throws {
    let disk = SimulatedDisk()
    try TestStore.create(on: disk)
    let store = try TestStore.open(on: disk, segmentSize: 2_048)
    try store.append(0..<4)
    disk.plan = FaultPlan(capacity: ByteCount(taken(disk) + 2_048))
    var serial: UInt64 = 4
    do {
      while serial < 1_000 {
        try store.append(serial..<serial + 2)
        serial += 2
      }
    } catch CommitLogFailure.storageFull {}
    #expect(serial < 1_000)
    let files = disk.image.keys.count
    for _ in 0..<20 { expectStorageFull { try store.append(serial..<serial + 2) } }
    #expect(try store.read().serials == Array(0..<serial))
    #expect(store.partition.poison == nil)
    // Attempts leave nothing behind.
    #expect(disk.image.keys.count <= files)
    disk.plan = .none
    try store.append(serial..<serial + 2)
    #expect(try store.read().serials == Array(0..<serial + 2))
    var random = SeededRandom(seed: 1)
    let again = try TestStore.open(on: disk.crashImage(using: &random, .dropAll), seed: 3)
    #expect(try again.read().serials == Array(0..<serial + 2))
    #expect(again.partition.report.isClean)
  }

  @Test("Events keep their devices where the batch found no room", arguments: [false, true])
  func devices(isLaidOutAhead: Bool) throws {
    let disk = SimulatedDisk()
    try TestStore.create(on: disk)
    let store = try TestStore.open(on: disk)
    // They do not come in the order of their ids.
    let names = ["c", "a", "b", "a", "d", "c"]
    let batch = BatchEncoder(targetSize: 64 << 10)
    for name in names {
      let (device, body) = (try DeviceID(name), Array(name.utf8))
      batch.append(
        from: device, body: body.span.bytes, properties: .empty,
        at: store.clock.now().microseconds)
    }
    let framed = isLaidOutAhead ? try FramedBatch(.lz4) : nil
    framed?.layOut(batch)
    disk.plan = FaultPlan(
      failures: (1...3).map { .init(.call(.write, pathSuffix: ".segment", nth: $0), .noSpace) })
    for _ in 0..<3 { expectStorageFull { _ = try store.partition.write(batch, framed) } }
    _ = try store.partition.write(batch, framed)
    _ = try store.partition.synchronize()
    guard case .batch(let stored, _) = try store.cursor(from: 0).read() else {
      Issue.record("no batch")
      return
    }
    let decoded = try stored.decode(with: BatchDecompressor())
    for (index, name) in names.enumerated() {
      #expect(decoded.event(at: index).deviceID.description == name)
      #expect(decoded.event(at: index).body.bytes.elementsEqual(name.utf8))
    }
  }

  @Test("A batch that was laid out ahead and found no room is written later as it was")
  func laidOutAhead() throws {
    let disk = SimulatedDisk()
    try TestStore.create(on: disk)
    let store = try TestStore.open(on: disk)
    let framed = try FramedBatch(.lz4)
    var end: UInt64 = 0
    // Of many sizes: the padding of a frame depends on it.
    for count: UInt64 in 1...40 {
      let batch = BatchEncoder(targetSize: 64 << 10)
      for serial in end..<end + count {
        SimulatedEvents.append(serial, to: batch, at: store.clock.now().microseconds)
      }
      framed.layOut(batch)
      disk.plan = FaultPlan(
        failures: (1...2).map { .init(.call(.write, pathSuffix: ".segment", nth: $0), .noSpace) })
      for _ in 0..<2 { expectStorageFull { _ = try store.partition.write(batch, framed) } }
      end += count
      #expect(try store.partition.write(batch, framed) == end)
      // One that nobody has laid out, between them.
      try store.append(end..<end + 1)
      end += 1
    }
    #expect(try store.read().serials == Array(0..<end))
    var random = SeededRandom(seed: 1)
    let again = try TestStore.open(on: disk.crashImage(using: &random, .dropAll), seed: 3)
    #expect(try again.read().serials == Array(0..<end))
  }

  @Test(
    "A store on a full disk opens for reading, keeps its tail, and is repaired when there is room",
    arguments: RecoveryCase.all)
  func openedFull(_ row: RecoveryCase) throws {
    let (image, expected) = try row.make()
    let original = try image.segment()
    let disk = image.disk()
    disk.plan = FaultPlan(capacity: ByteCount(taken(disk)))
    var store = try TestStore.open(on: disk, seed: 3)
    let readable = try store.read().serials
    if expected.healed.isEmpty { #expect(readable == expected.events) }
    #expect(expected.events.starts(with: readable))
    for _ in 0..<5 { expectStorageFull { try store.append([1_000]) } }
    try store.partition.writeMark()
    #expect(disk.image.keys.count <= image.files.count)
    disk.plan = .none
    if !expected.healed.isEmpty {
      // What could not be healed waits for the next opening, and nothing is written over it.
      expectStorageFull { try store.append([1_000]) }
      var random = SeededRandom(seed: 1)
      store = try TestStore.open(on: disk.crashImage(using: &random, .processOnly), seed: 4)
      try #require(store.partition.report.healed == expected.healed)
    }
    try store.append([1_000])
    #expect(try store.read().serials == expected.events + [1_000])
    #expect(store.partition.highWatermark == expected.next + 1)
    let manifest = try ManifestImage.read(root: TestStore.root, fileSystem: disk).state
    #expect(manifest.cuts.count == (expected.cut == nil ? 0 : 1) + knownCuts(image))
    if let cut = expected.cut {
      #expect(disk.image.values.contains(Array(original.bytes[cut])))
    }
  }

  private func knownCuts(_ image: StoreImage) -> Int {
    do {
      return try image.manifest().state.cuts.count
    } catch {
      Issue.record("\(error)")
      return 0
    }
  }

  /// A close without a write before it cut the tail that nobody had kept.
  @Test(
    "A store that is opened on a full disk and closed loses no byte", arguments: RecoveryCase.all)
  func closedFull(_ row: RecoveryCase) throws {
    let (image, expected) = try row.make()
    let disk = image.disk()
    disk.plan = FaultPlan(capacity: ByteCount(taken(disk)))
    let store = try TestStore.open(on: disk, seed: 3)
    try store.log.close()
    disk.plan = .none
    let again = try TestStore.open(on: disk, seed: 4)
    #expect(try again.read().serials == expected.events)
    #expect(again.partition.nextNumber == expected.next)
    #expect(again.partition.report.lostSuffix == expected.lostSuffix)
    #expect(again.partition.report.tail?.range == expected.cut)
  }

  /// A repair that got stuck half way did everything again: also to the segment that it had made.
  @Test(
    "A repair that meets a full disk anywhere goes on where it stopped", arguments: [false, true])
  func interruptedRepair(_ losesHeader: Bool) throws {
    var image = try StoreImage.killed([.write(0..<3), .sync, .write(3..<6), .write(6..<9)])
    var segment = try image.segment()
    segment.garbleBody(of: segment.frames[2])
    if losesHeader { segment.garble(0..<64) }
    image.put(segment)
    let healthy = image.disk()
    _ = try TestStore.open(on: healthy, evidence: [0: 5], seed: 3)
    for operation in 1...healthy.operationCount {
      let disk = image.disk(
        FaultPlan(failures: [.init(.operation(operation), .noSpace, bytesWritten: 10)]))
      let store: TestStore
      var openings = 1
      do throws(CommitLogFailure) {
        store = try TestStore.open(on: disk, evidence: [0: 5], seed: 3)
      } catch {
        // A sync that fails is none that is tried again: the next opening begins anew.
        openings += 1
        store = try TestStore.open(on: disk, evidence: [0: 5], seed: 3)
      }
      let place: Comment = "operation \(operation)"
      try store.append([100])
      #expect(try store.read().serials == [0, 1, 2, 100], place)
      #expect(store.partition.highWatermark == 6, place)
      let state = try ManifestImage.read(root: TestStore.root, fileSystem: disk).state
      #expect(1...openings ~= state.cuts.count && state.gaps.count == 1, place)
      #expect(state.closedEnds == nil, place)
      let kept = disk.image.filter { $0.key.string.contains("/quarantine/0") }.values
      let cut = Array(segment.bytes[segment.frames[2].position...])
      #expect(1...openings ~= kept.count && kept.allSatisfy { $0 == cut }, place)
      let active = try #require(state.logs.values.first?.last).added
      #expect(losesHeader == (active.segmentID != 1), place)
    }
  }

  /// The writer had said that it was at work, in an edit that met a full disk, and never again.
  @Test("A close holds no longer once there was a write, whichever edit met a full disk")
  func closeIsRevoked() throws {
    let fileSystem = try StoreImage.killed([.write(0..<3), .sync]).memory()
    try TestStore.open(on: fileSystem, seed: 3).log.close()
    let image = StoreImage(fileSystem)
    #expect(try image.manifest().state.closedEnds != nil)
    for nth in 1...4 {
      let disk = image.disk(
        FaultPlan(failures: [.init(.call(.write, pathSuffix: "MANIFEST", nth: nth), .noSpace)]))
      var store: TestStore?
      do throws(CommitLogFailure) {
        store = try TestStore.open(on: disk, seed: 4)
      } catch {
        store = try TestStore.open(on: disk, seed: 4)
      }
      try store?.append(3..<6)
      var random = SeededRandom(seed: 1)
      let killed = disk.crashImage(using: &random, .dropAll)
      let manifest = try ManifestImage.read(root: TestStore.root, fileSystem: killed)
      #expect(manifest.state.closedEnds == nil, "write \(nth)")
      #expect(try TestStore.open(on: killed, seed: 5).read().serials == Array(0..<6))
    }
  }

  /// The edit was durable, and yet the store gave up because it could not write it anew.
  @Test(
    "A manifest that has grown waits with its replacement until that can be written",
    arguments: [
      (IOFailure.Operation.write, Errno.noSpace), (.write, .ioError),
      (.create, .tooManyOpenFiles), (.inspect, .ioError),
    ])
  func grownManifest(_ operation: IOFailure.Operation, _ reason: Errno) throws {
    let disk = SimulatedDisk()
    try TestStore.create(on: disk)
    let store = try TestStore.open(on: disk)
    try store.append(0..<2)
    let gap = ManifestEdit.RecordedGap(
      log: store.partition.id, segmentID: 1, first: 0, next: 0, reason: .damaged,
      from: store.clock.now(), to: store.clock.now())
    let edits = Array(repeating: ManifestEdit.gap(gap), count: 5_000)
    disk.plan = FaultPlan(failures: [
      .init(.call(operation, pathSuffix: "MANIFEST.new"), reason, isLasting: true)
    ])
    for _ in 0..<5 { try store.log.manifest.append(edits) }
    #expect(store.log.manifest.state.gaps.count == 25_000)
    #expect(disk.image[TestStore.root.appending("MANIFEST.new")] == nil)
    try store.append(bodySize: 2 << 20, seed: 1)
    disk.plan = .none
    for _ in 0..<6 { try store.log.manifest.append(edits) }
    let manifest = try ManifestImage.read(root: TestStore.root, fileSystem: disk)
    #expect(manifest.state.gaps.count == 55_000)
    // The replacement is a file of its own, which no epoch has begun.
    #expect(manifest.verdict.end.epoch == 0)
  }
}
