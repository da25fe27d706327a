internal import CommitLog
internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

extension ModelRun {
  func write(_ operation: ModelOperation) throws {
    switch operation {
    case .append(let partition, let count, let size, let devices, let step):
      clock.move(by: step)
      if step < 0 { coverage.note(.clockStepsBack) }
      try append(count, size: size, DeviceMask(bits: devices), to: index(partition))
    case .synchronize(let partition):
      let partition = index(partition)
      let durable = try log(partition).synchronize()
      try noteAllDurable(partition, durable)
    case .mark(let partition):
      let partition = index(partition)
      try log(partition).writeMark()
      let owed = model.partitions[partition]
      if owed.durable == owed.end { model.partitions[partition].proven = owed.durable }
    case .roll(let partition):
      let partition = index(partition)
      try log(partition).sealActive()
      coverage.note(.rolls)
      try noteAllDurable(partition, try log(partition).highWatermark)
    default: preconditionFailure("\(operation) writes nothing")
    }
  }

  private func append(
    _ count: Int, size: Int, _ mask: DeviceMask, to partition: Int
  ) throws {
    let log = try log(partition)
    let lastTime = log.lastTime?.microseconds
    let start = model.partitions[partition].end
    try check(
      lastTime == model.partitions[partition].lastTime,
      "p\(partition)'s last time is \(String(describing: lastTime)), not "
        + "\(String(describing: model.partitions[partition].lastTime))")
    let devices = mask.devices.filter { $0 < ModelEvent.deviceCount }
    let batch = BatchEncoder(targetSize: 4 << 10)
    for _ in 0..<count {
      let serial = nextSerial()
      let spread = Int(truncatingIfNeeded: (serial &* 0x9e37_79b9) >> 7 & 0xffff)
      let event = ModelEvent(
        serial: serial, device: devices.isEmpty ? 0 : devices[spread % devices.count],
        size: spread % (size + 1), time: max(clock.now.microseconds, lastTime ?? .min))
      event.append(to: batch)
      model.partitions[partition].events.append(event)
    }
    let next = try log.write(batch)
    let end = model.partitions[partition].end
    try check(next == UInt64(end), "p\(partition) goes on at \(next), not at \(end)")
    model.partitions[partition].written = end
    // A roll on the way has made durable what was written before.
    let watermark = Int(log.highWatermark)
    try check(
      watermark == model.partitions[partition].durable || watermark == start,
      "p\(partition)'s watermark is \(watermark) after a write at \(start)")
    model.partitions[partition].durable = watermark
    model.partitions[partition].proven = watermark
  }

  private func noteAllDurable(_ partition: Int, _ durable: UInt64) throws {
    let end = model.partitions[partition].end
    try check(durable == UInt64(end), "p\(partition) is durable up to \(durable), not to \(end)")
    model.partitions[partition].durable = end
  }

  // MARK: Maintenance

  func maintain(_ operation: ModelOperation) throws {
    switch operation {
    case .merge(let partition):
      let hasMerged = try store.log.mergeSmallBatches(in: try log(index(partition)))
      coverage.note(.merges, hasMerged ? 1 : 0)
    case .writeFooter(let partition):
      let hasWritten = try store.log.writeMissingFooter(in: try log(index(partition)))
      coverage.note(.footers, hasWritten ? 1 : 0)
    case .maintain:
      try store.log.maintain { false }
      try checkFiles()
    case .loseDerived(let partition, let place):
      let log = try log(index(partition))
      let folder = try store.log.context.directory(of: log.id)
      let names = try fileSystem.list(folder).map(\.name).filter { FileNames.isDerived($0) }
      guard !names.isEmpty else { return }
      try fileSystem.remove(folder.appending(names[place % names.count]))
    default: preconditionFailure("\(operation) maintains nothing")
    }
  }

  /// No file of a segment is left that is no part of the store any more.
  func checkFiles() throws {
    for log in try store.log.partitions {
      let folder = try store.log.context.directory(of: log.id)
      let found = try fileSystem.list(folder).map(\.name).filter {
        $0.hasSuffix(FileNames.segmentSuffix)
      }
      let named = log.snapshot.segments.compactMap { $0.path.lastComponent?.string }
      try check(
        found.sorted() == named.sorted(), "\(folder) holds \(found), not \(named)")
    }
  }
}
