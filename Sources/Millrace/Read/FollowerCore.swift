internal import CommitLog
internal import ConsumerCheckpoints
internal import EventModel
internal import LogFormat
internal import StorageIO
internal import Synchronization
internal import SystemPackage

/// A store that is open for reading only, beside a process that writes or without one.
final class FollowerCore: ReadSource {
  let log: LogFollower
  let readers: WorkerPool
  private let table: Mutex<CheckpointTable>
  /// By the partition's number.
  private let tails: [Int: TailSignal]
  private let watch: TailWatch
  /// Microseconds of nothing but failures before those who wait are told: a change by another
  /// process is over sooner.
  private static let outageMax: Int64 = 2_000_000

  /// Opens the store; blocks.
  init(
    at root: FilePath, environment: EngineEnvironment
  ) throws(EventStoreError) {
    let table: CheckpointTable
    do throws(CommitLogFailure) {
      (log, table) = try Self.open(root, environment)
    } catch {
      throw EventStoreError(error)
    }
    self.table = Mutex(table)
    let log = log
    let numbers =
      Array(0..<log.partitionCount)
      + [PartitionID.feedback, .deadLetters, .journal].map(\.number)
    var tails: [Int: TailSignal] = [:]
    for number in numbers {
      tails[number] = TailSignal(highWatermark: Self.snapshot(of: number, in: log).highWatermark)
    }
    self.tails = tails
    let signals = tails
    let outage = Outage()
    // Threads last: nobody would stop those of an attempt that failed.
    readers = WorkerPool(threadCount: 2)
    watch = TailWatch {
      // A log that is made later is told of by the manifest in the store's folder.
      let logs = numbers.map { Self.snapshot(of: $0, in: log) }.filter { !$0.segments.isEmpty }
      return log.context.fileSystem.watch(
        [log.context.root] + logs.map { log.context.directory(of: $0.log) })
    } look: {
      do throws(CommitLogFailure) {
        _ = try log.refresh()
        outage.end()
      } catch {
        // Nothing new is shown; the next look may, unless the store is gone.
        if outage.note(at: log.context.environment.steady()) >= Self.outageMax {
          for tail in signals.values { tail.fail(EventStoreError(error)) }
        }
        return signals.values.contains { $0.isAwaited }
      }
      // Also what another reader's refresh has found.
      for (number, tail) in signals {
        let snapshot = Self.snapshot(of: number, in: log)
        if let place = snapshot.unreadable { tail.fail(EventStoreError(.unreadable(place))) }
        tail.publish(snapshot.highWatermark)
      }
      return signals.values.contains { $0.isAwaited }
    }
  }

  /// The log, and the checkpoints as they were before it was read.
  static func open(
    _ root: FilePath, _ environment: EngineEnvironment
  ) throws(CommitLogFailure) -> (LogFollower, CheckpointTable) {
    var table = CheckpointTable()
    let log = try LogFollower.open(at: root, environment: environment) {
      (manifest) throws(CommitLogFailure) in
      table = try CheckpointImage.read(
        besideWriterOf: root, manifest.header.storeID, manifest.state.checkpointWitness,
        environment.fileSystem
      ).table
      return table.highest
    }
    return (log, table)
  }

  deinit { close() }

  func close() {
    watch.stop()
    for tail in tails.values { tail.close() }
    readers.stop()
  }

  var partitionCount: Int { log.partitionCount }
  var mappings: MappingCache { log.mappings }
  var context: LogContext { log.context }
  var queueCheckpoint: ManifestEdit.QueueCheckpoint? { log.queueCheckpoint }

  func snapshot(of partition: Int) -> LogSnapshot { Self.snapshot(of: partition, in: log) }

  private static func snapshot(of partition: Int, in log: LogFollower) -> LogSnapshot {
    guard let stream = PartitionID.stream(partition) else { return log.snapshot(of: partition) }
    return log.snapshot(of: stream) ?? .empty(stream)
  }

  /// The consumer groups as they were when somebody last looked.
  var checkpoints: CheckpointTable { table.withLock { $0 } }

  func refresh() throws(EventStoreError) {
    do throws(CommitLogFailure) {
      _ = try log.refresh()
      let fresh = try CheckpointImage.read(
        besideWriterOf: log.context.root, log.context.storeID, log.manifest.checkpointWitness,
        log.context.fileSystem)
      table.withLock { $0 = fresh.table }
    } catch {
      throw EventStoreError(error)
    }
  }

  var renewal: (@Sendable () throws(CommitLogFailure) -> Void)? {
    let log = log
    return { () throws(CommitLogFailure) in _ = try log.refresh() }
  }

  func waitForMore(in partition: Int, beyond number: UInt64) async throws(EventStoreError) -> Bool {
    guard let tail = tails[partition] else { return false }
    return try await tail.wait(beyond: number) { [watch] in watch.wake() }
  }
}

/// Since when every look has failed.
private final class Outage: Sendable {
  private let start = Mutex<Int64?>(nil)

  func end() { start.withLock { $0 = nil } }

  /// Notes a failure at a time of the steady clock; returns for how long there were only failures.
  func note(at time: Int64) -> Int64 {
    start.withLock { start in
      let first = start ?? time
      start = first
      return time - first
    }
  }
}

extension CheckpointImage {
  /// Reads the checkpoints, given what the manifest said of them a moment ago.
  ///
  /// A writer may come in between and replace the file: where anything is missing by that word, it
  /// counts once the manifest still says the same behind the file. An end is never named twice.
  static func read(
    besideWriterOf root: FilePath, _ storeID: StoreID, _ witness: CheckpointWitness,
    _ fileSystem: any FileSystem
  ) throws(CommitLogFailure) -> CheckpointImage {
    var witness = witness
    while true {
      let image: CheckpointImage
      do throws(CheckpointFailure) {
        image = try read(root: root, storeID: storeID, witness: witness, fileSystem: fileSystem)
      } catch {
        throw CommitLogFailure(error)
      }
      guard image.table.loss != nil else { return image }
      let manifest = try ManifestImage.read(root: root, fileSystem: fileSystem)
      guard manifest.state.checkpointWitness != witness else { return image }
      witness = manifest.state.checkpointWitness
    }
  }
}
