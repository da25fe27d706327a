/// What a manifest says is gone, for as many questions as there is damage.
package struct RecordedGaps {
  fileprivate struct Log {
    /// Numbers that are gone, ascending; between two of them some are there.
    var ranges: [Range<UInt64>] = []
    /// Where a frame without records is damaged.
    var places: Set<UInt64> = []
  }

  private var logs: [ManifestEdit.LogID: Log] = [:]

  package init(_ gaps: [ManifestEdit.RecordedGap]) {
    for gap in gaps.sorted(by: { $0.first < $1.first }) { insert(gap) }
  }

  package mutating func insert(_ gap: ManifestEdit.RecordedGap) {
    if gap.first < gap.next {
      logs[gap.log, default: Log()].insert(gap.first..<gap.next)
    } else {
      logs[gap.log, default: Log()].places.insert(gap.next)
    }
  }

  /// Whether these numbers of a log are known to be gone; of no numbers, whether damage before the
  /// one they stand at is known.
  package func cover(_ range: Range<UInt64>, of log: ManifestEdit.LogID) -> Bool {
    guard let log = logs[log] else { return false }
    guard !range.isEmpty else { return log.places.contains(range.upperBound) }
    let place = log.place { $0.upperBound > range.lowerBound }
    guard place < log.ranges.count else { return false }
    return log.ranges[place].lowerBound <= range.lowerBound
      && log.ranges[place].upperBound >= range.upperBound
  }
}

extension RecordedGaps.Log {
  /// The place of the first range that `matches`; those that do stand behind all that do not.
  fileprivate func place(where matches: (Range<UInt64>) -> Bool) -> Int {
    var (low, high) = (0, ranges.count)
    while low < high {
      let middle = (low + high) / 2
      if matches(ranges[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// Adds a range, and makes one of those that it touches.
  fileprivate mutating func insert(_ range: Range<UInt64>) {
    let first = place { $0.upperBound >= range.lowerBound }
    let end = place { $0.lowerBound > range.upperBound }
    let touched = ranges[first..<max(first, end)]
    let whole =
      min(
        range.lowerBound, touched.first?.lowerBound ?? range.lowerBound)..<max(
        range.upperBound, touched.last?.upperBound ?? range.upperBound)
    ranges.replaceSubrange(first..<max(first, end), with: CollectionOfOne(whole))
  }
}
