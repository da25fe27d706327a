internal import CommitLog
internal import ConsumerCheckpoints
package import EventModel
internal import LogFormat
package import StorageIO
package import SystemPackage

/// A store of a few KiB with a bit of everything: sealed and active segments, every codec, several
/// openings, consumer groups, all kinds of properties.
///
/// The engine writes it, in memory and always with the same events, so that tests may damage every
/// byte of it and golden files show what a version wrote.
package struct CanonicalStore: Sendable {
  /// How the last writer left the store.
  package enum Ending: String, CaseIterable, Sendable {
    case closed
    /// Killed after a sync: nothing in the files says that it returned.
    case killed
    /// Killed when it had been idle: marks say what is durable.
    case killedIdle
    /// Killed with events that were written and not synced.
    case killedWriting
  }

  package static let root: FilePath = "/store"
  package static let groups: [GroupName] = ["alerts", "billing"]
  package static let partitionCount = 2

  package private(set) var files: [FilePath: [UInt8]]
  /// The same files; never written to.
  private var disk: MemoryFileSystem
  /// Every event that was written, by partition and number.
  package let events: [[Event]]
  /// How many of them were acknowledged as durable.
  package let acknowledged: [Int]

  /// Lets the engine write the store.
  ///
  /// - Parameters:
  ///   - ending: how the last writer leaves it.
  ///   - variant: which store; another one has other codecs in its segments and other events.
  ///   - word: what the bodies say; another one of the same length makes other events of them.
  /// - Throws: what the engine throws.
  package init(_ ending: Ending, variant: Int = 0, saying word: String = "reading") throws {
    let fileSystem = MemoryFileSystem()
    let plan = CanonicalPlan(variant: variant)
    var writer = try CanonicalWriter(fileSystem, plan, word)
    for (number, opening) in plan.openings.enumerated() {
      if number > 0 { try writer.close() }
      try writer.open(opening.codec)
      for _ in 0..<opening.batchCounts[0] { try writer.append(to: 0) }
      try writer.commit(Self.groups[min(number, 1)])
      for _ in 0..<opening.batchCounts[1] { try writer.append(to: 1) }
    }
    switch ending {
    case .closed: try writer.close()
    case .killed: break
    case .killedIdle: try writer.mark()
    case .killedWriting:
      for partition in [0, 1, 1] { try writer.append(to: partition, isSynced: false) }
    }
    files = fileSystem.image
    disk = fileSystem.copy()
    events = writer.events
    acknowledged = writer.acknowledged
  }

  /// The same store with another content of one file; nil removes it.
  package func replacing(_ path: FilePath, by bytes: [UInt8]?) -> CanonicalStore {
    var store = self
    store.files[path] = bytes
    store.disk = disk.replacing(path, by: bytes)
    return store
  }

  package var directories: [FilePath] { disk.directories }

  /// The files of the store, for readers and writers.
  package var fileSystem: MemoryFileSystem { disk.copy() }

  /// Whether a file system holds what the store does.
  package func isUntouched(on fileSystem: MemoryFileSystem) -> Bool { fileSystem.isSame(as: disk) }

  /// What the engine takes from outside when the store is opened again.
  package static func environment(
    _ fileSystem: any FileSystem, seed: UInt64 = 1
  ) -> EngineEnvironment {
    SimulatedStore.environment(fileSystem, seed: seed)
  }
}

/// What is written to a ``CanonicalStore``.
private struct CanonicalPlan {
  let variant: Int
  /// What each writer compresses with, and its batches by partition.
  let openings: [(codec: CompressionCodec, batchCounts: [Int])]
  let segmentSize: Int
  /// Whether sealed segments get their footers.
  var writesFooters: Bool { variant > 0 }

  /// The first has its fixed place in golden files and holds a bit of everything; the others are
  /// small, so that many of them are soon looked through.
  init(variant: Int) {
    self.variant = variant
    guard variant > 0 else {
      openings = [(.lz4, [7, 2]), (.zstd, [3, 1]), (.none, [1, 1])]
      segmentSize = 2_000
      return
    }
    var random = SeededRandom(seed: UInt64(variant))
    let codecs = [CompressionCodec.lz4, .zstd, .none].shuffled(using: &random)
    openings = codecs.prefix(2).map { ($0, [1 + random.below(2), 1 + random.below(2)]) }
    segmentSize = 700 + random.below(600)
  }
}

