import ConsumerCheckpoints
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import Synchronization
import SystemPackage
import Testing

@Suite struct CheckpointLogTests {
  private let group: GroupName = "workers"

  private func disk() -> SimulatedDisk { SimulatedDisk(files: Checkpoints.begun) }

  @Test("A commit that returned survives a power loss at any operation after it")
  func durable() throws {
    let counting = disk()
    try commit(10, on: counting)
    for operation in 1...counting.operationCount {
      let dying = disk()
      dying.plan = .crash(at: operation)
      var committed: UInt64 = 0
      do throws(CheckpointFailure) {
        try commit(10, on: dying) { committed = $0 }
      } catch {
        #expect(dying.isDead)
      }
      for style in [CrashStyle.dropAll, .keepAll, .random] {
        var random = SeededRandom(seed: UInt64(operation))
        let image = try Checkpoints.read(dying.crashImage(using: &random, style))
        let found = image.table.checkpoint(of: group, in: 0) ?? 0
        // The one under way may be there or not.
        #expect(
          found == committed || found == committed + 1, "operation \(operation), \(style)")
        #expect(image.findings.isEmpty, "operation \(operation), \(style)")
      }
    }
  }

  private func commit(
    _ count: UInt64, on fileSystem: any FileSystem,
    _ confirmed: (UInt64) -> Void = { _ in }
  ) throws(CheckpointFailure) {
    let log = try Checkpoints.open(on: fileSystem)
    for next in 1...count {
      try log.commit([Checkpoints.entry(group, 0, next)])
      confirmed(next)
    }
  }

  @Test("No epoch is given twice, also where its group is gone and the file is written anew")
  func highestEpoch() throws {
    func owner(_ group: GroupName, _ epoch: UInt64) -> CheckpointEntry {
      .owner(
        .init(group: group, partition: 3, epoch: epoch, time: Timestamp(microseconds: 9)))
    }
    let time = Timestamp(microseconds: 9)
    let histories: [[CheckpointEntry]] = [
      [owner("a", 5), owner("b", 6)],
      [owner("a", 5), owner("b", 6), .groupDeleted("b", at: time)],
      [owner("b", 6), .groupDeleted("b", at: time), Checkpoints.entry("b", 3, 7)],
      [owner("b", 6), .groupDeleted("b", at: time)],
    ]
    for history in histories {
      var (table, anew) = (CheckpointTable(), CheckpointTable())
      for entry in history { table.apply(entry) }
      for entry in table.snapshot { anew.apply(entry) }
      #expect(anew == table && anew.highestEpoch == 6)
    }
  }

  @Test("The entries of one commit stand or fall together")
  func atomic() throws {
    let disk = disk()
    let log = try Checkpoints.open(on: disk)
    try log.commit([.groupCreated(group, at: Timestamp(microseconds: 1))])
    disk.plan = FaultPlan(failures: [
      .init(.call(.write, pathSuffix: "CHECKPOINTS"), .noSpace, bytesWritten: 100)
    ])
    let entries = (0..<8).map { Checkpoints.entry(group, $0, 5) }
    #expect(throws: CheckpointFailure.self) { try log.commit(entries) }
    #expect(log.table.groups[group]?.checkpoints.isEmpty == true)
    #expect(try Checkpoints.read(disk).table.groups[group]?.checkpoints.isEmpty == true)
    try log.commit(entries)
    let found = try Checkpoints.read(disk)
    #expect(found.table.highest == Dictionary(uniqueKeysWithValues: (0..<8).map { ($0, 5) }))
    #expect(found.findings.isEmpty)
  }

  @Test("A failed sync takes no more commits, and shows none that it did not keep")
  func poisoned() throws {
    let disk = disk()
    let log = try Checkpoints.open(on: disk)
    try log.commit([Checkpoints.entry(group, 0, 1)])
    disk.plan = FaultPlan(failures: [.init(.call(.synchronize), .ioError)])
    for next in 2...3 as ClosedRange<UInt64> {
      do throws(CheckpointFailure) {
        try log.commit([Checkpoints.entry(group, 0, next)])
        Issue.record("committed")
      } catch {
        guard case .poisoned(let cause) = error else {
          Issue.record("\(error)")
          return
        }
        #expect(cause.operation == .synchronize)
      }
    }
    #expect(log.table.checkpoint(of: group, in: 0) == 1)
    var random = SeededRandom(seed: 1)
    let found = try Checkpoints.read(disk.crashImage(using: &random, .dropAll))
    #expect(found.table.checkpoint(of: group, in: 0) == 1)
  }

  @Test("A file that has grown is replaced by one that holds the table and nothing else")
  func replaced() throws {
    let disk = disk()
    let log = try Checkpoints.open(on: disk)
    try log.commit([.groupCreated("gone", at: Timestamp(microseconds: 1))])
    try log.commit([.groupDeleted("gone", at: Timestamp(microseconds: 2))])
    var commits: UInt64 = 0
    var sizes: [Int] = []
    // Each commit of a thousand entries takes some 50 KB.
    while commits < 60 {
      commits += 1
      try log.commit((0..<1_000).map { Checkpoints.entry(group, $0, commits) })
      sizes.append(disk.image[Checkpoints.path]?.count ?? 0)
    }
    let sizeMax = try #require(sizes.max())
    #expect(sizeMax > CheckpointLog.rewriteSize)
    #expect(sizeMax < CheckpointLog.rewriteSize + 200 << 10)
    #expect(zip(sizes, sizes.dropFirst()).contains { $1 < $0 })
    let found = try Checkpoints.read(disk)
    #expect(found.table == log.table && found.findings.isEmpty)
    #expect(found.table.groups.keys.map(\.text) == ["workers"])
    var random = SeededRandom(seed: 1)
    let lost = try Checkpoints.read(disk.crashImage(using: &random, .dropAll))
    #expect(lost.table == log.table)
  }

  /// A crash in between would leave a file that the manifest does not know, after a clean close.
  @Test("Before a file is replaced it is noted that the last close names it no more")
  func notedReplacing() throws {
    let whole = disk()
    let first = try Checkpoints.open(on: whole)
    try first.commit([Checkpoints.entry(group, 0, 1)])
    var flipped = try #require(whole.image[Checkpoints.path])
    let last = try #require(Checkpoints.frames(flipped).last)
    flipped[last.position + FrameHeader.size + 3] ^= 1
    let bytes = flipped
    let hurt = SimulatedDisk(files: [Checkpoints.path: bytes])
    let isRefused = Mutex(true)
    let log = try Checkpoints.open(on: hurt, seed: 2) { () throws(IOFailure) in
      #expect(hurt.image[Checkpoints.path] == bytes)
      if isRefused.withLock({ $0 }) { throw IOFailure(.write, "/store/MANIFEST", .noSpace) }
    }
    #expect(log.closingEnd == .unknown)
    #expect(throws: CheckpointFailure.io(IOFailure(.write, "/store/MANIFEST", .noSpace))) {
      try log.commit([Checkpoints.entry(group, 0, 2)])
    }
    #expect(hurt.image[Checkpoints.path] == bytes && log.closingEnd == .unknown)
    isRefused.withLock { $0 = false }
    try log.commit([Checkpoints.entry(group, 0, 2)])
    let end = log.closingEnd
    #expect(end.salt != first.closingEnd.salt)
    let witness = CheckpointWitness(end: end, isClosed: true)
    #expect(try Checkpoints.read(hurt, witness).findings.isEmpty)
  }

  /// The system kept in memory, as clean, what a failed sync had not written: the next sync of it
  /// wrote nothing, and once a commit followed a power loss left a hole.
  @Test("What a failed sync has left behind is written again before anything follows it (I8)")
  func unproven() throws {
    let disk = disk()
    let log = try Checkpoints.open(on: disk)
    try log.commit([Checkpoints.entry(group, 0, 1)])
    disk.plan = FaultPlan(failures: [.init(.call(.synchronize), .ioError)])
    #expect(throws: CheckpointFailure.self) { try log.commit([Checkpoints.entry(group, 0, 2)]) }
    for isFull in [false, true] {
      var random = SeededRandom(seed: 1)
      let killed = disk.crashImage(using: &random, .processOnly)
      if isFull {
        killed.plan = FaultPlan(failures: [.init(.call(.write), .noSpace)])
      }
      let again = try Checkpoints.open(on: killed, seed: 2)
      #expect(again.table.checkpoint(of: group, in: 0) == 2)
      #expect((again.closingEnd == .unknown) == isFull, "what a crash may take is not named")
      try again.commit([Checkpoints.entry(group, 0, 3)])
      #expect(again.closingEnd != .unknown)
      let found = try Checkpoints.read(killed.crashImage(using: &random, .dropAll))
      #expect(found.findings.isEmpty && found.table.checkpoint(of: group, in: 0) == 3)
    }
  }

  /// A witness of what a crash takes back would call it lost.
  @Test("What is named at the close is what a sync has covered, or nothing where that is unknown")
  func closingEnd() throws {
    let disk = disk()
    let log = try Checkpoints.open(on: disk)
    var named = [log.closingEnd]
    for next in 1...3 as ClosedRange<UInt64> {
      try log.commit([Checkpoints.entry(group, 0, next)])
      named.append(log.closingEnd)
    }
    #expect(zip(named, named.dropFirst()).allSatisfy { $0.position < $1.position })
    for end in named {
      let witness = CheckpointWitness(end: end, isClosed: true)
      #expect(try Checkpoints.read(disk, witness).findings.isEmpty)
    }
    disk.plan = FaultPlan(failures: [.init(.call(.synchronize), .ioError)])
    #expect(throws: CheckpointFailure.self) { try log.commit([Checkpoints.entry(group, 0, 4)]) }
    #expect(log.closingEnd == named.last)
    // Which of two files a crash leaves is not known once a rename could not be made durable.
    let begun = SimulatedDisk(files: [:], directories: [Checkpoints.root])
    let other = try Checkpoints.open(on: begun)
    begun.plan = FaultPlan(failures: [.init(.call(.synchronizeDirectory), .ioError)])
    #expect(throws: CheckpointFailure.self) { try other.commit([Checkpoints.entry(group, 0, 1)]) }
    #expect(other.closingEnd == .unknown)
  }

  @Test("A file that has grown on a full disk takes commits as long as they fit")
  func grownOnFullDisk() throws {
    let disk = disk()
    let log = try Checkpoints.open(on: disk)
    disk.plan = FaultPlan(failures: [
      .init(.call(.write, pathSuffix: ".new", nth: 2), .noSpace, isLasting: true)
    ])
    for next in 1...60 as ClosedRange<UInt64> {
      try log.commit((0..<1_000).map { Checkpoints.entry(group, $0, next) })
    }
    #expect(try Checkpoints.read(disk).table.highest[999] == 60)
    disk.plan = .none
    for next in 61...100 as ClosedRange<UInt64> {
      try log.commit((0..<1_000).map { Checkpoints.entry(group, $0, next) })
    }
    #expect(try Checkpoints.read(disk).table == log.table)
  }

  @Test("The table of a thousand groups in a thousand partitions comes back as it was")
  func manyGroups() throws {
    let fileSystem = MemoryFileSystem(files: Checkpoints.begun)
    let log = try Checkpoints.open(on: fileSystem)
    let names = (0..<Limits.groupCountMax).map { GroupName(stringLiteral: "group-\($0)") }
    try log.commit(names.map { .groupCreated($0, at: Timestamp(microseconds: 1)) })
    try log.commit(names.map { Checkpoints.entry($0, UInt32($0.text.utf8.count), 3) })
    // A group that is deleted takes its checkpoints along, also when it is made again.
    try log.commit([.groupDeleted(names[0], at: Timestamp(microseconds: 2))])
    try log.commit([.groupCreated(names[0], at: Timestamp(microseconds: 3))])
    let found = try Checkpoints.read(fileSystem).table
    #expect(found == log.table && found.groups.count == Limits.groupCountMax)
    #expect(found.groups[names[0]]?.checkpoints.isEmpty == true)
    #expect(found.checkpoint(of: names[9], in: 7) == 3)
  }
}
