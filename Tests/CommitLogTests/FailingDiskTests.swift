import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Syncs and writes that fail stop one partition and nothing else (I8).
@Suite struct FailingDiskTests {
  private func store(_ partitionCount: Int = 2) throws -> (SimulatedDisk, TestStore) {
    let disk = SimulatedDisk()
    try TestStore.create(on: disk, partitionCount: partitionCount)
    return (disk, try TestStore.open(on: disk, segmentSize: 4_096))
  }

  @Test(
    "A failing call poisons its partition, once and for all; the others and all reads go on",
    arguments: [IOFailure.Operation.synchronize, .write])
  func poisoned(_ operation: IOFailure.Operation) throws {
    let (disk, store) = try store()
    try store.append(0..<2, to: 0)
    try store.append(10..<12, to: 1)
    disk.plan = FaultPlan(failures: [
      .init(.call(operation, pathSuffix: "-00000001.segment"), .ioError)
    ])
    #expect(throws: CommitLogFailure.self) { try store.append(2..<4, to: 0) }
    let failed = store.log.partitions[0]
    let poison = try #require(failed.poison)
    #expect(poison.operation == operation && poison.isInjected)
    // The disk is well again: nobody tries it out.
    let operations = disk.operationCount
    #expect(throws: CommitLogFailure.poisoned(poison)) { try store.write(4..<5, to: 0) }
    #expect(throws: CommitLogFailure.poisoned(poison)) { _ = try failed.synchronize() }
    #expect(throws: CommitLogFailure.poisoned(poison)) { try failed.writeMark() }
    #expect(throws: CommitLogFailure.poisoned(poison)) { _ = try failed.close() }
    #expect(disk.operationCount == operations)
    try store.append(12..<14, to: 1)
    #expect(try store.read(0).serials == [0, 1] && failed.highWatermark == 2)
    #expect(try store.read(1).serials == Array(10..<14))

    for style in [CrashStyle.dropAll, .processOnly] {
      var random = SeededRandom(seed: 1)
      let image = disk.crashImage(using: &random, style)
      let again = try TestStore.open(on: image, seed: 3)
      let serials = try again.read(0).serials
      #expect(serials == [0, 1] || serials == [0, 1, 2, 3])
      #expect(try again.read(1).serials == Array(10..<14))
      // What the new process shows does not hang on pages that the failed sync marked as clean.
      let later = try TestStore.open(on: image.crashImage(using: &random, .dropAll), seed: 4)
      #expect(try later.read(0).serials == serials)
    }
  }

  /// The edit that named the next segment could survive its failed sync, while the writer went on
  /// with smaller batches in the segment that the edit had sealed.
  @Test("A roll whose manifest edit may or may not be there stops the partition")
  func uncertainRoll() throws {
    let (disk, store) = try store(1)
    var serial: UInt64 = 0
    while store.partition.snapshot.activeEnd < 3_500 {
      try store.append(serial..<serial + 1)
      serial += 1
    }
    disk.plan = FaultPlan(failures: [
      .init(.call(.synchronize, pathSuffix: "MANIFEST"), .ioError)
    ])
    #expect(throws: CommitLogFailure.self) { try store.append(bodySize: 2_000, seed: 1) }
    // Small enough for the old segment.
    var acknowledged = Array(0..<serial)
    do throws(CommitLogFailure) {
      try store.append([serial])
      acknowledged.append(serial)
    } catch {
      guard case .poisoned = error else {
        Issue.record("\(error)")
        return
      }
    }
    for style in [CrashStyle.dropAll, .keepAll, .processOnly] {
      var random = SeededRandom(seed: 1)
      let again = try TestStore.open(on: disk.crashImage(using: &random, style), seed: 3)
      #expect(try again.read().serials == acknowledged, "\(style)")
    }
  }

  /// The first bytes of an edit that met a full disk stayed behind the manifest's end, and could be
  /// taken for the edit.
  @Test("A roll that meets a full disk leaves no edit behind")
  func abandonedRoll() throws {
    let (disk, store) = try store(1)
    try store.append(0..<2)
    disk.plan = FaultPlan(failures: [
      .init(.call(.write, pathSuffix: "MANIFEST"), .noSpace, bytesWritten: 1 << 20)
    ])
    #expect(throws: CommitLogFailure.self) { try store.append(bodySize: 4_000, seed: 1) }
    try store.append(2..<4)
    for style in [CrashStyle.dropAll, .keepAll, .processOnly] {
      var random = SeededRandom(seed: 1)
      let again = try TestStore.open(on: disk.crashImage(using: &random, style), seed: 3)
      #expect(try again.read().serials == [0, 1, 2, 3], "\(style)")
    }
  }
}
