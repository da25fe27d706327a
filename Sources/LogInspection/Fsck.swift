internal import Dispatch
internal import EventModel
internal import LogFormat
package import StorageIO
internal import Synchronization
package import SystemPackage

/// Checks everything in a store and changes nothing.
///
/// Takes no lock: beside a live writer it judges what was there when it came by. The segments and
/// the queue files are checked side by side, on as many threads as there are cores. Blocks.
package struct Fsck {
  private let snapshot: StoreSnapshot
  private let tally: FsckTally
  private let findingMax: Int

  /// Checks a store.
  ///
  /// - Parameters:
  ///   - root: the store's folder.
  ///   - fileSystem: where the folder is.
  ///   - findingMax: how many findings of a sort are kept.
  ///   - progress: told after each file what was looked at so far, by one thread at a time.
  /// - Returns: what was looked at and what is wrong with it.
  /// - Throws: ``InspectionFailure`` when the path cannot be read or holds no store.
  package static func check(
    _ root: FilePath, fileSystem: any FileSystem, findingMax: Int = FsckResult.findingMax,
    progress: @escaping @Sendable (FsckCounts) -> Void = { _ in }
  ) throws(InspectionFailure) -> FsckResult {
    let inspector = try StoreInspector(root, fileSystem: fileSystem, wantsStore: true)
    precondition(inspector.target == .store, "a store was asked for, not \(inspector.target)")
    let fsck = Fsck(
      snapshot: StoreSnapshot(reading: root, fileSystem), tally: FsckTally(progress),
      findingMax: findingMax)
    return fsck.run()
  }

  private func run() -> FsckResult {
    var result = checkManifest()
    let (logs, queues) = checkSideBySide()
    var ends: [UInt32: UInt64] = [:]
    for (id, log) in logs {
      ends[UInt32(id.partitionID.number)] = log.end
      result.add(log.result)
    }
    result.add(checkCheckpoints(ends))
    result.add(queues)
    result.add(part { FileCheck($0).run() })
    result.checked = tally.counts
    return result
  }

  private func part(_ check: (FsckPart) -> Void) -> FsckResult {
    let part = FsckPart(snapshot, tally, findingMax: findingMax)
    check(part)
    return part.result
  }

  // MARK: Logs and queue files

  private typealias CheckedLog = (end: UInt64, result: FsckResult)

  /// What the checks of the logs, in their order, and of the queue files found.
  private func checkSideBySide() -> (logs: [(ManifestEdit.LogID, CheckedLog)], queues: FsckResult) {
    let logs = snapshot.logs
    let pieces = logs.flatMap { log in
      LogCheck.pieces(of: log.segments, in: log.log).map { (log.log, log.segments, $0) }
    }
    let checked = Mutex<[Int: CheckedLog]>([:])
    let queues = Mutex(FsckResult(findingMax: findingMax))
    DispatchQueue.concurrentPerform(iterations: pieces.count + 1) { number in
      guard number > 0 else {
        let result = part { QueueFileCheck.run($0) }
        return queues.withLock { $0 = result }
      }
      let (log, segments, range) = pieces[number - 1]
      var end: UInt64 = 0
      let result = part { end = LogCheck($0, log, segments, range).run() }
      checked.withLock { $0[number - 1] = (end, result) }
    }
    var found = Dictionary(
      uniqueKeysWithValues: logs.map { ($0.log, (UInt64(0), FsckResult(findingMax: findingMax))) })
    for (number, piece) in checked.withLock({ $0.sorted { $0.key < $1.key } }) {
      // The last one's end is the log's.
      found[pieces[number].0]?.0 = piece.end
      found[pieces[number].0]?.1.add(piece.result)
    }
    return (found.sorted { $0.key < $1.key }, queues.withLock { $0 })
  }

  // MARK: Manifest and checkpoints

  private func checkManifest() -> FsckResult {
    part { part in
      for damage in snapshot.damages { part.add(damage) }
      part.count { counts in
        counts.frames += snapshot.frameCount
        counts.bytes += snapshot.byteCount
        counts.manifestEdits += snapshot.manifestEditCount
        counts.checkpointEntries += snapshot.checkpointEntryCount
      }
      ManifestCheck(part).run()
    }
  }

  private func checkCheckpoints(_ ends: [UInt32: UInt64]) -> FsckResult {
    part { CheckpointCheck($0, ends).run() }
  }
}
