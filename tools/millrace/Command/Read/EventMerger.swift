import Millrace

/// Events of a batch that are not printed yet.
struct EventRun {
  let batch: EventBatch
  var index: Int
  let end: Int

  /// The events of a batch below an offset; nil if there are none.
  init?(_ batch: EventBatch, below limit: Offset?) {
    self.batch = batch
    index = batch.startIndex
    var end = batch.endIndex
    // Of some devices' events the offsets have holes.
    if let limit, batch.offsets.upperBound > limit {
      var low = index
      while low < end {
        let middle = (low + end) / 2
        if batch[middle].position.offset < limit { low = middle + 1 } else { end = middle }
      }
    }
    self.end = end
    guard index < end else { return nil }
  }
}

/// Puts the events of several partitions in the order of their times, then partitions.
///
/// A heap of what comes next in each: many partitions cost little more than two.
struct EventMerger {
  /// What comes next in a partition.
  struct Head: Comparable {
    let time: Timestamp
    let slot: Int

    @inline(__always)
    static func < (left: Self, right: Self) -> Bool {
      left.time == right.time ? left.slot < right.slot : left.time < right.time
    }
  }

  /// Why printing stopped.
  enum Pause {
    /// A slot needs its next batch.
    case slotEnded(Int)
    /// Nothing is left in any slot.
    case exhausted
    /// Enough was printed.
    case enough
  }

  private var heads: [Head] = []
  private var runs: [EventRun?]

  /// Merges so many partitions; slots are numbered in their order.
  init(slotCount: Int) { runs = Array(repeating: nil, count: slotCount) }

  /// Fills a slot that is empty.
  mutating func add(_ run: EventRun, slot: Int) {
    runs[slot] = run
    heads.append(Head(time: run.batch[run.index].enqueuedTime, slot: slot))
    var child = heads.count - 1
    while child > 0, case let parent = (child - 1) / 2, heads[child] < heads[parent] {
      heads.swapAt(child, parent)
      child = parent
    }
  }

  /// Prints in order as far as it can.
  mutating func print(with printer: EventPrinter) throws -> Pause {
    while let top = heads.first {
      guard var run = runs[top.slot].take() else {
        preconditionFailure("slot \(top.slot) has a head and no events")
      }
      let outcome = try printer.print(&run, slot: top.slot, before: rival)
      switch outcome {
      case .enough: return .enough
      case .ended:
        removeTop()
        return .slotEnded(top.slot)
      case .pastEnd: removeTop()
      case .overtaken:
        heads[0] = Head(time: run.batch[run.index].enqueuedTime, slot: top.slot)
        runs[top.slot] = run
        siftDown()
      }
    }
    return .exhausted
  }

  /// What comes after the top's events.
  private var rival: Head? {
    switch heads.count {
    case ...1: nil
    case 2: heads[1]
    default: min(heads[1], heads[2])
    }
  }

  private mutating func removeTop() {
    heads.swapAt(0, heads.count - 1)
    heads.removeLast()
    siftDown()
  }

  private mutating func siftDown() {
    var parent = 0
    while true {
      var least = parent
      for child in 2 * parent + 1...2 * parent + 2
      where child < heads.count && heads[child] < heads[least] {
        least = child
      }
      guard least != parent else { return }
      heads.swapAt(parent, least)
      parent = least
    }
  }
}
