import CommitLog
import ConsumerCheckpoints
import EventModel
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage

/// What a reader showed of a store: events by partition and number, and the numbers it called lost.
struct Seen: Equatable {
  var events: [[UInt64: Event]] = [[:], [:]]
  var lost: [Set<UInt64>] = [[], []]
  var possiblyAcknowledged: [Set<UInt64>] = [[], []]

  mutating func add(_ batch: DecodedBatch, from first: Int, in partition: Int) {
    for index in first..<batch.count {
      var event = Event(
        from: batch.withDeviceID(at: index) { EventModel.DeviceID(stringLiteral: Self.text($0)) },
        body: batch.withBody(at: index) { Payload(copying: $0) },
        properties: batch.properties(at: index), enqueuedTime: batch.time(at: index))
      event.systemProperties = batch.systemProperties(at: index)
      events[partition][batch.baseOffset + UInt64(index)] = event
    }
  }

  private static func text(_ bytes: RawSpan) -> String {
    bytes.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
  }
}

/// The engine itself, as a writer or as a reader beside one.
enum Engine {
  struct Opened {
    let log: CommitLog
    let checkpoints: CheckpointImage

    var reports: [RecoveryReport] { log.partitions.map(\.report) }

    /// Takes the checkpoint file over for writing.
    func committer() throws(CommitLogFailure) -> CheckpointLog {
      do throws(CheckpointFailure) {
        return try CheckpointLog(
          checkpoints, root: CanonicalStore.root, storeID: log.context.storeID,
          environment: log.context.environment
        ) { [log] () throws(IOFailure) in try log.manifest.noteReplacing() }
      } catch {
        throw Engine.failure(error)
      }
    }
  }

  static func open(_ fileSystem: any FileSystem, seed: UInt64) throws(CommitLogFailure) -> Opened {
    var image: CheckpointImage?
    let log = try CommitLog.open(
      at: CanonicalStore.root, environment: CanonicalStore.environment(fileSystem, seed: seed)
    ) { (manifest) throws(CommitLogFailure) in
      let read = try checkpoints(fileSystem, manifest)
      image = read
      return read.table.highest
    }
    guard let image else { preconditionFailure("the checkpoints were not read") }
    return Opened(log: log, checkpoints: image)
  }

  private static func checkpoints(
    _ fileSystem: any FileSystem, _ manifest: ManifestImage
  ) throws(CommitLogFailure) -> CheckpointImage {
    do throws(CheckpointFailure) {
      return try CheckpointImage.read(
        root: CanonicalStore.root, storeID: manifest.header.storeID,
        witness: manifest.state.checkpointWitness, fileSystem: fileSystem)
    } catch {
      throw failure(error)
    }
  }

  static func failure(_ failure: CheckpointFailure) -> CommitLogFailure {
    switch failure {
    case .io(let cause): CommitLogFailure(cause)
    case .poisoned(let cause): .poisoned(cause)
    case .format(let path, let position, let error): .format(path, position: position, error)
    }
  }

  static func read(_ opened: Opened) throws -> Seen {
    var seen = Seen()
    for (number, partition) in opened.log.partitions.enumerated() {
      let cursor = BatchCursor(
        from: 0, mappings: opened.log.mappings, fileSystem: opened.log.context.fileSystem
      ) { partition.snapshot }
      try read(cursor, number, into: &seen)
      seen.possiblyAcknowledged[number] = Set(partition.report.possiblyAcknowledged ?? 0..<0)
    }
    return seen
  }

  static func readOnly(_ fileSystem: any FileSystem) throws -> Seen {
    let follower = try follow(fileSystem)
    var seen = Seen()
    for number in 0..<follower.partitionCount {
      let cursor = BatchCursor(
        from: 0, mappings: follower.mappings, fileSystem: fileSystem
      ) { follower.snapshot(of: number) }
      try read(cursor, number, into: &seen)
      seen.possiblyAcknowledged[number] =
        Set(follower.report(of: number).possiblyAcknowledged ?? 0..<0)
    }
    return seen
  }

  /// The numbers of a device's events, as a reader finds them that asks for this device only: in
  /// sealed segments by their footers.
  static func numbers(
    of device: EventModel.DeviceID, in partition: Int, _ fileSystem: any FileSystem
  ) throws -> Set<UInt64> {
    let opened = try follow(fileSystem)
    let cursor = BatchCursor(
      from: 0, of: DeviceFilter([device]), mappings: opened.mappings, fileSystem: fileSystem
    ) { opened.snapshot(of: partition) }
    var seen = Seen()
    try read(cursor, partition, into: &seen)
    return Set(seen.events[partition].filter { $0.value.deviceID == device }.keys)
  }

  private static func follow(_ fileSystem: any FileSystem) throws -> LogFollower {
    try LogFollower.open(
      at: CanonicalStore.root, environment: CanonicalStore.environment(fileSystem, seed: 99)
    ) { (manifest) throws(CommitLogFailure) in
      try checkpoints(fileSystem, manifest).table.highest
    }
  }

  private static func read(_ cursor: BatchCursor, _ partition: Int, into seen: inout Seen) throws {
    let decompressor = BatchDecompressor()
    while let item = try cursor.read() {
      switch item {
      case .gap(let gap): seen.lost[partition].formUnion(gap.first.value..<gap.next.value)
      case .batch(let stored, let first):
        seen.add(try stored.decode(with: decompressor), from: first, in: partition)
      }
    }
  }

  /// Appends an event to a partition and returns its number.
  static func append(_ event: Event, to partition: PartitionLog) throws -> UInt64 {
    let batch = BatchEncoder(targetSize: 4 << 10)
    let time = event.enqueuedTime?.microseconds ?? 0
    event.body.withBytes { body in
      _ = batch.append(from: event.deviceID, body: body, properties: event.properties, at: time)
    }
    let next = try partition.write(batch)
    _ = try partition.synchronize()
    return next - 1
  }
}

/// Inspection: what `dump` shows and `fsck` finds.
enum Inspection {
  static func dump(_ fileSystem: any FileSystem) throws -> (seen: Seen, damages: [Damage]) {
    var seen = Seen()
    var damages: [Damage] = []
    try StoreInspector(CanonicalStore.root, fileSystem: fileSystem).walk { item in
      switch item {
      case .record(let record):
        var event = Event(
          from: EventModel.DeviceID(stringLiteral: record.deviceID), body: record.body,
          properties: record.properties, enqueuedTime: record.enqueuedTime)
        event.systemProperties = record.systemProperties
        seen.events[Int(record.partition)][record.sequenceNumber] = event
      case .damage(let damage): damages.append(damage)
      default: break
      }
      return .goOn
    }
    return (seen, damages)
  }

  static func lost(_ findings: [FsckFinding]) -> [Set<UInt64>] {
    findings.compactMap(\.acknowledgedLoss).reduce(into: [[], []]) { lost, loss in
      lost[Int(loss.partition)].formUnion(loss.firstSequence..<loss.nextSequence)
    }
  }
}
