import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import Testing

/// What stands outside a segment's file proves events as well as a frame does (format-spec §3.6).
@Suite struct EvidenceTests {
  private func closed(_ steps: [WriterStep]) throws -> StoreImage {
    let fileSystem = try StoreImage.killed(steps).memory()
    try TestStore.open(on: fileSystem, seed: 3).log.close()
    return StoreImage(fileSystem)
  }

  private let durable: [WriterStep] = [
    .write(0..<3), .sync, .write(3..<6), .sync, .write(6..<9), .sync,
  ]

  @Test("A checkpoint proves events whose bytes are gone")
  func checkpoint() throws {
    var image = try StoreImage.killed(durable)
    var segment = try image.segment()
    segment.truncate(to: segment.frames[2].end)
    image.put(segment)
    let without = try TestStore.open(on: image.memory())
    #expect(without.partition.report.isClean && without.partition.nextNumber == 6)
    let with = try TestStore.open(on: image.memory(), evidence: [0: 8])
    #expect(with.partition.report.lostSuffix == 6..<8)
    #expect(with.partition.report.tail == nil)
    try with.append([100])
    let contents = try with.read()
    #expect(contents.serials == Array(0..<6) + [100])
    #expect(contents.gaps.map(\.first) == [6] && contents.gaps.map(\.next) == [8])
    #expect(with.partition.highWatermark == 9)
  }