/// Writes the events of a ``CanonicalStore``.
private struct CanonicalWriter {
  private let fileSystem: MemoryFileSystem
  private let environment: EngineEnvironment
  private var log: CommitLog?
  private var checkpoints: CheckpointLog?
  private(set) var events: [[Event]] = [[], []]
  private(set) var acknowledged = [0, 0]
  private let devices: [[EventModel.DeviceID]]
  private let plan: CanonicalPlan
  private let word: String

  init(
    _ fileSystem: MemoryFileSystem, _ plan: CanonicalPlan, _ word: String
  ) throws(CommitLogFailure) {
    (self.fileSystem, self.plan, self.word) = (fileSystem, plan, word)
    environment = CanonicalStore.environment(fileSystem, seed: UInt64(plan.variant) + 1)
    let names = plan.variant * 20..<(plan.variant + 1) * 20
    devices = (0..<CanonicalStore.partitionCount).map { partition in
      names.map { EventModel.DeviceID(stringLiteral: "meter-\($0)") }.filter {
        PartitionID(of: $0, partitionCount: CanonicalStore.partitionCount).number == partition
      }
    }
    try CommitLog.create(
      at: CanonicalStore.root, partitionCount: CanonicalStore.partitionCount,
      configuration: ManifestEdit.StoredConfiguration(
        codec: .lz4, segmentSize: UInt64(plan.segmentSize), batchSize: 4 << 10),
      environment: environment)
  }

  mutating func open(_ codec: CompressionCodec) throws {
    var image: CheckpointImage?
    let opened = try CommitLog.open(
      at: CanonicalStore.root, environment: environment, choices: .init(codec: codec)
    ) { (manifest) throws(CommitLogFailure) in
      do throws(CheckpointFailure) {
        let read = try CheckpointImage.read(
          root: CanonicalStore.root, storeID: manifest.header.storeID,
          witness: manifest.state.checkpointWitness, fileSystem: fileSystem)
        image = read
        return read.table.highest
      } catch {
        preconditionFailure("the checkpoints cannot be read: \(error)")
      }
    }
    log = opened
    if plan.writesFooters { try writeFooters(opened) }
    if let image {
      checkpoints = try CheckpointLog(
        image, root: CanonicalStore.root, storeID: opened.context.storeID,
        environment: environment
      ) { () throws(IOFailure) in try opened.manifest.noteReplacing() }
    }
  }

  private func writeFooters(_ log: CommitLog) throws(CommitLogFailure) {
    for partition in log.partitions {
      try partition.findMissingFooters()
      while try partition.writeMissingFooter(log.mappings) {}
    }
  }

  /// Appends one batch of three events.
  mutating func append(to partition: Int, isSynced: Bool = true) throws(CommitLogFailure) {
    guard let log = log?.partitions[partition] else { return }
    let batch = BatchEncoder(targetSize: 4 << 10)
    for _ in 0..<3 {
      let event = event(events[partition].count, in: partition)
      let time = event.enqueuedTime?.microseconds ?? 0
      event.body.withBytes { body in
        _ = batch.append(from: event.deviceID, body: body, properties: event.properties, at: time)
      }
      batch.setSystemProperties(event.systemProperties)
      events[partition].append(event)
    }
    _ = try log.write(batch)
    if isSynced { _ = try log.synchronize() }
    acknowledged[partition] = Int(log.highWatermark)
  }

  private func event(_ count: Int, in partition: Int) -> Event {
    // What an event has its number says; another variant begins elsewhere.
    let number = count + plan.variant
    let text = (0..<number % 4 * 4).map { "\(word) \($0) of \(number)" }.joined(separator: ", ")
    var event = Event(
      from: devices[partition][number % 3], body: Payload(text + "!"),
      contentType: number % 3 == 0 ? "text/plain" : nil,
      messageID: number % 2 == 0 ? MessageID(stringLiteral: "m-\(partition)-\(number)") : nil,
      properties: number % 4 == 1 ? ["site": "plant-7", "line": "ü"] : .empty,
      enqueuedTime: environment.now())
    if number % 5 == 0 { event.systemProperties[.userID] = "user" }
    return event
  }

  /// Commits a checkpoint behind the third event of partition 0.
  func commit(_ group: GroupName) throws(CheckpointFailure) {
    let time = environment.now()
    try checkpoints?.commit([
      .groupCreated(group, at: time),
      .checkpoint(.init(group: group, partition: 0, next: 3, ownerEpoch: 0, time: time)),
    ])
  }

  func mark() throws(CommitLogFailure) {
    for partition in log?.partitions ?? [] { try partition.writeMark() }
  }

  mutating func close() throws(CommitLogFailure) {
    try log?.close(checkpoints: checkpoints?.closingEnd)
    (log, checkpoints) = (nil, nil)
  }
}
