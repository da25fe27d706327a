import Foundation
import Millrace
import MillraceTesting
import StorageIO
import SystemPackage

/// Stands before a file system and holds the calls of segments, or of other files, until a test
/// lets them go; counts what is written and not yet synced, and syncs that run at once.
final class ControlledDisk: FileSystem {
  enum Call: Hashable, Sendable { case write, sync }

  private let real: any FileSystem
  private let suffix: String
  let control = Control()

  init(_ real: any FileSystem, holding suffix: String = ".segment") {
    self.real = real
    self.suffix = suffix
  }

  /// What the calls of all files share.
  ///
  /// Sendable because the condition guards every member.
  final class Control: @unchecked Sendable {
    private let condition = NSCondition()
    private var heldKinds: Set<Call> = []
    private var heldCount: [Call: Int] = [:]
    private var watchers: [(Call, CheckedContinuation<Void, Never>)] = []
    private var written: [String: Int] = [:]
    private var durable: [String: Int] = [:]
    private var syncing: [String: Int] = [:]
    private var tailMax = 0
    private var syncsAtOnceMax = 0
    private var calls: [Call] = []
    private var yields = 0

    private func guarded<Result>(_ body: () -> Result) -> Result {
      condition.lock()
      defer { condition.unlock() }
      return body()
    }

    /// From now on these calls wait.
    func hold(_ calls: Call...) { guarded { heldKinds.formUnion(calls) } }

    /// Lets everything go that waits, and whatever comes.
    func release() {
      guarded {
        heldKinds = []
        condition.broadcast()
      }
    }

    /// Makes every sync give other threads so many turns.
    func slowSyncs(turns: Int) { guarded { yields = turns } }

    /// The largest number of bytes of one file that were written and not synced, so far.
    var unsyncedSizeMax: Int { guarded { tailMax } }
    /// The largest number of syncs of one file at the same time.
    var overlappingSyncsMax: Int { guarded { syncsAtOnceMax } }
    /// The writes and syncs of segments that have returned, in their order.
    var finished: [Call] { guarded { calls } }

    /// Suspends until a call of this kind waits.
    func untilHeld(_ call: Call) async {
      await withCheckedContinuation { continuation in
        let isHeld = guarded {
          if heldCount[call, default: 0] > 0 { return true }
          watchers.append((call, continuation))
          return false
        }
        if isHeld { continuation.resume() }
      }
    }

    private func pass(_ call: Call) -> [CheckedContinuation<Void, Never>] {
      var ready: [CheckedContinuation<Void, Never>] = []
      guard heldKinds.contains(call) else { return ready }
      heldCount[call, default: 0] += 1
      ready = watchers.filter { $0.0 == call }.map(\.1)
      watchers.removeAll { $0.0 == call }
      return ready
    }

    private func wait(for call: Call) {
      for watcher in guarded({ pass(call) }) { watcher.resume() }
      guarded {
        guard heldCount[call, default: 0] > 0 else { return }
        while heldKinds.contains(call) { condition.wait() }
        heldCount[call] = 0
      }
    }

    fileprivate func write(
      _ path: String, upTo end: Int, _ body: () throws(IOFailure) -> Void
    ) throws(IOFailure) {
      wait(for: .write)
      try body()
      guarded {
        written[path] = max(written[path, default: 0], end)
        tailMax = max(tailMax, end - durable[path, default: 0])
        calls.append(.write)
      }
    }

    fileprivate func sync(
      _ path: String, _ body: () throws(IOFailure) -> Void
    ) throws(IOFailure) {
      let (end, turns) = guarded {
        syncing[path, default: 0] += 1
        syncsAtOnceMax = max(syncsAtOnceMax, syncing[path, default: 0])
        return (written[path, default: 0], yields)
      }
      defer { guarded { syncing[path, default: 0] -= 1 } }
      wait(for: .sync)
      for _ in 0..<turns { sched_yield() }
      try body()
      guarded {
        durable[path] = max(durable[path, default: 0], end)
        calls.append(.sync)
      }
    }
  }

  func open(_ path: FilePath, _ access: FileAccess) throws(IOFailure) -> any StorageFile {
    let file = try real.open(path, access)
    return path.string.hasSuffix(suffix) ? ControlledFile(file, control) : file
  }

  func kind(of path: FilePath) throws(IOFailure) -> FileKind? { try real.kind(of: path) }
  func list(_ path: FilePath) throws(IOFailure) -> [DirectoryEntry] { try real.list(path) }
  func createDirectory(_ path: FilePath) throws(IOFailure) { try real.createDirectory(path) }
  func rename(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    try real.rename(path, to: target)
  }
  func link(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    try real.link(path, to: target)
  }
  func remove(_ path: FilePath) throws(IOFailure) { try real.remove(path) }
  func removeDirectory(_ path: FilePath) throws(IOFailure) { try real.removeDirectory(path) }
  func synchronizeDirectory(_ path: FilePath) throws(IOFailure) {
    try real.synchronizeDirectory(path)
  }
  func openVolume(of path: FilePath) throws(IOFailure) -> any StorageVolume {
    try real.openVolume(of: path)
  }
  func lock(_ path: FilePath) throws(IOFailure) -> LockAttempt { try real.lock(path) }
  func lockHolder(of path: FilePath) throws(IOFailure) -> LockHolder? {
    try real.lockHolder(of: path)
  }
}

/// A segment whose writes and syncs go through the control.
final class ControlledFile: StorageFile {
  private let real: any StorageFile
  private let control: ControlledDisk.Control

  init(_ real: any StorageFile, _ control: ControlledDisk.Control) {
    self.real = real
    self.control = control
  }

  var path: FilePath { real.path }
  func size() throws(IOFailure) -> ByteCount { try real.size() }
  func read(into buffer: inout MutableRawSpan, at position: FilePosition) throws(IOFailure) -> Int {
    try real.read(into: &buffer, at: position)
  }
  func write(_ bytes: RawSpan, at position: FilePosition) throws(IOFailure) {
    try control.write(path.string, upTo: position.bytes + bytes.byteCount) { () throws(IOFailure) in
      try real.write(bytes, at: position)
    }
  }
  func reserve(_ size: ByteCount) throws(IOFailure) { try real.reserve(size) }
  func truncate(to size: ByteCount) throws(IOFailure) { try real.truncate(to: size) }
  func synchronize() throws(IOFailure) {
    try control.sync(path.string) { () throws(IOFailure) in try real.synchronize() }
  }
  func map(_ size: ByteCount) throws(IOFailure) -> FileMapping { try real.map(size) }
  func allocatedSize() throws(IOFailure) -> ByteCount { try real.allocatedSize() }
}
