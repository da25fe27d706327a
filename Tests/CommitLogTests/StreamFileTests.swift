import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Files of the logs beside the partitions that are missing, left over or no longer wanted.
@Suite("Files of logs made on demand")
struct StreamFileTests {
  private static let folder: FilePath = "/store/queues/journal"

  /// A journal of four segments, the last of them active.
  private func makeStore(_ fileSystem: any FileSystem) throws -> TestStore {
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem)
    try store.append(100..<102)
    let journal = try store.log.log(.journal)
    for first in stride(from: 0, to: 16, by: 4) as StrideTo<UInt64> {
      try store.append(first..<first + 2, to: journal)
      try store.append(first + 2..<first + 4, to: journal)
      if first < 12 { try journal.sealActive() }
    }
    return store
  }

  private func names(_ files: some Sequence<FilePath>, in folder: FilePath) -> [String] {
    files.filter { $0.removingLastComponent() == folder }
      .compactMap { $0.lastComponent?.string }.sorted()
  }

  private func follow(_ fileSystem: any FileSystem) throws -> LogFollower {
    try LogFollower.open(
      at: TestStore.root, environment: TestStore.environment(fileSystem, seed: 9)
    ) { (_) throws(CommitLogFailure) in [:] }
  }

  @Test("A log whose active segment is gone takes nothing, and the others go on")
  func missingActive() throws {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(fileSystem)
    let path = try #require(store.log.existingLog(.journal)?.snapshot.segments.last?.path)
    var image = StoreImage(fileSystem)
    image.files[path] = nil
    let damaged = image.memory()
    let again = try TestStore.open(on: damaged)
    #expect(try again.log.log(.journal).loss == .missingFile(path))
    #expect(throws: CommitLogFailure.missingFile(path)) {
      try again.append(100..<101, to: again.log.log(.journal))
    }
    try again.append(0..<1)
    try again.log.close()
    #expect(damaged.image[path] == nil)
    _ = try follow(damaged)
  }

  @Test("A torn tail is cut and kept; a lost header costs no record")
  func damagedActive() throws {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(fileSystem)
    let snapshot = try #require(store.log.existingLog(.journal)?.snapshot)
    let path = try #require(snapshot.segments.last?.path)
    var image = StoreImage(fileSystem)
    image.files[path]?.removeSubrange(snapshot.activeEnd...)
    image.files[path]? += [UInt8](repeating: 0xee, count: 100)
    image.files[path]?[60] ^= 4
    let damaged = image.memory()
    let again = try TestStore.open(on: damaged, seed: 3)
    let journal = try #require(again.log.existingLog(.journal))
    #expect(journal.report.lostHeader && journal.report.tail?.range.count == 100)
    try again.append(16..<18, to: journal)
    #expect(try again.read(journal).serials == Array(0..<18))
    let last = try TestStore.open(on: StoreImage(damaged).memory(), seed: 4)
    #expect(try last.read(last.log.log(.journal)).serials == Array(0..<18))
    #expect(try last.log.log(.journal).report.isClean)
  }

  @Test("What was made and never named is set aside, also where no log is named")
  func unnamed() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let bare = StoreImage(fileSystem)
    let journal = try TestStore.open(on: fileSystem).log.log(.journal)
    let path = journal.snapshot.segments[0].path
    let header = Array(try #require(fileSystem.image[path])[..<FileHeader.size])
    var image = bare
    image.files[path] = header
    image.files[Self.folder.appending("00000000000000000000-00000002.index")] = [1, 2]
    let left = image.memory()
    let store = try TestStore.open(on: left, seed: 3)
    #expect(store.log.existingLog(.journal) == nil)
    #expect(names(left.image.keys, in: Self.folder).isEmpty)
    let name = "queues-journal-00000000000000000000-00000002.journal"
    #expect(StoreImage(left).quarantine == [name: header])
    try store.append(0..<2, to: store.log.log(.journal))
    #expect(try store.read(store.log.log(.journal)).serials == [0, 1])
  }

  @Test("Records in a segment that the manifest does not know: the manifest lost edits")
  func lostEdits() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    var image = StoreImage(fileSystem)
    let store = try TestStore.open(on: fileSystem)
    try store.append(0..<2, to: store.log.log(.journal))
    let path = try store.log.log(.journal).snapshot.segments[0].path
    image.files[path] = fileSystem.image[path]
    let damaged = image.memory()
    for open in [{ _ = try TestStore.open(on: damaged) }, { _ = try self.follow(damaged) }] {
      let failure = #expect(throws: CommitLogFailure.self) { try open() }
      guard case .format(let named, _, .corrupt(let detail)) = failure else {
        Issue.record("\(String(describing: failure))")
        return
      }
      #expect(named.lastComponent?.string == FileNames.manifest && detail.contains(path.string))
    }
  }

  @Test("Retiring below a number takes whole sealed segments, and gives their space back")
  func retire() throws {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(fileSystem)
    let journal = try store.log.log(.journal)
    let before = names(fileSystem.image.keys, in: Self.folder)
    #expect(try store.log.retire(journal, below: 3) == 0)
    #expect(names(fileSystem.image.keys, in: Self.folder) == before)
    // The third segment holds number 8.
    #expect(try store.log.retire(journal, below: 9) == 2)
    let kept = names(fileSystem.image.keys, in: Self.folder)
    #expect(kept.count { $0.hasSuffix(".journal") } == 2)
    #expect(kept.allSatisfy { $0 >= "00000000000000000008" })
    #expect(StoreImage(fileSystem).quarantine.isEmpty)
    let contents = try store.read(journal)
    #expect(contents.serials == Array(8..<16))
    #expect(contents.gaps.map(\.reason) == [.retired])
    #expect(contents.gaps.first?.next.value == 8)
    // The active segment stays whatever the number is.
    #expect(try store.log.retire(journal, below: .max) == 1)
    #expect(journal.snapshot.segments.count == 1)
    #expect(try store.log.retire(journal, below: .max) == 0)
    let again = try TestStore.open(on: StoreImage(fileSystem).memory(), seed: 3)
    let recovered = try #require(again.log.existingLog(.journal))
    #expect(recovered.nextNumber == 16)
    #expect(try again.read(recovered).serials == Array(12..<16))
    #expect(try again.read().serials == [100, 101])
  }

  @Test("A retired journal of no records goes on by its numbers after a close")
  func retiredToNothing() throws {
    let fileSystem = MemoryFileSystem()
    let store = try makeStore(fileSystem)
    let journal = try store.log.log(.journal)
    try journal.sealActive()
    #expect(try store.log.retire(journal, below: 16) == 4)
    try store.log.close()
    let again = try TestStore.open(on: fileSystem, seed: 3)
    let recovered = try again.log.log(.journal)
    #expect(recovered.nextNumber == 16 && recovered.snapshot.segments.count == 1)
    try again.append(16..<18, to: recovered)
    #expect(try again.read(recovered).serials == [16, 17])
  }

  /// A crash at every operation of a retirement, in every style.
  @Test("A crash while retiring loses no record that stays, and the next open clears the rest")
  func retiringCrashes() throws {
    let whole = SimulatedDisk()
    let original = try makeStore(whole)
    let first = whole.operationCount
    #expect(try original.log.retire(original.log.log(.journal), below: 12) == 3)
    let last = whole.operationCount
    #expect(last - first >= 5)
    var random = SeededRandom(seed: 11)
    var firsts: Set<UInt64> = []
    for operation in first + 1...last {
      let disk = SimulatedDisk(.crash(at: operation))
      let store = try makeStore(disk)
      // Files that cannot be removed are no failure: the manifest has forgotten them.
      _ = try? store.log.retire(store.log.log(.journal), below: 12)
      for style in CrashStyle.allCases {
        let context: Comment = "operation \(operation), \(style)"
        let image = disk.crashImage(using: &random, style)
        let again = try TestStore.open(on: image, seed: 3)
        let journal = try #require(again.log.existingLog(.journal))
        let start = journal.snapshot.startNumber
        firsts.insert(start)
        #expect(try again.read(journal).serials == Array(start..<16), context)
        _ = try again.log.retire(journal, below: 12)
        #expect(try again.read(journal).serials == Array(12..<16), context)
        let files = names(image.image.keys, in: Self.folder)
        #expect(files.count { $0.hasSuffix(".journal") } == 1, "\(context): \(files)")
        #expect(names(image.image.keys, in: "/store/quarantine").isEmpty, context)
        #expect(try again.read().serials == [100, 101], context)
      }
    }
    #expect(firsts == [0, 12])
  }
}
