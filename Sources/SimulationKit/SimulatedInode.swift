internal import StorageIO

/// A file of a ``SimulatedDisk``: what was written, what is durable, and what lies between them.
struct SimulatedInode: Sendable {
  /// A change that no successful sync has covered.
  struct Change: Sendable {
    enum Kind: Sendable {
      case write(position: Int, bytes: [UInt8])
      case resize(Int)
    }

    /// The place in the order of all unsynced changes of the disk.
    let sequence: Int
    let kind: Kind
  }

  /// What reads see.
  private(set) var written: PagedBytes
  /// What a power loss certainly leaves.
  private(set) var durable: PagedBytes
  private(set) var unsynced: [Change] = []
  /// Whether a failed sync took changes out of `unsynced` without making them durable.
  private var hasLostChanges = false
  private(set) var reserved = 0

  /// A file that is durable as it is.
  init(_ bytes: PagedBytes = PagedBytes()) {
    written = bytes
    durable = bytes
  }

  /// The space counted against the disk's capacity.
  var spaceTaken: Int { max(written.count, reserved) }

  mutating func write(_ bytes: [UInt8], at position: Int, sequence: Int) {
    guard !bytes.isEmpty else { return }
    written.write(bytes, at: position)
    unsynced.append(
      Change(sequence: sequence, kind: .write(position: position, bytes: bytes)))
  }

  mutating func resize(to size: Int, sequence: Int) {
    reserved = 0
    guard size != written.count else { return }
    written.resize(to: size)
    unsynced.append(Change(sequence: sequence, kind: .resize(size)))
  }

  mutating func reserve(_ size: Int) { reserved = max(reserved, size) }

  /// A successful sync.
  ///
  /// Changes that a failed one lost stay lost.
  mutating func synchronize() {
    guard !unsynced.isEmpty else { return }
    durable = contents(through: .max)
    unsynced = []
  }

  /// A failed sync, as Linux has it: the pages count as clean and will not be written again.
  mutating func loseUnsynced() {
    guard !unsynced.isEmpty else { return }
    hasLostChanges = true
    unsynced = []
  }

  /// The bytes if the unsynced changes up to one had reached the disk, and none behind it.
  func contents(through sequence: Int) -> PagedBytes {
    if !hasLostChanges, (unsynced.last?.sequence ?? .min) <= sequence { return written }
    var result = durable
    for change in unsynced where change.sequence <= sequence {
      switch change.kind {
      case .write(let position, let bytes): result.write(bytes, at: position)
      case .resize(let size): result.resize(to: size)
      }
    }
    return result
  }
}
