package import StorageIO
internal import Synchronization
package import SystemPackage

extension SimulatedDisk {
  /// Runs a call that changes nothing; it has no number but can be made to fail.
  func inspect<Value: Sendable>(
    _ operation: IOFailure.Operation, _ path: FilePath,
    _ body: (borrowing State) throws(Errno) -> Value
  ) throws(IOFailure) -> Value {
    let outcome = state.withLock { state -> Result<Value, IOFailure> in
      switch state.faults.begin(operation, path, isMutating: false) {
      case .fail(let failure, _), .die(let failure): return .failure(failure)
      case .proceed: break
      }
      do throws(Errno) {
        return .success(try body(state))
      } catch {
        return .failure(IOFailure(operation, path, error))
      }
    }
    return try outcome.get()
  }

  /// Runs a mutating call.
  ///
  /// The one in which the machine dies is written and not durable.
  @discardableResult
  func change<Value: Sendable>(
    _ operation: IOFailure.Operation, _ path: FilePath,
    _ body: (inout State) throws(Errno) -> Value
  ) throws(IOFailure) -> Value {
    let outcome = state.withLock { state -> Result<Value, IOFailure> in
      var death: IOFailure?
      switch state.faults.begin(operation, path, isMutating: true) {
      case .fail(let failure, _): return .failure(failure)
      case .die(let failure): death = failure
      case .proceed: break
      }
      do throws(Errno) {
        let value = try body(&state)
        return death.map { .failure($0) } ?? .success(value)
      } catch {
        let isInjected = error == .noSpace
        return .failure(death ?? IOFailure(operation, path, error, isInjected: isInjected))
      }
    }
    return try outcome.get()
  }

  package func open(_ path: FilePath, _ access: FileAccess) throws(IOFailure) -> any StorageFile {
    let number: Int
    if access == .create {
      number = try change(.create, path) { state throws(Errno) in
        let slot = try state.names.written.freeSlot(for: path)
        return state.makeFile(slot)
      }
    } else {
      number = try inspect(.open, path) { state throws(Errno) in
        try state.names.written.file(at: path)
      }
    }
    return SimulatedFile(path: path, disk: self, number: number, isWritable: access != .readOnly)
  }

  package func kind(of path: FilePath) throws(IOFailure) -> FileKind? {
    try inspect(.inspect, path) { state throws(Errno) in
      state.names.written.entry(of: path)?.kind
    }
  }

  package func list(_ directory: FilePath) throws(IOFailure) -> [DirectoryEntry] {
    try inspect(.list, directory) { state throws(Errno) in
      try state.names.written.list(directory)
    }
  }

  package func createDirectory(_ path: FilePath) throws(IOFailure) {
    try change(.createDirectory, path) { state throws(Errno) in
      let slot = try state.names.written.freeSlot(for: path)
      let (number, sequence) = (state.newNumber(), state.takeSequence())
      state.names.set(slot, .directory(number), sequence: sequence)
    }
  }

  package func rename(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    try change(.rename, path) { state throws(Errno) in
      guard let move = try state.names.written.checkRename(path, to: target) else { return }
      let sequence = state.takeSequence(2)
      state.names.rename(move.source, to: move.target, sequence: sequence)
    }
  }

  package func link(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    try change(.link, path) { state throws(Errno) in
      let slots = try state.names.written.checkLink(path, to: target)
      let sequence = state.takeSequence()
      state.names.set(
        slots.target, state.names.written.entry(at: slots.source), sequence: sequence)
    }
  }

  package func remove(_ path: FilePath) throws(IOFailure) {
    try change(.remove, path) { state throws(Errno) in
      let slot = try state.names.written.checkRemove(path)
      let sequence = state.takeSequence()
      state.names.set(slot, nil, sequence: sequence)
    }
  }

  package func removeDirectory(_ path: FilePath) throws(IOFailure) {
    try change(.remove, path) { state throws(Errno) in
      let slot = try state.names.written.checkRemoveDirectory(path)
      let sequence = state.takeSequence()
      state.names.set(slot, nil, sequence: sequence)
    }
  }

  package func synchronizeDirectory(_ path: FilePath) throws(IOFailure) {
    try change(.synchronizeDirectory, path) { state throws(Errno) in
      let directory = try state.names.written.directory(at: path)
      // Dying under way: any of the changes may have reached the disk, as before the call.
      if !state.faults.isDead { state.names.synchronize(directory) }
    }
  }
}

extension SimulatedDisk {
  private final class Volume: StorageVolume {
    private let disk: SimulatedDisk
    private let path: FilePath

    init(_ disk: SimulatedDisk, _ path: FilePath) {
      self.disk = disk
      self.path = path
    }

    func synchronize() throws(IOFailure) { try disk.synchronizeAll(path) }
  }

  package func openVolume(of directory: FilePath) throws(IOFailure) -> any StorageVolume {
    try inspect(.open, directory) { state throws(Errno) in
      _ = try state.names.written.directory(at: directory)
    }
    return Volume(self, directory)
  }

  fileprivate func synchronizeAll(_ path: FilePath) throws(IOFailure) {
    let failure = state.withLock { state -> IOFailure? in
      let wasDead = state.faults.isDead
      switch state.faults.begin(.synchronizeVolume, path, isMutating: true) {
      case .proceed:
        for number in state.inodes.keys { state.inodes[number]?.synchronize() }
        for directory in Set(state.names.unsynced.map(\.directory)) {
          state.names.synchronize(directory)
        }
        return nil
      case .die(let death):
        // Under way: any of the changes may have reached the disk, as before the call.
        return death
      case .fail(let injected, _):
        if !wasDead { for number in state.inodes.keys { state.inodes[number]?.loseUnsynced() } }
        return injected
      }
    }
    if let failure { throw failure }
  }

  /// The process that every lock of a simulated disk names: runs must not differ by it.
  package static let processID: Int32 = 1

  private final class Lock: FileLock {
    private let disk: SimulatedDisk
    private let number: Int

    init(disk: SimulatedDisk, number: Int) {
      self.disk = disk
      self.number = number
    }

    deinit {
      disk.state.withLock { _ = $0.locks.remove(number) }
    }
  }

  package func lock(_ path: FilePath) throws(IOFailure) -> LockAttempt {
    let number = try change(.lock, path) { state throws(Errno) -> Int? in
      if state.names.written.entry(of: path) == nil {
        _ = state.makeFile(try state.names.written.freeSlot(for: path))
      }
      let number = try state.names.written.file(at: path)
      guard state.locks.insert(number).inserted else { return nil }
      let sequence = state.takeSequence(2)
      state.inodes[number]?.resize(to: 0, sequence: sequence)
      let text = Array("\(Self.processID)\n".utf8)
      state.inodes[number]?.write(text, at: 0, sequence: sequence + 1)
      return number
    }
    guard let number else { return .held(by: LockHolder(processID: Self.processID)) }
    return .acquired(Lock(disk: self, number: number))
  }

  package func lockHolder(of path: FilePath) throws(IOFailure) -> LockHolder? {
    try inspect(.lock, path) { state throws(Errno) in
      guard case .file(let number) = state.names.written.entry(of: path),
        state.locks.contains(number)
      else { return nil }
      return LockHolder(processID: Self.processID)
    }
  }
}

extension SimulatedDisk.State {
  /// Makes an empty file with this name, not durable.
  fileprivate mutating func makeFile(_ slot: DirectoryTree.Slot) -> Int {
    let (number, sequence) = (newNumber(), takeSequence())
    inodes[number] = SimulatedInode()
    names.set(slot, .file(number), sequence: sequence)
    return number
  }
}
