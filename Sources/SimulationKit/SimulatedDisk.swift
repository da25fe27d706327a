internal import EventModel
internal import LogFormat
internal import StorageIO
internal import Synchronization
package import SystemPackage

/// A disk in memory that knows what a power loss may take: for every file and directory it keeps
/// what was written apart from what is durable (style 2.7).
///
/// Syncing a file makes its bytes and its length durable and not its name; syncing a directory
/// makes its names durable and not their files' bytes. Every mutating call has a running number, so
/// that a ``FaultPlan`` can let any of them fail or be the machine's last; reads have none.
package final class SimulatedDisk: FileSystem {
  struct State: Sendable {
    var names = EntryLog()
    var inodes: [Int: SimulatedInode] = [:]
    var faults = FaultProgress(.none)
    var locks: Set<Int> = []
    private var nextNumber = 1
    private(set) var sequence = 0

    mutating func newNumber() -> Int {
      defer { nextNumber += 1 }
      return nextNumber
    }

    /// Takes places in the order of unsynced changes and returns the first.
    mutating func takeSequence(_ count: Int = 1) -> Int {
      sequence += count
      return sequence - count + 1
    }

    /// The bytes that count against the capacity: those of every file with a name.
    var spaceTaken: Int {
      var files: Set<Int> = []
      for entries in names.written.directories.values {
        for case .file(let number) in entries.values { files.insert(number) }
      }
      return files.reduce(0) { $0 + (inodes[$1]?.spaceTaken ?? 0) }
    }
  }

  let state: Mutex<State>

  /// An empty disk.
  package init(_ plan: FaultPlan = .none) {
    var state = State()
    state.faults = FaultProgress(plan)
    self.state = Mutex(state)
  }

  /// A disk with these directories and files, all durable; directories above them are made.
  package init(
    files: [FilePath: [UInt8]], directories: [FilePath] = [], _ plan: FaultPlan = .none
  ) {
    var state = State()
    var tree = DirectoryTree()
    func makeDirectory(_ names: ArraySlice<String>) -> Int {
      var directory = DirectoryTree.root
      for name in names {
        let slot = DirectoryTree.Slot(directory: directory, name: name)
        if case .directory(let child) = tree.entry(at: slot) {
          directory = child
          continue
        }
        directory = state.newNumber()
        tree.directories[directory] = [:]
        tree.set(slot, .directory(directory))
      }
      return directory
    }
    for path in directories { _ = makeDirectory(DirectoryTree.names(of: path)[...]) }
    for (path, bytes) in files.sorted(by: { $0.key.string < $1.key.string }) {
      let names = DirectoryTree.names(of: path)
      guard let name = names.last else { preconditionFailure("a file without a name") }
      let directory = makeDirectory(names.dropLast())
      let number = state.newNumber()
      state.inodes[number] = SimulatedInode(PagedBytes(bytes))
      tree.set(.init(directory: directory, name: name), .file(number))
    }
    state.names = EntryLog(tree)
    state.faults = FaultProgress(plan)
    self.state = Mutex(state)
  }

  init(_ state: State) {
    self.state = Mutex(state)
  }

  /// How many mutating calls have begun.
  package var operationCount: Int { state.withLock { $0.faults.operationCount } }

  /// Whether the machine has died: every call fails.
  package var isDead: Bool { state.withLock { $0.faults.isDead } }

  /// How many calls plans have let fail.
  package var failureCount: Int { state.withLock { $0.faults.failureCount } }

  /// What goes wrong from now on.
  ///
  /// A new plan counts the calls of its triggers anew; operations keep
  /// their running number.
  package var plan: FaultPlan {
    get { state.withLock { $0.faults.plan } }
    set { state.withLock { $0.faults.plan = newValue } }
  }

  /// Whether a power loss could take anything.
  package var hasUnsyncedChanges: Bool {
    state.withLock { state in
      !state.names.unsynced.isEmpty || state.inodes.values.contains { !$0.unsynced.isEmpty }
    }
  }

  /// A copy of every file's bytes by path, as reads see them.
  package var image: [FilePath: [UInt8]] {
    state.withLock { state in
      Self.files(state.names.written, state.inodes).mapValues { $0.written.array }
    }
  }

  /// A copy of every file's bytes by path, as a power loss would certainly leave them.
  package var durableImage: [FilePath: [UInt8]] {
    state.withLock { state in
      Self.files(state.names.durable, state.inodes).mapValues { $0.durable.array }
    }
  }

  /// Every directory below the root, parents first.
  package var directories: [FilePath] {
    state.withLock { state in
      state.names.written.allPaths.filter { $0.entry.kind == .directory }.map(\.path)
    }
  }

  private static func files(
    _ tree: DirectoryTree, _ inodes: [Int: SimulatedInode]
  ) -> [FilePath: SimulatedInode] {
    var files: [FilePath: SimulatedInode] = [:]
    for case (let path, .file(let number)) in tree.allPaths { files[path] = inodes[number] }
    return files
  }

  /// A digest of the durable image, the same in every run: tells crash states apart.
  package func fingerprint() -> UInt64 {
    let (names, inodes) = state.withLock { ($0.names.durable, $0.inodes) }
    var content = ContentChecksum()
    var check: UInt32 = 0
    func add(_ bytes: [UInt8]) {
      // SAFETY: bytes have no padding, every one of them is initialised.
      let span = unsafe bytes.span.bytes
      content.add(span)
      check = CRC32C.checksum(span, seed: check)
    }
    for (path, entry) in names.allPaths {
      var bytes: [UInt8] = []
      if case .file(let number) = entry { bytes = inodes[number]?.durable.array ?? [] }
      add(Array("\(path) \(entry.kind) \(bytes.count)\n".utf8))
      add(bytes)
    }
    return UInt64(check) << 32 | UInt64(content.value)
  }
}