  @Test("A log that is said to have given nearly all numbers is not written to")
  func lastNumbers() throws {
    let image = try StoreImage.killed(durable)
    let last = Limits.numberMax - Limits.numberReserve
    let store = try TestStore.open(on: image.memory(), evidence: [0: last])
    try store.append([100])
    #expect(store.partition.highWatermark == last + 1)
    for evidence in [last + 1, Limits.numberMax] {
      let disk = image.memory()
      #expect {
        _ = try TestStore.open(on: disk, evidence: [0: evidence])
      } throws: { error in
        if case CommitLogFailure.format(_, _, .corrupt) = error { true } else { false }
      }
      // Nothing was cut or recorded.
      #expect(try TestStore.open(on: disk).partition.nextNumber == 9)
    }
  }

  @Test("A clean close proves events whose bytes are gone")
  func closedEdit() throws {
    var image = try closed(durable)
    let original = try image.segment()
    var segment = original
    // Without its header the frame is gone; with it, it stands and has lost its body.
    for (size, reason) in [(32, Gap.Reason.lostSuffix), (100, .damaged)] {
      segment.truncate(to: segment.frames[3].position + size)
      image.put(segment)
      let store = try TestStore.open(on: image.memory())
      #expect(store.partition.report.lostSuffix == (reason == .lostSuffix ? 6..<9 : nil))
      #expect(store.partition.nextNumber == 9)
      try store.append([100])
      let contents = try store.read()
      #expect(contents.serials == Array(0..<6) + [100] && contents.gaps.map(\.reason) == [reason])
      #expect(contents.gaps.map(\.first) == [6] && contents.gaps.map(\.next) == [9])
      segment = original
    }
  }

  /// Healing scanned the file once more and had then forgotten what the close had said.
  @Test("A bit that is healed makes nobody forget what a clean close proves")
  func closedEditAndHealing() throws {
    var image = try closed(durable)
    var segment = try image.segment()
    segment.truncate(to: segment.frames[3].position)
    segment.flipBit(at: segment.frames[2].position + 20)
    image.put(segment)
    let store = try TestStore.open(on: image.memory())
    #expect(store.partition.report.healed == [segment.frames[2].position + 20])
    #expect(store.partition.report.lostSuffix == 6..<9)
    #expect(store.partition.nextNumber == 9)
    #expect(try store.read().serials == Array(0..<6))
  }

  @Test("A successor proves the events of a sealed segment that was cut short")
  func successor() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem, segmentSize: 2_048)
    var serial: UInt64 = 0
    while store.partition.snapshot.segments.count < 3 {
      try store.append(serial..<serial + 2)
      serial += 2
    }
    var image = StoreImage(fileSystem)
    var segment = try image.segment(0)
    let lost = segment.frames[segment.frames.count - 1].header
    segment.truncate(to: segment.frames[segment.frames.count - 1].position + 10)
    image.put(segment)
    let again = try TestStore.open(on: image.memory())
    #expect(again.partition.report.isClean && again.partition.nextNumber == serial)
    let contents = try again.read()
    #expect(
      contents.serials == (0..<serial).filter { !(lost.baseNumber..<lost.nextNumber ~= $0) })
    let gap = try #require(contents.gaps.first)
    #expect(contents.gaps.count == 1 && gap.reason == .damaged)
    #expect(gap.first.value == lost.baseNumber && gap.next.value == lost.nextNumber)
  }

  /// A follower that came right behind a roll saw an empty partition.
  @Test("A segment without a frame proves the events before it")
  func rolled() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem, segmentSize: 2_048)
    var serial: UInt64 = 0
    while store.partition.snapshot.segments.count < 3 {
      try store.append(serial..<serial + 2)
      serial += 2
    }
    var image = StoreImage(fileSystem)
    var segment = try image.segment()
    let base = segment.frames[0].header.baseNumber
    segment.truncate(to: FileHeader.size)
    image.put(segment)
    let follower = try LogFollower.open(
      at: TestStore.root, environment: TestStore.environment(image.memory(), seed: 3)
    ) { (_) throws(CommitLogFailure) in [:] }
    #expect(base > 0 && follower.snapshot(of: 0).highWatermark == base)
    let again = try TestStore.open(on: image.memory())
    #expect(again.partition.highWatermark == base)
    #expect(try again.read().serials == Array(0..<base))
  }

  /// Each opening recorded the loss again until an event was appended.
  @Test("A loss is recorded once, however often the store is opened before the next event")
  func recordedOnce() throws {
    var image = try StoreImage.killed(durable)
    var segment = try image.segment()
    segment.truncate(to: segment.frames[2].end)
    image.put(segment)
    for seed in 3...5 as ClosedRange<UInt64> {
      let disk = image.disk()
      let store = try TestStore.open(on: disk, evidence: [0: 9], seed: seed)
      #expect(try store.read().gaps.count == 1)
      // The power fails before the epoch is durable.
      image.files = disk.durableImage
      #expect(try image.manifest().state.gaps.map(\.first) == [6])
    }
  }

  /// The feedback of the queues tells of their journal's records, once somebody reads it.
  @Test(
    "What is told of a log once it is open is lost as well, and the next record comes behind it")
  func testified() throws {
    let disk = try StoreImage.killed(durable).disk()
    let store = try TestStore.open(on: disk, seed: 3)
    #expect(try store.partition.goOn(behind: 9) == nil)
    // None that a log could go on behind.
    #expect(try store.partition.goOn(behind: Limits.numberMax) == nil)
    #expect(try store.partition.goOn(behind: 12) == 9..<12)
    #expect(store.partition.report.lostSuffix == 9..<12 && store.partition.nextNumber == 12)
    try store.append([100])
    let contents = try store.read()
    #expect(contents.serials == Array(0..<9) + [100])
    #expect(contents.gaps.map(\.first) == [9] && contents.gaps.map(\.next) == [12])
    #expect(contents.gaps.map(\.reason) == [.lostSuffix])
    #expect(store.partition.highWatermark == 13)
    try store.log.close()
    #expect(try TestStore.open(on: disk, seed: 4).read().gaps == contents.gaps)
  }

  @Test("Where there is no room for what is told of a log, it is recorded once when there is")
  func testifiedOnFullDisk() throws {
    let image = try StoreImage.killed(durable)
    let name = try #require(try image.segment().path.lastComponent?.string)
    // Neither the edit that names the loss has room, or the epoch behind it alone has none.
    for (suffix, gapCount) in [(FileNames.manifest, 0), (name, 1)] {
      let disk = image.disk()
      let store = try TestStore.open(on: disk, seed: 3)
      disk.plan = FaultPlan(
        failures: [IOFailure.Operation.write, .reserve].map {
          .init(.call($0, pathSuffix: suffix), .noSpace, isLasting: true)
        })
      #expect(try store.partition.goOn(behind: 12) == 9..<12)
      #expect(store.log.manifest.state.gaps.count == gapCount)
      #expect(store.partition.report.lostSuffix == 9..<12 && store.partition.nextNumber == 12)
      #expect(try store.read().serials == Array(0..<9))
      #expect {
        try store.append([100])
      } throws: { error in
        if case CommitLogFailure.storageFull = error { true } else { false }
      }
      disk.plan = .none
      try store.append([100])
      let contents = try store.read()
      #expect(contents.serials == Array(0..<9) + [100])
      #expect(contents.gaps.map(\.first) == [9] && contents.gaps.map(\.next) == [12])
      #expect(store.log.manifest.state.gaps.count == 1)
    }
  }

  /// Its first record may have any number.
  @Test("A log that never held a record goes on behind what is told of it")
  func testifiedOfNothing() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem)
    #expect(try store.partition.goOn(behind: 5) == 0..<5)
    try store.append([100])
    let contents = try store.read()
    #expect(contents.serials == [100] && contents.gaps.map(\.next) == [5])
    #expect(store.partition.highWatermark == 6)
  }
}
