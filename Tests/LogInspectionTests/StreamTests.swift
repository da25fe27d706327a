import CommitLog
import EventModel
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Inspection of the logs beside the event partitions, as the engine writes them.
@Suite("Stores with a journal, feedback and dead letters")
struct StreamTests {
  private static let root = SimulatedStore.root
  private static let sealed = "queues/journal/00000000000000000000-00000003.journal"
  private static let active = "queues/journal/00000000000000000006-00000004.journal"

  private func append(
    _ serials: Range<UInt64>, to log: PartitionLog, _ store: SimulatedStore
  ) throws {
    let last = log.lastTime ?? Timestamp(microseconds: 0)
    try SampleRecords.append(
      serials.map { serial in
        (SimulatedEvents.device(serial), SampleRecords.body(of: log.id.stream, serial))
      }, to: log, at: max(store.log.context.environment.now(), last))
  }

  /// Two partitions of five events each, a journal of six records sealed and four behind them, and
  /// two records of feedback and of dead letters.
  private func makeStore(_ fileSystem: MemoryFileSystem) throws -> SimulatedStore {
    try SimulatedStore.create(on: fileSystem, partitionCount: 2, seed: 1)
    let store = try SimulatedStore.open(on: fileSystem, segmentSize: 64 << 10, seed: 1)
    let journal = try store.log.log(.journal)
    for first in [0, 3] as [UInt64] { try append(first..<first + 3, to: journal, store) }
    try journal.sealActive()
    for first in [6, 8] as [UInt64] { try append(first..<first + 2, to: journal, store) }
    try journal.writeMark()
    for stream in [FileHeader.Stream.feedback, .deadLetter] {
      try append(20..<22, to: try store.log.log(stream), store)
    }
    return store
  }

  private func files(isClosed: Bool) throws -> [FilePath: [UInt8]] {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(fileSystem)
    if isClosed { try store.log.close() }
    return fileSystem.image
  }

  private func path(_ name: String) -> FilePath { FilePath("\(Self.root)/\(name)") }

  private func check(_ files: [FilePath: [UInt8]]) throws -> FsckResult {
    try Fsck.check(Self.root, fileSystem: MemoryFileSystem(files: files))
  }

  /// The records that a walk tells, by stream, and what else it says.
  private func walk(
    _ path: FilePath, _ files: [FilePath: [UInt8]]
  ) throws -> (records: [FileHeader.Stream: [UInt64]], frames: [String], damages: [Damage]) {
    let inspector = try StoreInspector(path, fileSystem: MemoryFileSystem(files: files))
    var records: [FileHeader.Stream: [UInt64]] = [:]
    var frames: [String] = []
    var damages: [Damage] = []
    inspector.walk { item in
      switch item {
      case .record(let record):
        records[record.stream, default: []].append(record.sequenceNumber)
      case .frame(let frame): frames.append(frame.file)
      case .damage(let damage): damages.append(damage)
      default: break
      }
      return .goOn
    }
    return (records, frames, damages)
  }

  private func frame(
    _ number: UInt64, in name: String, _ files: [FilePath: [UInt8]]
  ) throws -> InspectedFrame {
    let inspector = try StoreInspector(path(name), fileSystem: MemoryFileSystem(files: files))
    var found: InspectedFrame?
    inspector.walk { item in
      guard case .frame(let frame) = item, frame.header.recordCount > 0,
        frame.header.baseNumber == number
      else { return .goOn }
      found = frame
      return .stop
    }
    return try #require(found)
  }

  @Test("They are clean while open and after a close", arguments: [false, true])
  func clean(_ isClosed: Bool) throws {
    let result = try check(try files(isClosed: isClosed))
    #expect(result.findings == [])
    #expect(result.checked.segments == 6)
    // Six batches beside the partitions' none; events are what the partitions hold.
    #expect(result.checked.batches == 6 && result.checked.events == 0)
  }

  @Test("A flipped byte in the sealed or the active journal is an exact loss that names the file")
  func flippedByte() throws {
    for (name, number, next) in [(Self.sealed, 3, 6), (Self.active, 6, 8)]
      as [(String, UInt64, UInt64)]
    {
      var files = try files(isClosed: true)
      let frame = try frame(number, in: name, files)
      files[path(name)]?[frame.frame.bodyRange.lowerBound + 3] ^= 0xff
      let result = try check(files)
      let finding = try #require(result.findings.first)
      #expect(!result.clean && result.findings.count == 1, "\(result.findings)")
      #expect(finding.kind == .damagedFrame && finding.file == name)
      #expect(finding.position == frame.position && finding.severity == .error)
      let loss = try #require(finding.acknowledgedLoss)
      #expect(loss.partition == UInt32(PartitionID.journal.number))
      #expect(loss.firstSequence == number && loss.nextSequence == next)
      #expect(loss.devices?.isEmpty == false)
    }
  }

