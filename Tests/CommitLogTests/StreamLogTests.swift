import CommitLog
import Dispatch
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import Synchronization
import SystemPackage
import Testing

/// The logs beside the event partitions, made when they are first asked for.
@Suite("Logs made on demand")
struct StreamLogTests {
  static let folders: [FileHeader.Stream: FilePath] = [
    .feedback: "/store/feedback/000", .deadLetter: "/store/dead-letter/000",
    .journal: "/store/queues/journal",
  ]

  private func create(_ fileSystem: any FileSystem) throws -> TestStore {
    try TestStore.create(on: fileSystem)
    return try TestStore.open(on: fileSystem)
  }

  private func header(_ path: FilePath, _ fileSystem: MemoryFileSystem) throws -> FileHeader {
    let bytes = try #require(fileSystem.image[path])
    return try FileHeader(decoding: bytes.span.bytes)
  }

  @Test("A store has none of them until it is asked, whether it is opened, closed or killed")
  func absent() throws {
    let fileSystem = MemoryFileSystem()
    let store = try create(fileSystem)
    try store.append(0..<2)
    try store.log.close()
    let again = try TestStore.open(on: fileSystem, seed: 3)
    for stream in FileHeader.Stream.madeOnDemand { #expect(again.log.existingLog(stream) == nil) }
    #expect(again.log.logs.count == 1)
    #expect(!fileSystem.directories.contains { Self.folders.values.contains($0) })
  }

  @Test(
    "One that was made has its own folder and names, and is there after a close and after a kill",
    arguments: FileHeader.Stream.madeOnDemand)
  func found(_ stream: FileHeader.Stream) throws {
    let fileSystem = MemoryFileSystem()
    let store = try create(fileSystem)
    try store.append(100..<103)
    let log = try store.log.log(stream)
    #expect(log === (try store.log.log(stream)) && log === store.log.existingLog(stream))
    try store.append(0..<4, to: log)
    let suffix = stream == .journal ? "journal" : "segment"
    let folder = try #require(Self.folders[stream])
    let path = folder.appending("00000000000000000000-00000002.\(suffix)")
    let header = try header(path, fileSystem)
    #expect(header.kind == (stream == .journal ? .journal : .segment))
    #expect(header.stream == stream && header.partition == 0 && header.fileID == 2)
    try store.write(4..<6, to: log)

    let killed = StoreImage(fileSystem).memory()
    let reopened = try TestStore.open(on: killed, seed: 3)
    let recovered = try #require(reopened.log.existingLog(stream))
    #expect(try reopened.read(recovered).serials == Array(0..<6))
    #expect(try reopened.read().serials == Array(100..<103))
    #expect(recovered.nextNumber == 6 && recovered.report.isClean)

    try store.log.close()
    let closed = try ManifestImage.read(root: TestStore.root, fileSystem: fileSystem).state
    #expect(closed.closedEnd(of: .only(of: stream))?.summary.nextNumber == 6)
    #expect(closed.closedEnds?.count == 2)
    let again = try TestStore.open(on: fileSystem, seed: 4)
    let kept = try #require(again.log.existingLog(stream))
    try again.append(6..<8, to: kept)
    #expect(try again.read(kept).serials == Array(0..<8) && kept.report.isClean)
    #expect(throws: CommitLogFailure.closed) {
      try again.log.close()
      _ = try again.log.log(stream == .journal ? .feedback : .journal)
    }
  }

  @Test("All of them stand side by side, and each goes on by its own numbers")
  func together() throws {
    let fileSystem = MemoryFileSystem()
    let store = try create(fileSystem)
    for (place, stream) in FileHeader.Stream.madeOnDemand.enumerated() {
      let first = UInt64(place) * 10
      try store.append(first..<first + 3, to: store.log.log(stream))
    }
    #expect(store.log.logs.map(\.id.stream) == [.events, .feedback, .deadLetter, .journal])
    let again = try TestStore.open(on: StoreImage(fileSystem).memory(), seed: 3)
    for (place, stream) in FileHeader.Stream.madeOnDemand.enumerated() {
      let log = try #require(again.log.existingLog(stream))
      let first = UInt64(place) * 10
      #expect(log.nextNumber == 3)
      #expect(try again.read(log).serials == Array(first..<first + 3))
    }
    #expect(again.log.partitions.count == 1)
    #expect(try again.read().serials.isEmpty)
  }

  @Test("Whoever asks at the same time gets the same log, and one file is made")
  func concurrent() throws {
    let fileSystem = MemoryFileSystem()
    let store = try create(fileSystem)
    let found = Mutex<[ObjectIdentifier]>([])
    DispatchQueue.concurrentPerform(iterations: 8) { _ in
      let log = try? store.log.log(.journal)
      found.withLock { found in if let log { found.append(ObjectIdentifier(log)) } }
    }
    #expect(found.withLock { $0.count } == 8 && Set(found.withLock { $0 }).count == 1)
    #expect(fileSystem.image.keys.count { $0.string.hasSuffix(".journal") } == 1)
  }

