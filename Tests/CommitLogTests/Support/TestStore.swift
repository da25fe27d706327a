import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import Synchronization
import SystemPackage

/// A clock that a test sets.
///
/// It steps on by a millisecond each time it is asked.
final class TestClock: Sendable {
  static let start: Int64 = 1_700_000_000_000_000

  private let time = Mutex(TestClock.start)

  func now() -> Timestamp {
    time.withLock { time in
      time += 1_000
      return Timestamp(microseconds: time)
    }
  }

  func step(by microseconds: Int64) { time.withLock { $0 += microseconds } }
}

/// The engine under test: an open commit log whose events are known by their serial numbers.
struct TestStore {
  static let root: FilePath = "/store"

  let log: CommitLog
  let clock: TestClock

  var partition: PartitionLog { log.partitions[0] }

  static func environment(
    _ fileSystem: any FileSystem, clock: TestClock = TestClock(), seed: UInt64
  ) -> EngineEnvironment {
    let random = Mutex(SeededRandom(seed: seed))
    return EngineEnvironment(
      fileSystem: fileSystem, now: { clock.now() }, random: { random.withLock { $0.next() } })
  }

  static func create(
    on fileSystem: any FileSystem, at root: FilePath = root, partitionCount: Int = 1
  ) throws(CommitLogFailure) {
    try CommitLog.create(
      at: root, partitionCount: partitionCount,
      configuration: ManifestEdit.StoredConfiguration(
        codec: .lz4, segmentSize: 1 << 20, batchSize: 64 << 10),
      environment: environment(fileSystem, seed: 1))
  }

  static func open(
    on fileSystem: any FileSystem, at root: FilePath = root, segmentSize: Int = 1 << 20,
    journalSegmentSize: Int? = nil, evidence: [UInt32: UInt64] = [:],
    clock: TestClock = TestClock(), seed: UInt64 = 2
  ) throws(CommitLogFailure) -> TestStore {
    let log = try CommitLog.open(
      at: root, environment: environment(fileSystem, clock: clock, seed: seed),
      choices: CommitLog.Choices(
        segmentSize: segmentSize, journalSegmentSize: journalSegmentSize)
    ) { (_) throws(CommitLogFailure) in evidence }
    return TestStore(log: log, clock: clock)
  }

  /// Hands events to the operating system as one batch.
  func write(
    _ serials: some Sequence<UInt64>, to partition: Int = 0
  ) throws(CommitLogFailure) {
    try write(serials, to: log.partitions[partition])
  }

  func write(
    _ serials: some Sequence<UInt64>, to log: PartitionLog
  ) throws(CommitLogFailure) {
    let batch = BatchEncoder(targetSize: 64 << 10)
    for serial in serials {
      let last = log.lastTime ?? Timestamp(microseconds: .min)
      let time = max(clock.now().microseconds, last.microseconds, batch.lastTime)
      SimulatedEvents.append(serial, to: batch, at: time)
    }
    _ = try log.write(batch)
  }

  /// Appends events as one batch and waits until they are durable.
  func append(
    _ serials: some Sequence<UInt64>, to partition: Int = 0
  ) throws(CommitLogFailure) {
    try write(serials, to: partition)
    _ = try log.partitions[partition].synchronize()
  }

  func append(
    _ serials: some Sequence<UInt64>, to log: PartitionLog
  ) throws(CommitLogFailure) {
    try write(serials, to: log)
    _ = try log.synchronize()
  }

  /// A durable batch of one event with a body of this size, which does not compress.
  func append(bodySize: Int, seed: UInt64, to partition: Int = 0) throws(CommitLogFailure) {
    var random = SeededRandom(seed: seed)
    let body = random.bytes(bodySize)
    let batch = BatchEncoder(targetSize: 64 << 10)
    batch.append(
      from: "bulk", body: body.span.bytes, properties: .empty, at: clock.now().microseconds)
    _ = try log.partitions[partition].write(batch)
    _ = try log.partitions[partition].synchronize()
  }

  func cursor(_ partition: Int = 0, from number: UInt64 = 0) -> BatchCursor {
    cursor(log.partitions[partition], from: number)
  }

  func cursor(_ source: PartitionLog, from number: UInt64 = 0) -> BatchCursor {
    BatchCursor(from: number, mappings: log.mappings, fileSystem: log.context.fileSystem) {
      source.snapshot
    }
  }

  /// Everything a reader sees of a partition.
  func read(_ partition: Int = 0) throws(CommitLogFailure) -> PartitionContents {
    try PartitionContents(cursor(partition))
  }

  func read(_ log: PartitionLog) throws(CommitLogFailure) -> PartitionContents {
    try PartitionContents(cursor(log))
  }

  /// How many batches and how many missing events a reader meets.
  func count(_ partition: Int = 0) throws(CommitLogFailure) -> (events: UInt64, missing: UInt64) {
    let cursor = cursor(partition)
    var (events, missing) = (UInt64(0), UInt64(0))
    while let item = try cursor.read() {
      switch item {
      case .batch(let batch, let first):
        events += UInt64(batch.header.recordCount) - UInt64(first)
      case .gap(let gap): missing += gap.count
      }
    }
    return (events, missing)
  }
}
