internal import Glibc
internal import Synchronization
package import SystemPackage

/// A whole file system in memory, for fast tests: the engine's and those of its users.
///
/// Everything written is as durable as the object is; what a crash would leave is the simulated
/// disk's subject. Names begin at the root, which exists; a relative path is taken from there.
package final class MemoryFileSystem: FileSystem {
  private struct State {
    var tree = DirectoryTree()
    var inodes: [Int: MemoryInode] = [:]
    var locks: Set<Int> = []
    var nextNumber = 1

    mutating func newNumber() -> Int {
      defer { nextNumber += 1 }
      return nextNumber
    }
  }

  private let state: Mutex<State>

  /// An empty file system.
  package init() {
    state = Mutex(State())
  }

  /// A file system with these directories and files; directories above them are made.
  package init(files: [FilePath: [UInt8]], directories: [FilePath] = []) {
    var state = State()
    for path in directories {
      _ = Self.makeDirectory(DirectoryTree.names(of: path)[...], in: &state)
    }
    for (path, bytes) in files {
      let names = DirectoryTree.names(of: path)
      guard let name = names.last else { preconditionFailure("a file without a name") }
      let directory = Self.makeDirectory(names.dropLast(), in: &state)
      let number = state.newNumber()
      state.inodes[number] = MemoryInode(PagedBytes(bytes))
      state.tree.set(.init(directory: directory, name: name), .file(number))
    }
    self.state = Mutex(state)
  }

  private init(_ state: State) {
    self.state = Mutex(state)
  }

  /// A file system with the same directories and files: they share their bytes until one of the two
  /// writes to them.
  package func copy() -> MemoryFileSystem {
    let copied = state.withLock { state in
      var copied = state
      copied.inodes = state.inodes.mapValues { MemoryInode($0.snapshot) }
      copied.locks = []
      return copied
    }
    return MemoryFileSystem(copied)
  }

  /// A copy in which a file that is there has another content; nil removes it.
  package func replacing(_ path: FilePath, by bytes: [UInt8]?) -> MemoryFileSystem {
    let changed = copy()
    changed.state.withLock { state in
      guard case .file(let number) = state.tree.entry(of: path) else {
        preconditionFailure("there is no file at \(path)")
      }
      if let bytes {
        state.inodes[number]?.replace(with: bytes)
      } else {
        let names = DirectoryTree.names(of: path)
        let directory = Self.makeDirectory(names.dropLast(), in: &state)
        state.tree.set(.init(directory: directory, name: names[names.count - 1]), nil)
        Self.forget(.file(number), in: &state)
      }
    }
    return changed
  }

  /// Whether another file system holds the same: soon answered for a copy that nothing was written
  /// to.
  package func isSame(as other: MemoryFileSystem) -> Bool {
    let (mine, its) = (contents, other.contents)
    return mine.tree == its.tree && mine.files == its.files
  }

  private var contents: (tree: DirectoryTree, files: [Int: PagedBytes]) {
    state.withLock { ($0.tree, $0.inodes.mapValues(\.snapshot)) }
  }

  /// A copy of every file's bytes by path.
  package var image: [FilePath: [UInt8]] {
    state.withLock { state in
      var image: [FilePath: [UInt8]] = [:]
      for case (let path, .file(let number)) in state.tree.allPaths {
        image[path] = state.inodes[number]?.snapshot.array
      }
      return image
    }
  }

  /// Every directory below the root, parents first.
  package var directories: [FilePath] {
    state.withLock { state in
      state.tree.allPaths.filter { $0.entry.kind == .directory }.map(\.path)
    }
  }

  private static func makeDirectory(_ names: ArraySlice<String>, in state: inout State) -> Int {
    var directory = DirectoryTree.root
    for name in names {
      let slot = DirectoryTree.Slot(directory: directory, name: name)
      if case .directory(let child) = state.tree.entry(at: slot) {
        directory = child
        continue
      }
      let child = state.newNumber()
      state.tree.directories[child] = [:]
      state.tree.set(slot, .directory(child))
      directory = child
    }
    return directory
  }

  /// Runs one call on the names, all or nothing, and says in the seam's words why it failed.
  private func change<Value: Sendable>(
    _ operation: IOFailure.Operation, _ path: FilePath,
    _ body: (inout State) throws(Errno) -> Value
  ) throws(IOFailure) -> Value {
    let outcome = state.withLock { state -> Result<Value, Errno> in
      do throws(Errno) {
        return .success(try body(&state))
      } catch {
        return .failure(error)
      }
    }
    switch outcome {
    case .success(let value): return value
    case .failure(let reason): throw IOFailure(operation, path, reason)
    }
  }
}

