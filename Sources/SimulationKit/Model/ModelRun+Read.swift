internal import CommitLog
internal import ConsumerCheckpoints
internal import EventModel
internal import LogFormat

extension ModelRun {
  func read(_ operation: ModelOperation) throws {
    switch operation {
    case .read(let partition, let from):
      let partition = index(partition)
      try readAll(partition, from: number(from, in: partition))
    case .readRange(let partition, let from, let count):
      let partition = index(partition)
      let start = number(from, in: partition)
      try readAll(partition, from: start, until: start + count)
    case .readDevices(let partition, let from, let devices):
      let partition = index(partition)
      try readAll(
        partition, from: number(from, in: partition), of: DeviceMask(bits: devices))
    case .readFrom(let partition, let time):
      let partition = index(partition)
      let time = self.time(time, in: partition)
      try check(number(atOrAfter: time, in: partition), atOrAfter: time, partition)
    case .readLast(let partition, let device):
      try readLast(index(partition), device % (ModelEvent.deviceCount + 1))
    case .resume(let group, let partition):
      let partition = index(partition)
      let name = Self.groupNames[group % Self.groupNames.count]
      let next = try store.checkpoints.table.checkpoint(of: name, in: UInt32(partition))
      try readAll(partition, from: Int(next ?? 0))
    default: preconditionFailure("\(operation) reads nothing")
    }
  }

  /// A number to read from: mostly near what is kept, sometimes behind the end or long gone.
  func number(_ place: Int, in partition: Int) -> Int {
    let owed = model.partitions[partition]
    let choice = place / 8
    if place % 8 == 0 { return choice % (owed.first + 1) }
    return owed.first + choice % (owed.end - owed.first + 3)
  }

  /// A moment: mostly that of an event or one right beside it.
  private func time(_ place: Int, in partition: Int) -> Int64 {
    let owed = model.partitions[partition]
    let now = clock.now.microseconds
    guard place % 8 != 0, owed.end > 0 else { return now + Int64(place % 3 - 1) * 3_600_000_000 }
    return owed.events[number(place, in: partition) % owed.end].time + Int64(place % 3 - 1)
  }

  func number(atOrAfter time: Int64, in partition: Int) throws -> UInt64 {
    let log = try store.log
    return try TimeSearch.find(
      atOrAfter: Timestamp(microseconds: time), in: log.partitions[partition].snapshot,
      mappings: log.mappings, fileSystem: fileSystem
    ).start
  }

  func check(_ found: UInt64, atOrAfter time: Int64, _ partition: Int) throws {
    let owed = model.partitions[partition]
    let kept = min(owed.first, owed.durable)..<owed.durable
    let expected = kept.first { owed.events[$0].time >= time } ?? owed.durable
    try check(
      found == UInt64(expected),
      "p\(partition)'s first event at or after \(time) is \(found), not \(expected)")
  }

  private func readLast(_ partition: Int, _ device: Int) throws {
    let log = try store.log
    let found = try LastEvent.find(
      of: ModelEvent.devices[device], in: log.partitions[partition].snapshot,
      mappings: log.mappings, fileSystem: fileSystem)
    let owed = model.partitions[partition]
    let kept = min(owed.first, owed.durable)..<owed.durable
    let expected = kept.last { owed.events[$0].device == device }
    let number = found.map { Int($0.batch.baseOffset) + $0.index }
    try check(
      number == expected,
      "p\(partition)'s last event of device \(device) is \(String(describing: number)), not "
        + "\(String(describing: expected))")
    guard let found, let expected else { return }
    if let difference = owed.events[expected].difference(from: found.batch, at: found.index) {
      throw ModelViolation("p\(partition)'s event \(expected) has \(difference)")
    }
  }

  /// Reads with a new cursor from a number to an end, or to the watermark.
  func readAll(
    _ partition: Int, from start: Int, until end: Int = .max, of devices: DeviceMask = .all
  ) throws {
    let log = try store.log
    let source = log.partitions[partition]
    let cursor = BatchCursor(
      from: UInt64(start), of: Self.filter(devices), mappings: log.mappings, fileSystem: fileSystem
    ) { source.snapshot }
    var progress = ModelProgress(
      partition: partition, devices: devices, next: start,
      limit: model.partitions[partition].durable, end: end)
    try progress.readAll(cursor, model)
    let first = model.partitions[partition].first
    coverage.note(.retiredNotices, start < min(first, end) ? 1 : 0)
    coverage.note(.eventsRead, max(0, min(progress.next, end) - max(start, first)))
  }

  static func filter(_ devices: DeviceMask) -> DeviceFilter? {
    devices == .all ? nil : DeviceFilter(Set(devices.devices.map { ModelEvent.devices[$0] }))
  }

  // MARK: Readers that stay open

  func beginReader(in partition: Int, from place: Int, _ devices: Int?) {
    guard let log = openStore?.log else { return }
    let mask = devices.map { DeviceMask(bits: $0) } ?? .all
    // Mostly in the segment that retention lets go next.
    let isNearFirst = place % 4 > 0
    let start =
      isNearFirst ? model.partitions[partition].first + place % 8 : number(place, in: partition)
    let source = log.partitions[partition]
    let cursor = BatchCursor(
      from: UInt64(start), of: Self.filter(mask), mappings: log.mappings, fileSystem: fileSystem
    ) { source.snapshot }
    if readers.count == 3 { readers.removeFirst() }
    readers.append(
      ModelReader(
        cursor: cursor,
        progress: ModelProgress(
          partition: partition, devices: mask, next: start, limit: 0, end: .max)))
  }

  /// Reads some batches further; a segment that was begun is finished, whatever retention does.
  func advanceReader(_ count: Int) throws {
    guard !readers.isEmpty else { return }
    let place = count % readers.count
    var reader = readers[place]
    let partition = reader.progress.partition
    reader.progress.limit = model.partitions[partition].durable
    for _ in 0..<count {
      guard let item = try reader.cursor.read() else {
        try reader.progress.finish(model)
        break
      }
      if case .gap(let gap) = item, let begun = reader.begunUntil {
        try check(gap.first.value >= begun, "a reader does not finish the segment it has begun")
      }
      try reader.progress.take(item, model)
      if case .batch(let batch, _) = item {
        let isRetired = batch.header.baseNumber < UInt64(model.partitions[partition].first)
        coverage.note(.finishedRetired, isRetired ? 1 : 0)
      }
      coverage.note(.readers)
      reader.begunUntil = nil
      if case .batch(let batch, _) = item {
        let next = batch.header.nextNumber
        let segment = try log(partition).snapshot.segments.last { $0.baseNumber < next }
        reader.begunUntil = segment?.summary?.nextNumber
      }
    }
    readers[place] = reader
  }
}

/// A cursor that stays open from operation to operation.
struct ModelReader {
  let cursor: BatchCursor
  var progress: ModelProgress
  /// The end of the sealed segment that it is in the middle of.
  var begunUntil: UInt64?
}