  @Test("Folders, file and names are durable before the edit, the edit before the first frame")
  func order() throws {
    let fileSystem = ObservedFileSystem(MemoryFileSystem())
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem)
    try store.append(0..<1)
    fileSystem.forget()
    try store.append(0..<1, to: store.log.log(.journal))
    let words = fileSystem.calls.map { call in
      "\(call.operation.rawValue) \(call.path.lastComponent?.string ?? "")"
    }
    let name = "00000000000000000000-00000002.journal"
    #expect(
      words == [
        "createDirectory queues", "synchronizeDirectory store", "createDirectory journal",
        "synchronizeDirectory queues", "create \(name)", "write \(name)", "synchronize \(name)",
        "synchronizeDirectory journal", "write MANIFEST", "synchronize MANIFEST",
        // It is opened like one that was found.
        "synchronize \(name)", "synchronizeDirectory journal", "write \(name)", "write \(name)",
        "synchronize \(name)",
      ])
  }

  @Test("The journal is written without compression, the other streams with the store's codec")
  func codecs() throws {
    let fileSystem = MemoryFileSystem()
    let store = try create(fileSystem)
    for stream in FileHeader.Stream.madeOnDemand {
      let log = try store.log.log(stream)
      let batch = BatchEncoder(targetSize: 64 << 10)
      let body = [UInt8](repeating: 7, count: 4_096)
      batch.append(
        from: "device", body: body.span.bytes, properties: .empty, at: TestClock.start)
      _ = try log.write(batch)
      let size = log.unsyncedSize
      #expect(stream == .journal ? size > 4_096 : size < 1_024, "\(stream)")
    }
  }

  @Test("The journal rolls at its own size; it gets no footers and is not merged, the others are")
  func rolling() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem, segmentSize: 4_096, journalSegmentSize: 2_048)
    let journal = try store.log.log(.journal)
    let feedback = try store.log.log(.feedback)
    for serial in 0..<40 as Range<UInt64> {
      try store.append([serial], to: journal)
      try store.append([serial], to: feedback)
    }
    #expect(journal.snapshot.segments.count > feedback.snapshot.segments.count)
    let sealed = journal.snapshot.segments.dropLast().map(\.added.segmentID)
    try store.log.findMaintenance()
    try store.log.maintain { false }
    #expect(journal.snapshot.segments.dropLast().map(\.added.segmentID) == sealed)
    let footers = fileSystem.image.keys.filter { $0.string.hasSuffix(".footer") }
    #expect(Set(footers.map { $0.removingLastComponent() }) == ["/store/feedback/000"])
    for log in [journal, feedback] { #expect(try store.read(log).serials == Array(0..<40)) }
    let again = try TestStore.open(on: StoreImage(fileSystem).memory(), seed: 3)
    for stream in [FileHeader.Stream.journal, .feedback] {
      let log = try #require(again.log.existingLog(stream))
      #expect(try again.read(log).serials == Array(0..<40) && log.report.isClean)
    }
  }

  @Test("Sealing begins a new segment if there is anything to seal, and only then")
  func sealing() throws {
    let fileSystem = MemoryFileSystem()
    let store = try create(fileSystem)
    let journal = try store.log.log(.journal)
    try journal.sealActive()
    #expect(journal.snapshot.segments.count == 1)
    try store.write(0..<3, to: journal)
    try journal.sealActive()
    try journal.sealActive()
    #expect(journal.snapshot.segments.count == 2 && journal.highWatermark == 3)
    #expect(journal.snapshot.segments[0].summary?.recordCount == 3)
    try store.append(3..<5, to: journal)
    #expect(try store.read(journal).serials == Array(0..<5))
  }

  @Test("Without room none is made and nothing is left; with room again it is")
  func fullDisk() throws {
    let disk = SimulatedDisk()
    let store = try create(disk)
    try store.append(0..<2)
    let files = disk.image
    let taken = files.values.reduce(0) { $0 + $1.count }
    // Not even the header, and the header but not the edit.
    for room in [0, 130] {
      disk.plan = FaultPlan(capacity: ByteCount(taken + room))
      let failure = #expect(throws: CommitLogFailure.self) { try store.log.log(.journal) }
      guard case .storageFull = failure else {
        Issue.record("\(String(describing: failure))")
        return
      }
      #expect(disk.image == files && store.log.existingLog(.journal) == nil)
    }
    disk.plan = .none
    try store.append(0..<2, to: store.log.log(.journal))
    var random = SeededRandom(seed: 1)
    let again = try TestStore.open(on: disk.crashImage(using: &random, .dropAll), seed: 3)
    #expect(try again.read(#require(again.log.existingLog(.journal))).serials == [0, 1])
  }

  @Test("A failed sync of the manifest: none is made, attempts leave no files, reading goes on")
  func failedSync() throws {
    let disk = SimulatedDisk()
    let store = try create(disk)
    try store.append(0..<2)
    disk.plan = FaultPlan(
      failures: [.init(.call(.synchronize, pathSuffix: FileNames.manifest), .ioError)])
    for _ in 0..<3 {
      let failure = #expect(throws: CommitLogFailure.self) { try store.log.log(.journal) }
      guard case .poisoned = failure else {
        Issue.record("\(String(describing: failure))")
        return
      }
    }
    // It may be named: the next open tells.
    #expect(disk.image.keys.count { $0.string.hasSuffix(".journal") } == 1)
    #expect(try store.read().serials == [0, 1])
    try store.append(2..<4)
    var random = SeededRandom(seed: 1)
    for style in CrashStyle.allCases {
      let again = try TestStore.open(on: disk.crashImage(using: &random, style), seed: 3)
      try again.append(5..<7, to: again.log.log(.journal))
      #expect(try again.read(again.log.log(.journal)).serials == [5, 6], "\(style)")
      #expect(try again.read().serials == Array(0..<4), "\(style)")
    }
  }
}
