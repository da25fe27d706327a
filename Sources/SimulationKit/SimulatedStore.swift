internal import BlockCompression
package import CommitLog
package import ConsumerCheckpoints
package import EventModel
internal import LogFormat
package import StorageIO
internal import Synchronization
package import SystemPackage

/// The engine on a simulated disk, with a clock and a random source that the seed determines.
package final class SimulatedStore {
  package static let root: FilePath = "/store"
  package static let group: GroupName = "workers"

  package let log: CommitLog
  package let checkpoints: CheckpointLog

  private init(_ log: CommitLog, _ checkpoints: CheckpointLog) {
    self.log = log
    self.checkpoints = checkpoints
  }

  /// What the engine takes from outside.
  package static func environment(_ disk: any FileSystem, seed: UInt64) -> EngineEnvironment {
    let random = Mutex(SeededRandom(seed: seed))
    let clock = Mutex<Int64>(1_700_000_000_000_000)
    return EngineEnvironment(
      fileSystem: disk,
      now: {
        clock.withLock { time in
          time += 1_000
          return Timestamp(microseconds: time)
        }
      },
      random: { random.withLock { $0.next() } })
  }

  package static func create(
    on disk: any FileSystem, partitionCount: Int, seed: UInt64
  ) throws(CommitLogFailure) {
    try CommitLog.create(
      at: root, partitionCount: partitionCount,
      configuration: ManifestEdit.StoredConfiguration(
        codec: .lz4, segmentSize: 64 << 10, batchSize: 4 << 10),
      environment: environment(disk, seed: seed))
  }

  package static func open(
    on disk: any FileSystem, segmentSize: Int, seed: UInt64
  ) throws(CommitLogFailure) -> SimulatedStore {
    try open(
      in: environment(disk, seed: seed),
      choices: CommitLog.Choices(
        codec: seed % 3 == 0 ? CompressionCodec.none : .lz4, segmentSize: segmentSize))
  }

  /// Opens the store as its owner does: the lock, the checkpoints, then the log.
  package static func open(
    in environment: EngineEnvironment, choices: CommitLog.Choices
  ) throws(CommitLogFailure) -> SimulatedStore {
    var image: CheckpointImage?
    let log = try CommitLog.open(at: root, environment: environment, choices: choices) {
      (manifest) throws(CommitLogFailure) in
      do throws(CheckpointFailure) {
        let read = try CheckpointImage.read(
          root: root, storeID: manifest.header.storeID,
          witness: manifest.state.checkpointWitness, fileSystem: environment.fileSystem)
        image = read
        return read.table.highest
      } catch {
        throw failure(error)
      }
    }
    guard let image else { preconditionFailure("the checkpoints were not read") }
    do throws(CheckpointFailure) {
      let checkpoints = try CheckpointLog(
        image, root: root, storeID: log.context.storeID, environment: environment
      ) { () throws(IOFailure) in try log.manifest.noteReplacing() }
      return SimulatedStore(log, checkpoints)
    } catch {
      throw failure(error)
    }
  }

  /// Closes the store as its owner does.
  package func close() throws(CommitLogFailure) {
    try log.close(checkpoints: checkpoints.closingEnd)
  }

  static func failure(_ failure: CheckpointFailure) -> CommitLogFailure {
    switch failure {
    case .io(let cause): .io(cause)
    case .poisoned(let cause): .poisoned(cause)
    case .format(let path, let position, let error):
      .format(path, position: position, error)
    }
  }

  /// Hands events to the operating system as one batch.
  package func append(
    _ serials: some Sequence<UInt64>, to partition: Int
  ) throws(CommitLogFailure) {
    let batch = BatchEncoder(targetSize: 4 << 10)
    for serial in serials {
      let time = max(log.context.environment.now(), log.partitions[partition].lastTime ?? .zero)
      SimulatedEvents.append(serial, to: batch, at: time.microseconds)
    }
    _ = try log.partitions[partition].write(batch)
  }

  package func commit(_ number: UInt64, in partition: UInt32) throws(CommitLogFailure) {
    do throws(CheckpointFailure) {
      try checkpoints.commit([
        .checkpoint(
          CheckpointEntry.GroupCheckpoint(
            group: Self.group, partition: partition, next: number, ownerEpoch: 0,
            time: log.context.environment.now()))
      ])
    } catch {
      throw Self.failure(error)
    }
  }

  /// Everything a reader sees of a partition: serial numbers, and what else it met.
  package func read(_ partition: Int) throws(CommitLogFailure) -> PartitionContents {
    let source = log.partitions[partition]
    let cursor = BatchCursor(
      from: 0, mappings: log.mappings, fileSystem: log.context.fileSystem
    ) { source.snapshot }
    return try PartitionContents(cursor)
  }
}

extension Timestamp {
  fileprivate static let zero = Timestamp(microseconds: 0)
}

/// What reading a partition from its beginning gave.
package struct PartitionContents: Hashable, Sendable {
  package private(set) var serials: [UInt64] = []
  package private(set) var gaps: [Gap] = []
  /// The first event that is not what was appended, as its number.
  package private(set) var wrong: UInt64?

  package init(_ cursor: BatchCursor) throws(CommitLogFailure) {
    let decompressor = BatchDecompressor()
    var lastTime = Timestamp(microseconds: .min)
    while let item = try cursor.read() {
      switch item {
      case .gap(let gap): gaps.append(gap)
      case .batch(let stored, let first):
        let batch: DecodedBatch
        do throws(FormatError) {
          batch = try stored.decode(with: decompressor)
        } catch {
          wrong = wrong ?? stored.header.baseNumber
          continue
        }
        for index in first..<batch.count {
          let number = batch.baseOffset + UInt64(index)
          guard let serial = SimulatedEvents.serial(of: batch, at: index),
            batch.time(at: index) >= lastTime
          else {
            wrong = wrong ?? number
            continue
          }
          lastTime = batch.time(at: index)
          serials.append(serial)
        }
      }
    }
  }
}
