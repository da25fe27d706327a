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
  private let tails: [TailSignal]
  private let watch: TailWatch

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
    tails = (0..<log.partitionCount).map {
      TailSignal(highWatermark: log.snapshot(of: $0).highWatermark)
    }
    let tails = tails
    // Threads last: nobody would stop those of an attempt that failed.
    readers = WorkerPool(threadCount: 2)
    watch = TailWatch {
      let partitions = (0..<log.partitionCount).map {
        log.context.directory(of: log.snapshot(of: $0).log)
      }
      return log.context.fileSystem.watch([log.context.root] + partitions)
    } look: {
      do throws(CommitLogFailure) {
        _ = try log.refresh()
      } catch {
        // Nothing new is shown; the next look may.
        return tails.contains { $0.isAwaited }
      }
      // Also what another reader's refresh has found.
      for (partition, tail) in tails.enumerated() {
        tail.publish(log.snapshot(of: partition).highWatermark)
      }
      return tails.contains { $0.isAwaited }
    }
  }

  /// The log, and the checkpoints as they were before it was read.
  static func open(
    _ root: FilePath, _ environment: EngineEnvironment
  ) throws(CommitLogFailure) -> (LogFollower, CheckpointTable) {
    var table = CheckpointTable()
    let log = try LogFollower.open(at: root, environment: environment) {
      (storeID) throws(CommitLogFailure) in
      do throws(CheckpointFailure) {
        table = try readCheckpoints(root, storeID, environment.fileSystem)
        return table.highest
      } catch {
        throw CommitLogFailure(error)
      }
    }
    return (log, table)
  }

  private static func readCheckpoints(
    _ root: FilePath, _ storeID: StoreID, _ fileSystem: any FileSystem
  ) throws(CheckpointFailure) -> CheckpointTable {
    try CheckpointImage.read(root: root, storeID: storeID, fileSystem: fileSystem).table
  }

  deinit { close() }

  func close() {
    watch.stop()
    for tail in tails { tail.close() }
    readers.stop()
  }

  var partitionCount: Int { log.partitionCount }
  var mappings: MappingCache { log.mappings }
  var fileSystem: any FileSystem { log.context.fileSystem }

  func snapshot(of partition: Int) -> LogSnapshot { log.snapshot(of: partition) }

  /// The consumer groups as they were when somebody last looked.
  var checkpoints: CheckpointTable { table.withLock { $0 } }

  func refresh() throws(EventStoreError) {
    do throws(CommitLogFailure) {
      _ = try log.refresh()
    } catch {
      throw EventStoreError(error)
    }
    do throws(CheckpointFailure) {
      let fresh = try Self.readCheckpoints(
        log.context.root, log.context.storeID, log.context.fileSystem)
      table.withLock { $0 = fresh }
    } catch {
      throw EventStoreError(error)
    }
  }

  var renewal: (@Sendable () throws(CommitLogFailure) -> Void)? {
    let log = log
    return { () throws(CommitLogFailure) in _ = try log.refresh() }
  }

  func waitForMore(in partition: Int, beyond number: UInt64) async -> Bool {
    await tails[partition].wait(beyond: number) { [watch] in watch.wake() }
  }
}
