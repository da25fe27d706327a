import Millrace

/// Events that are made durable and acknowledged together.
struct AckGroup: Sendable {
  /// An event and the line it came from.
  struct Entry: Sendable {
    let line: Int
    let position: LogPosition
  }

  /// The events in the order of their lines; empty where nobody wants to know.
  private(set) var entries: [Entry] = []
  /// The last event of each partition that has any.
  private(set) var ends: [PartitionID: Offset] = [:]
  /// The number of its events.
  private(set) var count = 0
  /// The bytes of their bodies.
  private(set) var size = 0

  var isEmpty: Bool { count == 0 }

  /// Adds an event; `keepsEntry` if it is to be named.
  mutating func add(_ position: LogPosition, line: Int, size: Int, keepsEntry: Bool) {
    count += 1
    self.size += size
    if keepsEntry { entries.append(Entry(line: line, position: position)) }
  }

  /// Sets the last events, when the group is complete.
  mutating func close(_ ends: [PartitionID: Offset]) { self.ends = ends }

  /// Takes in the groups that follow.
  mutating func merge(_ others: some Sequence<AckGroup>) {
    for other in others {
      entries += other.entries
      count += other.count
      size += other.size
      ends.merge(other.ends) { max($0, $1) }
    }
  }
}