extension MemoryFileSystem {
  package func open(_ path: FilePath, _ access: FileAccess) throws(IOFailure) -> any StorageFile {
    let isCreation = access == .create
    let inode = try change(isCreation ? .create : .open, path) { state throws(Errno) in
      if isCreation {
        let slot = try state.tree.freeSlot(for: path)
        let number = state.newNumber()
        let inode = MemoryInode()
        state.inodes[number] = inode
        state.tree.set(slot, .file(number))
        return inode
      }
      guard let inode = state.inodes[try state.tree.file(at: path)] else {
        throw .noSuchFileOrDirectory
      }
      return inode
    }
    return MemoryFile(path: path, inode: inode, isWritable: access != .readOnly)
  }

  package func kind(of path: FilePath) throws(IOFailure) -> FileKind? {
    state.withLock { $0.tree.entry(of: path)?.kind }
  }

  package func list(_ directory: FilePath) throws(IOFailure) -> [DirectoryEntry] {
    try change(.list, directory) { state throws(Errno) in try state.tree.list(directory) }
  }

  package func createDirectory(_ path: FilePath) throws(IOFailure) {
    try change(.createDirectory, path) { state throws(Errno) in
      let slot = try state.tree.freeSlot(for: path)
      let number = state.newNumber()
      state.tree.directories[number] = [:]
      state.tree.set(slot, .directory(number))
    }
  }

  package func rename(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    try change(.rename, path) { state throws(Errno) in
      guard let move = try state.tree.checkRename(path, to: target) else { return }
      let replaced = state.tree.entry(at: move.target)
      state.tree.set(move.target, state.tree.entry(at: move.source))
      state.tree.set(move.source, nil)
      Self.forget(replaced, in: &state)
    }
  }

  package func link(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    try change(.link, path) { state throws(Errno) in
      let slots = try state.tree.checkLink(path, to: target)
      state.tree.set(slots.target, state.tree.entry(at: slots.source))
    }
  }

  package func remove(_ path: FilePath) throws(IOFailure) {
    try change(.remove, path) { state throws(Errno) in
      let slot = try state.tree.checkRemove(path)
      let removed = state.tree.entry(at: slot)
      state.tree.set(slot, nil)
      Self.forget(removed, in: &state)
    }
  }

  package func removeDirectory(_ path: FilePath) throws(IOFailure) {
    try change(.remove, path) { state throws(Errno) in
      let slot = try state.tree.checkRemoveDirectory(path)
      let removed = state.tree.entry(at: slot)
      state.tree.set(slot, nil)
      Self.forget(removed, in: &state)
    }
  }

  package func synchronizeDirectory(_ path: FilePath) throws(IOFailure) {
    try change(.synchronizeDirectory, path) { state throws(Errno) in
      _ = try state.tree.directory(at: path)
    }
  }

  package func openVolume(of directory: FilePath) throws(IOFailure) -> any StorageVolume {
    try change(.open, directory) { state throws(Errno) in
      _ = try state.tree.directory(at: directory)
    }
    return MemoryVolume()
  }

  /// Lets go of what has no name any more; open files keep their inode by themselves.
  private static func forget(_ entry: DirectoryTree.Entry?, in state: inout State) {
    switch entry {
    case .directory(let number): state.tree.directories[number] = nil
    case .file(let number):
      let isNamed = state.tree.directories.values.contains { $0.values.contains(.file(number)) }
      if !isNamed { state.inodes[number] = nil }
    case nil: break
    }
  }
}

/// All that was written is as durable as the object.
private final class MemoryVolume: StorageVolume {
  func synchronize() {}
}

extension MemoryFileSystem {
  private final class Lock: FileLock {
    private let owner: MemoryFileSystem
    private let number: Int

    init(owner: MemoryFileSystem, number: Int) {
      self.owner = owner
      self.number = number
    }

    deinit {
      owner.state.withLock { _ = $0.locks.remove(number) }
    }
  }

  package func lock(_ path: FilePath) throws(IOFailure) -> LockAttempt {
    let number = try change(.lock, path) { state throws(Errno) -> Int? in
      if state.tree.entry(of: path) == nil {
        let number = state.newNumber()
        state.tree.set(try state.tree.freeSlot(for: path), .file(number))
        state.inodes[number] = MemoryInode()
      }
      let number = try state.tree.file(at: path)
      guard state.locks.insert(number).inserted else { return nil }
      state.inodes[number]?.replace(with: Array("\(getpid())\n".utf8))
      return number
    }
    guard let number else { return .held(by: LockHolder(processID: getpid())) }
    return .acquired(Lock(owner: self, number: number))
  }

  package func lockHolder(of path: FilePath) throws(IOFailure) -> LockHolder? {
    state.withLock { state in
      guard case .file(let number) = state.tree.entry(of: path), state.locks.contains(number)
      else { return nil }
      return LockHolder(processID: getpid())
    }
  }
}