  @Test("Any flipped byte of the journal is found, and only padding is nobody's")
  func anyByte() throws {
    let whole = try files(isClosed: true)
    for name in [Self.sealed, Self.active] {
      var covered = [0..<FileHeader.size]
      let fileSystem = MemoryFileSystem(files: whole)
      try StoreInspector(path(name), fileSystem: fileSystem).walk { item in
        if case .frame(let frame) = item {
          covered.append(frame.position..<frame.frame.bodyRange.upperBound)
        }
        return .goOn
      }
      for position in stride(from: 0, to: try #require(whole[path(name)]).count, by: 37) {
        var files = whole
        files[path(name)]?[position] ^= 0x11
        let found = try check(files).findings.contains { $0.file == name }
        #expect(found == covered.contains { $0.contains(position) }, "\(name) at \(position)")
      }
    }
  }

  @Test("A lost suffix and a lost file are losses with their numbers")
  func lost() throws {
    let whole = try files(isClosed: true)
    var files = whole
    let last = try frame(8, in: Self.active, files)
    files[path(Self.active)]?.removeSubrange(last.position...)
    var result = try check(files)
    let suffix = try #require(result.findings.first { $0.kind == .lostSuffix })
    #expect(!result.clean && suffix.file == Self.active)
    #expect(suffix.acknowledgedLoss?.firstSequence == 8)
    #expect(suffix.acknowledgedLoss?.nextSequence == 10)

    files = whole
    files[path(Self.sealed)] = nil
    result = try check(files)
    let missing = try #require(
      result.findings.first { $0.kind == .missingFile && $0.severity == .error })
    #expect(missing.file == Self.sealed)
    #expect(missing.acknowledgedLoss?.firstSequence == 0)
    #expect(missing.acknowledgedLoss?.nextSequence == 6)
  }

  @Test("A gap that recovery recorded says whose it is")
  func recordedGap() throws {
    var files = try files(isClosed: true)
    let last = try frame(8, in: Self.active, files)
    files[path(Self.active)]?.removeSubrange(last.position...)
    let fileSystem = MemoryFileSystem(files: files)
    let store = try SimulatedStore.open(on: fileSystem, segmentSize: 64 << 10, seed: 3)
    let journal = try #require(store.log.existingLog(.journal))
    #expect(journal.nextNumber == 10)
    try append(10..<12, to: journal, store)
    try store.log.close()
    let result = try check(fileSystem.image)
    #expect(result.clean, "\(result.findings)")
    let gap = try #require(result.findings.first { $0.kind == .manifestGap })
    #expect(gap.detail.contains("the queue journal") && gap.file == FileNames.manifest)
    #expect(gap.acknowledgedLoss?.firstSequence == 8 && gap.acknowledgedLoss?.nextSequence == 10)
  }

  @Test("What does not belong into their folders is named")
  func orphans() throws {
    var files = try files(isClosed: true)
    let strange = [
      "queues/journal/00000000000000000099-00000063.journal", "queues/journal/notes",
      "queues/other/file", "feedback/001/file", "dead-letter/000/file",
    ]
    for name in strange { files[path(name)] = [1, 2, 3] }
    let result = try check(files)
    #expect(result.clean)
    #expect(
      Set(result.findings.map(\.file)) == [
        strange[0], strange[1], "queues/other", "feedback/001", strange[4],
      ])
    #expect(result.findings.allSatisfy { $0.kind == .orphanFile })
  }

  @Test("The numbers of a store are those of its partitions")
  func statistics() throws {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(fileSystem)
    try store.append(0..<5, to: 0)
    try store.append(5..<10, to: 1)
    try store.log.close()
    let statistics = try StoreStatistics.collect(Self.root, fileSystem: fileSystem)
    #expect(statistics.partitions.map(\.events) == [5, 5])
    #expect(statistics.totals.segments == 2 && statistics.damages.isEmpty)
  }

  @Test("A walk tells every record with its stream; one file can be shown alone")
  func dump() throws {
    let files = try files(isClosed: true)
    let all = try walk(Self.root, files)
    #expect(
      all.records == [.journal: Array(0..<10), .feedback: [0, 1], .deadLetter: [0, 1]])
    #expect(all.damages.isEmpty)
    let inspector = try StoreInspector(
      path(Self.active), fileSystem: MemoryFileSystem(files: files))
    #expect(inspector.target == .file(.journal))
    let alone = try walk(path(Self.active), files)
    #expect(alone.records == [.journal: Array(6..<10)] && alone.damages.isEmpty)
    // An epoch, two batches and a mark.
    #expect(alone.frames.count >= 3)
    var damaged = files
    for place in 0..<FileHeader.size { damaged[path(Self.active)]?[place] = 0 }
    let headless = try walk(path(Self.active), damaged)
    #expect(headless.records == [.journal: Array(6..<10)])
    #expect(headless.damages.map(\.kind) == [.badFileHeader])
  }

  @Test("Without its manifest, or with one that lost edits, the records are found all the same")
  func rebuilt() throws {
    let whole = try files(isClosed: true)
    var files = whole
    files[path(FileNames.manifest)] = nil
    #expect(try walk(Self.root, files).records[.journal] == Array(0..<10))
    let bare = MemoryFileSystem()
    try SimulatedStore.create(on: bare, partitionCount: 2, seed: 1)
    files = whole
    files[path(FileNames.manifest)] = bare.image[path(FileNames.manifest)]
    let found = try walk(Self.root, files)
    #expect(
      found.records == [.journal: Array(0..<10), .feedback: [0, 1], .deadLetter: [0, 1]])
    #expect(found.damages.contains { $0.kind == .manifestDamaged })
  }
}
