internal import CommitLog
internal import EventModel
internal import LogFormat

/// How far a reader has come in a partition, compared with the model at every step.
struct ModelProgress {
  let partition: Int
  let devices: DeviceMask
  /// Everything below was met, was of other devices, or was said to be gone.
  var next: Int
  /// The first number that the reader must not see yet.
  var limit: Int
  /// The first number that was not asked for.
  let end: Int

  /// Reads everything that was asked for.
  mutating func readAll(_ cursor: BatchCursor, _ model: StoreModel) throws {
    let first = min(model.partitions[partition].first, limit)
    let owesNotice = next < first && next < end
    var gapCount = 0
    while next < end, cursor.next < end {
      guard let item = try cursor.read() else { break }
      if case .gap = item { gapCount += 1 }
      try take(item, model)
    }
    guard gapCount == (owesNotice ? 1 : 0) else {
      throw ModelViolation("p\(partition) shows \(gapCount) gaps before \(first)")
    }
    try finish(model)
  }

  mutating func take(_ item: CursorItem, _ model: StoreModel) throws {
    switch item {
    case .gap(let gap): try take(gap, model)
    case .batch(let stored, let first):
      try take(try stored.decode(with: BatchDecompressor()), from: first, model)
    }
  }

  /// The only events that may be missing are those that retention let go: all of them at once.
  private mutating func take(_ gap: Gap, _ model: StoreModel) throws {
    let first = model.partitions[partition].first
    guard gap.reason == .retired, gap.partition.number == partition,
      gap.first.value < gap.next.value,
      gap.next.value == UInt64(first), gap.count == gap.next.value - gap.first.value
    else { throw ModelViolation("\(gap), while p\(partition) begins at \(first)") }
    try pass(to: Int(gap.first.value), model)
    next = Int(gap.next.value)
  }

  private mutating func take(
    _ batch: DecodedBatch, from first: Int, _ model: StoreModel
  ) throws {
    let base = Int(batch.baseOffset)
    guard base + batch.count <= limit else {
      throw ModelViolation(
        "p\(partition) shows \(base + batch.count - 1), though its watermark is \(limit)")
    }
    var indexes = Array(first..<batch.count)
    if let filter = ModelRun.filter(devices) {
      indexes = batch.indexes(of: filter, in: first..<batch.count)
      guard first > 0 || !indexes.isEmpty else {
        throw ModelViolation("p\(partition)'s batch \(base) is of other devices")
      }
    }
    for index in indexes where base + index < end {
      let number = base + index
      try pass(to: number, model)
      let event = model.partitions[partition].events[number]
      if let difference = event.difference(from: batch, at: index) {
        throw ModelViolation("p\(partition)'s event \(number) has \(difference)")
      }
      guard devices.contains(event.device) else {
        throw ModelViolation("p\(partition)'s event \(number) was not asked for")
      }
      next = number + 1
    }
    try pass(to: min(end, base + batch.count), model)
  }

  /// Checks that no event up to a number was passed over.
  private mutating func pass(to number: Int, _ model: StoreModel) throws {
    guard number >= next else {
      throw ModelViolation("p\(partition) goes back from \(next) to \(number)")
    }
    if let missed = model.partitions[partition].first(of: devices, in: next..<number) {
      throw ModelViolation("p\(partition)'s event \(missed) is passed over")
    }
    next = number
  }

  /// Nothing more came: everything there is was met.
  mutating func finish(_ model: StoreModel) throws {
    let last = min(limit, end)
    if next < last { try pass(to: last, model) }
  }
}
