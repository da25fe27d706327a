internal import CommitLog
internal import DeviceQueueing
internal import EventModel
internal import LogFormat
internal import StorageIO
internal import Synchronization

/// Which files go, and when.
extension QueueFiling {
  /// Removes every file that is not part of the store: of checkpoints that came to nothing, and
  /// those that a crash kept from being removed.
  func clean(_ core: QueueCore, _ state: inout State) throws(EventStoreError) {
    let volume = try Self.wrapping { () throws(CommitLogFailure) in try files.openVolume() }
    let found = try Self.wrapping { () throws(CommitLogFailure) in try files.list() }
      .map { QueueFile(device: $0.device, checkpoint: $0.checkpoint) }
    var start = 0
    while start < found.count {
      let piece = found[start..<min(found.count, start + Int(Self.pieceSize))]
      let strays = core.state.withLock { state in
        piece.filter { state.table.file(of: $0.device) != $0.checkpoint }
      }
      // Of some the last message may be settled by what is not durable yet.
      try removeFiles(strays, core, state)
      start = piece.endIndex
    }
    try Self.wrapping { () throws(CommitLogFailure) in
      for number in try files.listDirectories() where number != state.current {
        try files.removeDirectory(checkpoint: number)
      }
    }
    try Self.synchronize(volume)
    state.isClean = true
  }

  /// Removes the files whose every message is gone.
  func removeEmptied(_ core: QueueCore, _ state: inout State) throws(EventStoreError) {
    guard core.state.withLock({ $0.table.emptiedCount > 0 }) else { return }
    if !state.isClean { try clean(core, &state) }
    state.isClean = false
    try removeFiles(core.state.withLock { $0.table.takeEmptied() }, core, state)
    state.isClean = true
  }

  func removeFiles(
    _ emptied: [QueueFile], _ core: QueueCore, _ state: borrowing State
  ) throws(EventStoreError) {
    guard !emptied.isEmpty else { return }
    try core.journal.lead(to: .durable(core.journal.nextNumber), BlockingWait())
    for file in emptied {
      try Self.wrapping { () throws(CommitLogFailure) in try remove(file, state) }
    }
  }

  func remove(_ file: QueueFile, _ state: borrowing State) throws(CommitLogFailure) {
    if state.damaged.contains(file) {
      try files.setAside(file.device, checkpoint: file.checkpoint)
    } else {
      try files.remove(file.device, checkpoint: file.checkpoint)
    }
  }
}
