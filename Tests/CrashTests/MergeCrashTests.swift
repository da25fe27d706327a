import CommitLog
import EventModel
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import Testing

@Suite("Crashes within maintenance")
struct MergeCrashTests {
  private static let serials = Array(0..<20 as Range<UInt64>)

  private func makeStore(on disk: SimulatedDisk) throws -> SimulatedStore {
    try SimulatedStore.create(on: disk, partitionCount: 1, seed: 1)
    let store = try SimulatedStore.open(on: disk, segmentSize: 64 << 10, seed: 1)
    for serial in Self.serials { try store.append([serial], to: 0) }
    try store.log.partitions[0].sealActive()
    return store
  }

  /// A process was killed when the merged segment was written and not yet named: the store did not
  /// open any more, because a segment that holds events and has no name looked like a lost edit.
  @Test("A crash at any operation of a merge harms nothing", arguments: CrashStyle.allCases)
  func everyOperation(_ style: CrashStyle) throws {
    var random = SeededRandom(seed: 1)
    var operation = 0
    while true {
      operation += 1
      let disk = SimulatedDisk()
      let store = try makeStore(on: disk)
      disk.plan = .crash(at: disk.operationCount + operation)
      do {
        try store.log.maintain { false }
      } catch {
        try #require(disk.isDead)
      }
      guard disk.isDead else { break }
      let image = disk.crashImage(using: &random, style)
      #expect(try Fsck.check(SimulatedStore.root, fileSystem: image).clean)
      let follower = try LogFollower.open(
        at: SimulatedStore.root, environment: SimulatedStore.environment(image, seed: 2)
      ) { _ in [:] }
      #expect(follower.snapshot(of: 0).highWatermark == UInt64(Self.serials.count))
      let opened = try SimulatedStore.open(on: image, segmentSize: 64 << 10, seed: 3)
      let contents = try opened.read(0)
      #expect(contents.serials == Self.serials && contents.gaps == [])
      try opened.log.maintain { false }
      #expect(try opened.read(0) == contents)
    }
    #expect(operation > 5)
  }
}
