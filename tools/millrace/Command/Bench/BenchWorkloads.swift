import CommandSupport
import Millrace

/// What a store of one partition is put through.
struct BenchWorkloads: Sendable {
  static let groupSize = 1_000
  static let seekLength = 100

  let readings: BenchReadings
  let scale: BenchScale
  let folder: String

  /// What one run of one workload came to.
  struct Sample: Sendable {
    let rate: Double
    var latencies: [Double] = []
  }

  /// Runs everything once, in stores of its own.
  ///
  /// - Parameter run: the number of the run.
  /// - Returns: the samples, in the order of ``BenchWork``.
  /// - Throws: what the store throws, or a ``CommandFailure`` when it gives back something else
  ///   than it took.
  func samples(run: Int) async throws -> [BenchWork: Sample] {
    var samples: [BenchWork: Sample] = [:]
    let path = "\(folder)/events-\(run)"
    let store = try await open(path)
    samples[.append] = try await OwnThread.run { try append(to: store) }
    try await store.close()
    let filled = try await open(path)
    samples[.replay] = try await replay(filled)
    samples[.seek] = try await seek(in: filled)
    try await filled.close()

    let durable = try await open("\(folder)/durable-\(run)")
    samples[.durableGroups] = try await OwnThread.run {
      try appendDurably(to: durable, groupSize: Self.groupSize, count: readings.count / 4)
    }
    samples[.durableAppend] = try await OwnThread.run {
      try appendDurably(to: durable, groupSize: 1, count: scale.singleCount)
    }
    for (work, sample) in try await OwnThread.run({ try exchange(in: durable) }) {
      samples[work] = sample
    }
    try await durable.close()
    return samples
  }

  private func open(_ path: String) async throws(EventStoreError) -> EventStore {
    var configuration = EventStore.Configuration.command
    configuration.partitionCount = 1
    return try await EventStore.open(at: path, configuration: configuration)
  }

  // MARK: Events

  private func append(to store: EventStore) throws -> Sample {
    var appender = store.makeAppender()
    let seconds = try BenchClock.seconds {
      for index in 0..<readings.count { try readings.append(index, to: &appender) }
      try appender.synchronize()
    }
    return Sample(rate: Double(readings.count) / seconds)
  }

  private func appendDurably(
    to store: EventStore, groupSize: Int, count: Int
  ) throws -> Sample {
    var appender = store.makeAppender()
    return try timed(count / groupSize, of: groupSize) { turn in
      for index in turn * groupSize..<(turn + 1) * groupSize {
        try readings.append(index, to: &appender)
      }
      try appender.synchronize()
    }
  }

  private func replay(_ store: EventStore) async throws -> Sample {
    let start = ContinuousClock.now
    var (count, size) = (0, 0)
    for try await batch in store.batches(in: store.partitions[0], until: .highWatermark) {
      for event in batch { size += event.bodySize }
      count += batch.count
    }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    guard count == readings.count, size == readings.bodies.count else {
      throw CommandFailure("\(count) events of \(readings.count) came back; run `millrace fsck`")
    }
    return Sample(rate: Double(count) / seconds)
  }

  /// Goes to the time of some reading and reads a hundred from there, again and again.
  private func seek(in store: EventStore) async throws -> Sample {
    var latencies: [Double] = []
    let partition = store.partitions[0]
    let places = readings.count - Self.seekLength
    for turn in 0..<scale.seekCount {
      // A prime number of steps visits the readings in no order.
      let time = readings.times[turn * 7_919 % places]
      let start = ContinuousClock.now
      var (count, size) = (0, 0)
      let batches = store.batches(in: partition, from: .time(time), until: .highWatermark)
      for try await batch in batches {
        let events = batch.prefix(Self.seekLength - count)
        for event in events { size += event.bodySize }
        count += events.count
        if count == Self.seekLength { break }
      }
      latencies.append((ContinuousClock.now - start) / .seconds(1))
      guard count == Self.seekLength, size > 0 else {
        throw CommandFailure("\(count) events were found at \(TimeText.string(time))")
      }
    }
    return Sample(rate: Double(latencies.count) / latencies.reduce(0, +), latencies: latencies)
  }

  // MARK: Messages to devices

  /// Sends messages to devices and has them receive and complete them, alone and in groups.
  private func exchange(in store: EventStore) throws -> [BenchWork: Sample] {
    let queues = try store.makeBlockingQueues()
    let message = DeviceMessage(body: Payload([UInt8](repeating: 0x2e, count: 500)))
    let devices = readings.devices.prefix(scale.singleCount)
    let enqueue = try timed(devices.count) { try queues.enqueue(message, to: devices[$0]) }
    let complete = try timed(devices.count) { turn in
      for locked in try queues.receive(by: devices[turn], max: 1) {
        try queues.complete(locked.lockToken, of: devices[turn])
      }
    }
    let size = 100
    let groups = try timed(readings.devices.count / size, of: size) { turn in
      let group = readings.devices[turn * size..<(turn + 1) * size]
      if let refusal = try queues.enqueue(group.map { ($0, message) }).refusal { throw refusal }
    }
    return [.enqueue: enqueue, .complete: complete, .enqueueGroups: groups]
  }

  /// Times operations of so many units each.
  private func timed(
    _ count: Int, of size: Int = 1, _ operation: (Int) throws -> Void
  ) rethrows -> Sample {
    var latencies: [Double] = []
    for turn in 0..<count { latencies.append(try BenchClock.seconds { try operation(turn) }) }
    return Sample(
      rate: Double(count * size) / latencies.reduce(0, +), latencies: latencies)
  }
}

/// The workloads, in the order they are printed in.
enum BenchWork: String, CaseIterable, Sendable {
  case append
  case durableGroups
  case durableAppend
  case replay
  case seek
  case enqueueGroups
  case enqueue
  case complete

  var label: String {
    switch self {
    case .append: "append, one sync at the end"
    case .durableGroups: "append, a sync per \(BenchWorkloads.groupSize)"
    case .durableAppend: "append, a sync each"
    case .replay: "replay"
    case .seek: "seek a time and read \(BenchWorkloads.seekLength)"
    case .enqueueGroups: "queue: enqueue, a sync per 100"
    case .enqueue: "queue: enqueue, a sync each"
    case .complete: "queue: receive and complete, a sync each"
    }
  }

  var unit: String {
    switch self {
    case .append, .durableGroups, .durableAppend, .replay: "events"
    case .seek: "seeks"
    case .enqueueGroups, .enqueue, .complete: "messages"
    }
  }

  /// What the machine would allow if nothing else took time.
  func allowed(by limits: BenchLimits, eventSize: Int) -> (rate: Double, by: String)? {
    let size = Double(eventSize)
    switch self {
    case .append: return (limits.compression / size, "LZ4 on one core")
    case .durableGroups:
      let group = Double(BenchWorkloads.groupSize)
      return (1 / (size / limits.compression + 1 / limits.syncs / group), "LZ4, then a sync")
    case .replay: return (limits.decompression / size, "LZ4 on one core")
    case .durableAppend, .enqueue, .complete: return (limits.syncs, "syncs")
    case .enqueueGroups: return (limits.syncs * 100, "syncs")
    case .seek: return nil
    }
  }
}
