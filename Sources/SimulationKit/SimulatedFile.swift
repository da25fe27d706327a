package import EventModel
package import StorageIO
internal import Synchronization
package import SystemPackage

/// An open file of a ``SimulatedDisk``.
package final class SimulatedFile: StorageFile {
  package let path: FilePath
  private let disk: SimulatedDisk
  private let number: Int
  private let isWritable: Bool

  init(path: FilePath, disk: SimulatedDisk, number: Int, isWritable: Bool) {
    self.path = path
    self.disk = disk
    self.number = number
    self.isWritable = isWritable
  }

  private func inode(_ operation: IOFailure.Operation) throws(IOFailure) -> SimulatedInode {
    let number = number
    return try disk.inspect(operation, path) { state throws(Errno) in
      guard let inode = state.inodes[number] else { throw .badFileDescriptor }
      return inode
    }
  }

  package func size() throws(IOFailure) -> ByteCount {
    ByteCount(try inode(.inspect).written.count)
  }

  package func read(
    into buffer: inout MutableRawSpan, at position: FilePosition
  ) throws(IOFailure) -> Int {
    let bytes = try inode(.read).written
    let bad = disk.plan.badSectors(of: path)
    if bad.overlaps(position.bytes..<position.bytes + buffer.byteCount) {
      throw IOFailure(.read, path, .ioError, isInjected: true)
    }
    return bytes.read(into: &buffer, at: position.bytes)
  }

  package func write(_ bytes: RawSpan, at position: FilePosition) throws(IOFailure) {
    guard isWritable else { throw IOFailure(.write, path, .badFileDescriptor) }
    // SAFETY: the span keeps its bytes valid for the closure and tells their exact number.
    let copy = unsafe bytes.withUnsafeBytes { unsafe Array($0) }
    try disk.write(copy, to: number, path, at: position.bytes)
  }

  package func reserve(_ size: ByteCount) throws(IOFailure) {
    guard isWritable else { throw IOFailure(.reserve, path, .badFileDescriptor) }
    let (number, path) = (number, path)
    try disk.change(.reserve, path) { state throws(Errno) in
      let taken = state.inodes[number]?.spaceTaken ?? 0
      if let capacity = state.faults.plan.capacity,
        state.spaceTaken + max(0, size.bytes - taken) > capacity.bytes
      {
        throw .noSpace
      }
      state.inodes[number]?.reserve(size.bytes)
    }
  }

  package func truncate(to size: ByteCount) throws(IOFailure) {
    guard isWritable else { throw IOFailure(.truncate, path, .invalidArgument) }
    let number = number
    try disk.change(.truncate, path) { state throws(Errno) in
      let sequence = state.takeSequence()
      state.inodes[number]?.resize(to: size.bytes, sequence: sequence)
    }
  }

  package func synchronize() throws(IOFailure) {
    try disk.synchronize(number, path)
  }

  package func map(_ size: ByteCount) throws(IOFailure) -> FileMapping {
    var bytes = try inode(.map).written
    let bad = disk.plan.badSectors(of: path)
    if !bad.isEmpty, bad.lowerBound < bytes.count { bytes.resize(to: bad.lowerBound) }
    return FileMapping(path: path, size: size, snapshot: bytes)
  }

  package func allocatedSize() throws(IOFailure) -> ByteCount {
    let page = PagedBytes.pageSize
    return ByteCount((try inode(.inspect).spaceTaken + page - 1) / page * page)
  }
}

extension SimulatedDisk {
  /// A write that fails, by plan or for want of room, leaves its first bytes.
  fileprivate func write(
    _ bytes: [UInt8], to number: Int, _ path: FilePath, at position: Int
  ) throws(IOFailure) {
    let failure = state.withLock { state -> IOFailure? in
      var (kept, failure) = (bytes.count, IOFailure?.none)
      switch state.faults.begin(.write, path, isMutating: true) {
      case .proceed: break
      case .die(let death): failure = death
      case .fail(let injected, let count): (kept, failure) = (min(count, kept), injected)
      }
      if let capacity = state.faults.plan.capacity {
        let room = capacity.bytes - state.spaceTaken + (state.inodes[number]?.spaceTaken ?? 0)
        if position + kept > room, kept > 0 {
          kept = max(0, room - position)
          failure = failure ?? IOFailure(.write, path, .noSpace, isInjected: true)
        }
      }
      let sequence = state.takeSequence()
      state.inodes[number]?.write(Array(bytes.prefix(kept)), at: position, sequence: sequence)
      return failure
    }
    if let failure { throw failure }
  }

  fileprivate func synchronize(_ number: Int, _ path: FilePath) throws(IOFailure) {
    let failure = state.withLock { state -> IOFailure? in
      let wasDead = state.faults.isDead
      switch state.faults.begin(.synchronize, path, isMutating: true) {
      case .proceed:
        state.inodes[number]?.synchronize()
        return nil
      case .die(let death):
        // Under way: any of the changes may have reached the disk, as before the call.
        return death
      case .fail(let injected, _):
        if !wasDead { state.inodes[number]?.loseUnsynced() }
        return injected
      }
    }
    if let failure { throw failure }
  }
}
