internal import StorageIO
internal import Synchronization

/// What a crash takes of the changes that were not synced.
package enum CrashStyle: String, Sendable, CaseIterable {
  /// A power loss that takes all of them.
  case dropAll
  /// A power loss that takes none.
  case keepAll
  /// A power loss at one moment: every change before it survives, none behind it.
  case prefix
  /// A power loss with a disk that reorders: each change survives, is torn at sectors or vanishes,
  /// and lengths may reach over bytes that were never written.
  case random
  /// The process was killed: what it wrote is there, and as far from durable as before.
  case processOnly
}

extension SimulatedDisk {
  /// The disk as it might be found after a crash now.
  ///
  /// It has no locks and no faults, and shares the bytes neither has touched with this one, which
  /// stays as it is.
  package func crashImage(
    using random: inout SeededRandom, _ style: CrashStyle
  ) -> SimulatedDisk {
    var state = state.withLock { $0 }
    state.locks = []
    state.faults = FaultProgress(.none)
    let number = random.next()
    // A generator of the image's own: how many numbers it takes does not shift those of the next.
    var own = SeededRandom(seed: number)
    switch style {
    case .processOnly: break
    case .dropAll: state.settle(through: .min)
    case .keepAll: state.settle(through: .max)
    case .prefix: state.settle(through: state.cut(using: &own))
    case .random: state.settle(using: &own)
    }
    return SimulatedDisk(state)
  }
}

extension SimulatedDisk.State {
  /// Keeps the unsynced changes up to one, whatever they are of.
  fileprivate mutating func settle(through sequence: Int) {
    let tree = names.contents(through: sequence)
    settle(tree) { $0.contents(through: sequence) }
  }

  /// Decides each unsynced change by itself; how many survive differs from image to image.
  fileprivate mutating func settle(using random: inout SeededRandom) {
    let percent = [10, 50, 50, 90][random.below(4)]
    let tree = names.contents(using: &random, keepingPercent: percent)
    let others = inodes.keys.sorted()
    let inodes = inodes
    settle(tree) { inode in
      let stale = inode.unsynced.isEmpty ? nil : inodes[others[random.below(others.count)]]
      return inode.contents(
        using: &random, keepingPercent: percent, stale: stale?.written ?? PagedBytes())
    }
  }

  /// Makes names and bytes durable as they are found, and forgets files without a name.
  private mutating func settle(
    _ tree: DirectoryTree, _ contents: (SimulatedInode) -> PagedBytes
  ) {
    var files: Set<Int> = []
    var reachable = DirectoryTree()
    reachable.directories[DirectoryTree.root] = tree.directories[DirectoryTree.root]
    for (_, entry) in tree.allPaths {
      switch entry {
      case .directory(let number): reachable.directories[number] = tree.directories[number] ?? [:]
      case .file(let number): files.insert(number)
      }
    }
    var survivors: [Int: SimulatedInode] = [:]
    for number in files.sorted() {
      survivors[number] = SimulatedInode(inodes[number].map(contents) ?? PagedBytes())
    }
    inodes = survivors
    names = EntryLog(reachable)
  }

  /// A random place in the order of what is unsynced, its two ends included.
  fileprivate func cut(using random: inout SeededRandom) -> Int {
    var places = names.unsynced.map(\.sequence)
    for inode in inodes.values { places.append(contentsOf: inode.unsynced.map(\.sequence)) }
    places.sort()
    places.insert(.min, at: 0)
    return places[random.below(places.count)]
  }
}
