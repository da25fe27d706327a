import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// A disk that does not give what it holds: opening says so and takes nothing for granted.
@Suite("Reads that fail while a store is opened")
struct FailingReadTests {
  /// A store that was killed, with sealed segments, an index, a journal and a torn tail.
  private func files() throws -> StoreImage {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem, segmentSize: 4_096)
    for serial in 0..<60 as Range<UInt64> { try store.append(serial..<serial + 1) }
    try store.append(0..<4, to: try store.log.log(.journal))
    try store.write(60..<61)
    let end = store.partition.snapshot.activeEnd
    var image = StoreImage(fileSystem)
    let active = try image.segment().path
    image.files[active]?.removeSubrange((end - 9)...)
    return image
  }

  @Test(
    "Each one that fails is told, or costs nothing, and the next opening finds all of it",
    arguments: [IOFailure.Operation.open, .read, .inspect, .list, .lock, .synchronize])
  func everyCall(_ operation: IOFailure.Operation) throws {
    let image = try files()
    let expected = try TestStore.open(on: image.memory()).read().serials
    try #require(expected == Array(0..<60))
    var failureCount = 0
    for nth in 1... {
      let disk = image.disk(
        FaultPlan(failures: [.init(.call(operation, nth: nth), .ioError)]))
      do throws(CommitLogFailure) {
        let store = try TestStore.open(on: disk, seed: UInt64(nth))
        _ = try Self.follow(disk)
        if disk.failureCount == 0 { break }
        let losses = store.log.logs.compactMap(\.loss)
        failureCount += losses.count
        for loss in losses {
          guard case .unreadable(let place) = loss else { throw loss }
          #expect(place.cause.reason == .ioError)
        }
        if let loss = store.partition.loss {
          // Of what one file holds nothing is shown and nothing taken.
          #expect(throws: loss) { try store.read() }
          #expect(throws: loss) { try store.append(60..<61) }
        } else {
          #expect(try store.read().serials == expected, "\(operation) \(nth)")
        }
      } catch {
        failureCount += 1
        switch error {
        case .io(let cause), .poisoned(let cause): #expect(cause.reason == .ioError)
        default: Issue.record("\(operation) \(nth): \(error)")
        }
      }
      disk.plan = .none
      let again = try TestStore.open(on: disk, seed: UInt64(nth) + 1_000)
      #expect(try again.read().serials == expected, "\(operation) \(nth), again")
      #expect(try again.read(again.log.log(.journal)).serials == Array(0..<4))
    }
    #expect(failureCount > 0, "\(operation)")
  }

  private static func follow(_ disk: SimulatedDisk) throws(CommitLogFailure) -> LogFollower {
    try LogFollower.open(at: TestStore.root, environment: TestStore.environment(disk, seed: 9)) {
      (_) throws(CommitLogFailure) in [:]
    }
  }
}
