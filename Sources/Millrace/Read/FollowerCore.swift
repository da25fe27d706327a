internal import CommitLog
internal import ConsumerCheckpoints
internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// A store that is open for reading only, beside a process that writes or without one.
final class FollowerCore: ReadSource {
  let log: LogFollower
  let checkpoints: CheckpointTable
  let readers: WorkerPool
  private let tails: [TailSignal]
  private let pacemaker = Pacemaker()

  /// Opens the store; blocks.
  init(
    at root: FilePath, environment: EngineEnvironment
  ) throws(EventStoreError) {
    do throws(CommitLogFailure) {
      log = try LogFollower.open(at: root, environment: environment)
    } catch {
      throw EventStoreError(error)
    }
    do throws(CheckpointFailure) {
      checkpoints = try CheckpointImage.read(
        root: root, storeID: log.context.storeID, fileSystem: environment.fileSystem
      ).table
    } catch {
      throw EventStoreError(error)
    }
    readers = WorkerPool(threadCount: 2)
    let log = log
    tails = (0..<log.partitionCount).map {
      TailSignal(highWatermark: log.snapshot(of: $0).highWatermark)
    }
    let tails = tails
    pacemaker.watch([
      {
        // A refresh that fails shows nothing new; the next one may.
        do throws(CommitLogFailure) {
          guard try log.refresh() else { return tails.contains { $0.isAwaited } }
        } catch {
          return tails.contains { $0.isAwaited }
        }
        for (partition, tail) in tails.enumerated() {
          tail.publish(log.snapshot(of: partition).highWatermark)
        }
        return tails.contains { $0.isAwaited }
      }
    ])
  }

  deinit { close() }

  func close() {
    pacemaker.stop()
    for tail in tails { tail.close() }
    readers.stop()
  }

  var partitionCount: Int { log.partitionCount }
  var mappings: MappingCache { log.mappings }
  var fileSystem: any FileSystem { log.context.fileSystem }

  func snapshot(of partition: Int) -> LogSnapshot { log.snapshot(of: partition) }

  func waitForMore(in partition: Int, beyond number: UInt64) async -> Bool {
    await tails[partition].wait(beyond: number) { [pacemaker] in pacemaker.wake() }
  }
}
