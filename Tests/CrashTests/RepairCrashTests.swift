import CommitLog
import EventModel
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage
import Testing

@Suite("Crashes within a repair")
struct RepairCrashTests {
  /// A store with a flipped bit in a sealed segment, zeros in another, a manifest without one of
  /// its frames, checkpoints that have lost entries, and a segment that is gone.
  private static func damagedFiles(_ store: CanonicalStore) throws -> [FilePath: [UInt8]] {
    var files = store.files
    let segments = files.keys.filter { $0.extension == "segment" }
      .sorted { $0.string < $1.string }
    try #require(segments.count > 4)
    files[segments[0]]?[900] ^= 0x10
    for index in 700..<1_200 { files[segments[1]]?[index] = 0 }
    files[segments[2]] = nil
    files[CanonicalStore.root.appending(FileNames.manifest)]?[400] ^= 0xff
    for index in 200..<240 {
      files[CanonicalStore.root.appending(FileNames.checkpoints)]?[index] = 0
    }
    return files
  }

  private static func repair(_ disk: any FileSystem, seed: UInt64) throws(RepairFailure)
    -> StoreRepair.Outcome
  {
    try StoreRepair.run(
      CanonicalStore.root, environment: CanonicalStore.environment(disk, seed: seed))
  }

  /// Every event that a walk over the store shows, as text.
  private static func events(_ disk: any FileSystem) throws -> Set<String> {
    var events: Set<String> = []
    try StoreInspector(CanonicalStore.root, fileSystem: disk).walk { item in
      if case .record(let record) = item {
        events.insert(
          "\(record.partition) \(record.sequenceNumber) \(record.deviceID) \(record.body)")
      }
      return .goOn
    }
    return events
  }

  @Test(
    "A crash at any operation of a repair loses nothing, and repairing again goes on",
    arguments: CrashStyle.allCases)
  func everyOperation(_ style: CrashStyle) throws {
    let store = try CanonicalStore(.closed)
    let files = try Self.damagedFiles(store)
    let whole = SimulatedDisk(files: files, directories: store.directories)
    let before = try Self.events(whole)
    #expect(try Self.repair(whole, seed: 3).repairs.count >= 4)
    let after = try Self.events(whole)
    #expect(after.isSuperset(of: before) && after.count > before.count)
    var random = SeededRandom(seed: 11)
    var operation = 0
    while true {
      operation += 1
      let disk = SimulatedDisk(
        files: files, directories: store.directories, .crash(at: operation))
      do {
        _ = try Self.repair(disk, seed: 3)
      } catch {
        try #require(disk.isDead, "operation \(operation): \(error)")
      }
      guard disk.isDead else { break }
      let image = disk.crashImage(using: &random, style)
      let comment: Comment = "crash at operation \(operation), \(style)"
      #expect(try Self.events(image).isSuperset(of: before), comment)
      _ = try Self.repair(image, seed: 4)
      #expect(try Self.events(image) == after, comment)
      let opened = try SimulatedStore.open(
        in: CanonicalStore.environment(image, seed: 5), choices: .init())
      try opened.log.close()
      let left = try Fsck.check(CanonicalStore.root, fileSystem: image).findings
        .filter { $0.severity > .note }
      #expect(left == [], comment)
    }
    #expect(operation > 20)
    print("counted: \(operation - 1) crashes within repairs")
  }
}
