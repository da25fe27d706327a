internal import StorageIO

/// The names of a ``SimulatedDisk``: as they were written, as they are durable, and the changes
/// between the two in their order.
struct EntryLog: Sendable {
  /// Changes of one directory that reach the disk together or not at all.
  struct Operation: Sendable {
    let sequence: Int
    let directory: Int
    let changes: [(slot: DirectoryTree.Slot, entry: DirectoryTree.Entry?)]
    /// A name is taken from one directory only if this change gave it to another.
    let prerequisite: (directory: Int, sequence: Int)?
  }

  var written: DirectoryTree
  private(set) var durable: DirectoryTree
  private(set) var unsynced: [Operation] = []

  /// Names that are all durable.
  init(_ tree: DirectoryTree = DirectoryTree()) {
    written = tree
    durable = tree
  }

  /// Gives a name a meaning, or takes it away.
  mutating func set(_ slot: DirectoryTree.Slot, _ entry: DirectoryTree.Entry?, sequence: Int) {
    if case .directory(let number) = entry, written.directories[number] == nil {
      written.directories[number] = [:]
      durable.directories[number] = [:]
    }
    written.set(slot, entry)
    unsynced.append(
      Operation(
        sequence: sequence, directory: slot.directory, changes: [(slot, entry)],
        prerequisite: nil))
  }

  /// Takes two numbers of the order: `sequence` and the one behind it.
  mutating func rename(
    _ source: DirectoryTree.Slot, to target: DirectoryTree.Slot, sequence: Int
  ) {
    let entry = written.entry(at: source)
    written.set(target, entry)
    written.set(source, nil)
    if source.directory == target.directory {
      unsynced.append(
        Operation(
          sequence: sequence, directory: target.directory,
          changes: [(target, entry), (source, nil)], prerequisite: nil))
      return
    }
    unsynced.append(
      Operation(
        sequence: sequence, directory: target.directory, changes: [(target, entry)],
        prerequisite: nil))
    unsynced.append(
      Operation(
        sequence: sequence + 1, directory: source.directory, changes: [(source, nil)],
        prerequisite: (target.directory, sequence)))
  }

  /// Makes a directory's changes durable, up to one of them, with all that they depend on.
  mutating func synchronize(_ directory: Int, through sequence: Int = .max) {
    let settled = unsynced.filter { $0.directory == directory && $0.sequence <= sequence }
    guard !settled.isEmpty else { return }
    unsynced.removeAll { $0.directory == directory && $0.sequence <= sequence }
    for operation in settled {
      if let needed = operation.prerequisite {
        synchronize(needed.directory, through: needed.sequence)
      }
      Self.apply(operation, to: &durable)
    }
  }

  /// The names if the unsynced changes up to one had reached the disk, and none behind it.
  func contents(through sequence: Int) -> DirectoryTree {
    var result = durable
    for operation in unsynced where operation.sequence <= sequence {
      Self.apply(operation, to: &result)
    }
    return result
  }

  /// The names a power loss might leave: each unsynced change or not, but none of a name without
  /// those of the same name before it.
  func contents(using random: inout SeededRandom, keepingPercent percent: Int) -> DirectoryTree {
    var result = durable
    var blockedNames: Set<DirectoryTree.Slot> = []
    var dropped: Set<Int> = []
    for operation in unsynced {
      let isBlocked =
        operation.changes.contains { blockedNames.contains($0.slot) }
        || operation.prerequisite.map { dropped.contains($0.sequence) } ?? false
      if !isBlocked, random.chance(percent: percent) {
        Self.apply(operation, to: &result)
      } else {
        dropped.insert(operation.sequence)
        for change in operation.changes { blockedNames.insert(change.slot) }
      }
    }
    return result
  }

  private static func apply(_ operation: Operation, to tree: inout DirectoryTree) {
    for change in operation.changes { tree.set(change.slot, change.entry) }
  }
}
