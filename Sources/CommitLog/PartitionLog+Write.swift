internal import EventModel
package import LogFormat
internal import StorageIO
internal import Synchronization

extension PartitionLog {
  // MARK: Before the first write

  /// Cuts the torn tail, records what is lost and begins an epoch.
  ///
  /// - Throws: `.storageFull` when there is no room for that: reading works, and the first write
  ///   tries again (I9).
  package func prepareForWriting() throws(CommitLogFailure) {
    try writing.withLock { (writing) throws(CommitLogFailure) in try prepare(&writing) }
  }

  /// Has readers see all that was found, also what a crash could take back so far.
  ///
  /// - Throws: `.storageFull` while there is no room to write that anew.
  package func showAll() throws(CommitLogFailure) {
    try writing.withLock { (writing) throws(CommitLogFailure) in
      if writing.repair?.isUnproven == true { try prove(&writing) }
    }
  }

  /// Writes anew what nothing proves, where opening could not, and shows it.
  private func prove(_ writing: inout PartitionWriting) throws(CommitLogFailure) {
    do throws(IOFailure) {
      try writing.repair?.prove(writing.segment.file)
    } catch {
      // What could not be synced may read otherwise now: it is not tried again (I8).
      throw error.operation == .synchronize ? failedSync(error) : failedWrite(error)
    }
    let end = writing.segment.end
    let eventSize = writing.segment.summary.eventSize
    shared.withLock { shared in
      durableNumber.store(end.nextNumber, ordering: .releasing)
      shared.writtenNumber = end.nextNumber
      (shared.writtenEnd, shared.durableEnd) = (end.position, end.position)
      (shared.writtenEventSize, shared.durableEventSize) = (eventSize, eventSize)
      shared.publish(end.nextNumber)
    }
  }

  func prepare(_ writing: inout PartitionWriting) throws(CommitLogFailure) {
    if writing.repair?.isUnproven == true { try prove(&writing) }
    try finishRecovery(&writing)
    try recordTestified(&writing)
  }

  private func finishRecovery(_ writing: inout PartitionWriting) throws(CommitLogFailure) {
    guard var repair = writing.repair else { return }
    let end = repair.scan.verdict
    guard end.nextNumber <= Limits.numberMax - Limits.numberReserve else {
      throw .format(
        context.segmentPath(repair.scan.added), position: end.end.position,
        .corrupt("the next record would have the number \(end.nextNumber)"))
    }
    if !repair.isDone {
      // Each attempt goes on where the one before it met a full disk.
      defer { writing.repair = repair }
      try repair.run(writing.segment.file, manifest: manifest, context: context)
    }
    try manifest.noteWriter()
    let verdict = repair.scan.verdict
    if repair.scan.header == nil,
      writing.segment.added.segmentID == repair.scan.added.segmentID
    {
      try roll(&writing, baseNumber: verdict.nextNumber)
    }
    try writeEpoch(number: verdict.nextNumber, &writing)
    writing.repair = nil
    let (tail, gap) = (repair.tail, repair.gap)
    // What is lost is durable knowledge now: readers meet the gap and go on behind it.
    shared.withLock { shared in
      durableNumber.store(verdict.nextNumber, ordering: .releasing)
      shared.report.tail = tail
      shared.report.waitsForRoom = nil
      if let gap { shared.gaps.append(gap) }
      shared.writtenNumber = verdict.nextNumber
      shared.publish(verdict.nextNumber)
    }
  }

  /// Begins an epoch (format-spec §3.5).
  ///
  /// Durable with the first group behind it.
  func writeEpoch(
    number: UInt64, _ writing: inout PartitionWriting
  ) throws(CommitLogFailure) {
    let random = context.environment.random
    var key = ByteBuffer(capacity: 16)
    key.append(random())
    key.append(random())
    try writeSmall(
      FrameHeader.FrameType.epoch, epoch: writing.segment.end.epoch &+ 1, body: key,
      number: number, watermark: number, &writing)
  }

  // MARK: Write stage

  /// Hands a batch to the operating system.
  ///
  /// - Parameters:
  ///   - batch: the batch.
  ///   - framed: the same batch, where it is laid out already.
  /// - Returns: the number behind its last record.
  /// - Throws: `.storageFull` when there is no room: nothing changed, the batch may be tried again.
  ///   `.poisoned` after any other failure: what was written last is unknown (I8).
  package func write(
    _ batch: BatchEncoder, _ framed: FramedBatch? = nil
  ) throws(CommitLogFailure) -> UInt64 {
    try writing.withLock { (writing) throws(CommitLogFailure) in
      try checkSound()
      try prepare(&writing)
      // Back again at the end: what could not be written stays laid out.
      if let framed { swap(&writing.framer, &framed.framer) }
      defer { if let framed { swap(&writing.framer, &framed.framer) } }
      let size = framed?.size ?? writing.framer.layOut(batch)
      defer { noteSpace(writing) }
      if writing.segment.mustRoll(before: size, context.settings) { try rollIfPossible(&writing) }
      let watermark = highWatermark
      let (header, checksum) = writing.framer.finish(
        batch, behind: writing.segment.end, watermark: watermark,
        identity: writing.segment.identity)
      do throws(IOFailure) {
        try writing.segment.write(
          writing.framer.frame, size: size, sizeMax: context.settings.segmentSize,
          reserve: context.settings.reserveSize, zeros: zerosSize)
      } catch {
        throw failedWrite(error)
      }
      writing.segment.advance(
        behind: header, size: size, checksum: checksum, eventSize: batch.eventSize,
        lastTime: Timestamp(microseconds: batch.lastTime))
      writing.lastWatermark = watermark
      noteWritten(writing.segment)
      return writing.segment.end.nextNumber
    }
  }

  /// Writes a frame that carries the watermark and nothing else, if the last frame's is older:
  /// after it, damage to what was synced last can be proven.
  package func writeMark() throws(CommitLogFailure) {
    try writing.withLock { (writing) throws(CommitLogFailure) in
      try checkSound()
      let watermark = highWatermark
      let end = writing.segment.end
      // Before the repair nothing may be written over what it has to keep.
      guard writing.repair == nil else { return }
      guard watermark > writing.lastWatermark, watermark == end.nextNumber else { return }
      try writeSmall(
        FrameHeader.FrameType.mark, epoch: end.epoch, body: ByteBuffer(capacity: 0),
        number: end.nextNumber, watermark: watermark, &writing)
    }
  }

  func writeSmall(
    _ type: UInt8, epoch: UInt16, body: borrowing ByteBuffer, number: UInt64, watermark: UInt64,
    _ writing: inout PartitionWriting
  ) throws(CommitLogFailure) {
    let end = writing.segment.end
    let header = FrameHeader(
      type: type, epoch: epoch, recordCount: 0, baseNumber: number,
      baseTime: context.environment.now(), watermark: watermark, chain: end.chain)
    writing.scratch.removeAll()
    let checksum = FrameAssembly.append(
      header, body: body, to: &writing.scratch, identity: writing.segment.identity,
      position: FilePosition(end.position))
    do throws(IOFailure) {
      try writing.segment.write(
        writing.scratch, size: writing.scratch.count, sizeMax: context.settings.segmentSize,
        reserve: context.settings.reserveSize, zeros: zerosSize)
    } catch {
      throw failedWrite(error)
    }
    writing.segment.advance(
      behind: header, size: writing.scratch.count, checksum: checksum, eventSize: 0,
      lastTime: writing.segment.summary.lastTime)
    noteSpace(writing)
    writing.lastWatermark = watermark
    // No reason to sync: a mark says what is durable already, an epoch guards what comes behind.
    let position = writing.segment.end.position
    shared.withLock { shared in
      if shared.durableEnd == shared.writtenEnd { shared.durableEnd = position }
      shared.writtenEnd = position
      shared.publish(highWatermark)
    }
  }

  private func noteWritten(_ segment: borrowing ActiveSegment) {
    let end = segment.end
    let eventSize = segment.summary.eventSize
    shared.withLock { shared in
      shared.writtenNumber = end.nextNumber
      shared.writtenEnd = end.position
      shared.writtenEventSize = eventSize
    }
  }

  // MARK: Reserve

  /// Asks for all of the log's reserve again, where there was no room for it.
  ///
  /// - Returns: whether the log has it; a log that keeps none has.
  /// - Throws: ``CommitLogFailure``, but no `.storageFull`.
  package func takeReserve() throws(CommitLogFailure) -> Bool {
    try writing.withLock { (writing) throws(CommitLogFailure) in
      try checkSound()
      defer { noteSpace(writing) }
      do throws(CommitLogFailure) {
        try prepare(&writing)
      } catch .storageFull {
        return false
      }
      do throws(IOFailure) {
        return try writing.segment.takeReserve(context.settings)
      } catch {
        throw failedWrite(error)
      }
    }
  }

  /// Gives up half of the reserve for what will give back more: files to which records move.
  ///
  /// - Throws: ``CommitLogFailure``, but no `.storageFull`.
  package func lendReserve() throws(CommitLogFailure) {
    try writing.withLock { (writing) throws(CommitLogFailure) in
      try checkSound()
      guard writing.repair == nil else { return }
      defer { noteSpace(writing) }
      do throws(IOFailure) {
        try writing.segment.lendReserve(context.settings)
      } catch {
        throw failedWrite(error)
      }
    }
  }

  /// What waits to be made ready for writing has no reserve either.
  private func noteSpace(_ writing: borrowing PartitionWriting) {
    isShortOfSpace.store(writing.segment.isShort || writing.repair != nil, ordering: .relaxed)
    reservedSpace.store(writing.segment.spareSize, ordering: .relaxed)
  }

  /// Rolls; on a full disk a log with a reserve goes on in the segment that it has.
  private func rollIfPossible(_ writing: inout PartitionWriting) throws(CommitLogFailure) {
    do throws(CommitLogFailure) {
      try roll(&writing, baseNumber: writing.segment.end.nextNumber)
    } catch .storageFull where context.settings.reserveSize > 0 {
      return
    }
  }

  func checkSound() throws(CommitLogFailure) {
    if let loss { throw loss }
    if let poison { throw .poisoned(poison) }
  }

  func failedWrite(_ failure: IOFailure) -> CommitLogFailure {
    failure.isStorageFull ? .storageFull(failure) : failedSync(failure)
  }

  func failedSync(_ failure: IOFailure) -> CommitLogFailure {
    shared.withLock { $0.poison = $0.poison ?? failure }
    return .poisoned(failure)
  }

  // MARK: Roll

  /// Seals the active segment and begins the next.
  ///
  /// A barrier: the old segment's last sync has returned and the edit that names the new one is
  /// durable before the first frame goes into it.
  func roll(_ writing: inout PartitionWriting, baseNumber: UInt64) throws(CommitLogFailure) {
    _ = try synchronize()
    let old = writing.segment.summary
    let oldAdded = writing.segment.added
    let time = old.recordCount > 0 ? old.lastTime : oldAdded.lastTimeBefore
    var fresh: ActiveSegment?
    try nameSegment { (segmentID) throws(CommitLogFailure) in
      let added = ManifestEdit.SegmentAdded(
        log: id, segmentID: segmentID, salt: context.environment.random(),
        baseNumber: baseNumber, predecessorID: oldAdded.segmentID,
        predecessorChain: old.chain, created: time ?? context.environment.now())
      let oldPath = writing.segment.file.path
      do throws(IOFailure) {
        // The segment is never written again.
        fresh = try writing.segment.makeNext(added, context: context)
      } catch  where error.operation == .synchronize && error.path == oldPath {
        // Also for want of room: a failed sync is never tried again (I8).
        throw failedSync(error)
      } catch {
        throw CommitLogFailure(error)
      }
      return [
        .segmentSealed(.init(segmentID: oldAdded.segmentID, summary: old)), .segmentAdded(added),
      ]
    }
    guard let next = fresh.take() else { preconditionFailure("no segment was made") }
    let sealed = SegmentHandle(
      oldAdded, summary: old, context: context, index: writing.segment.index)
    IndexFile.write(
      sealed, below: writing.segment.end.position, atLeast: 1, context: context)
    writing.segment = next
    let active = SegmentHandle(
      writing.segment.added, summary: nil, context: context, activeFile: writing.segment.file,
      index: writing.segment.index)
    let end = writing.segment.end.position
    sealed.footer.noteAbsent()
    rolls.add(1, ordering: .relaxed)
    shared.withLock { shared in
      shared.sealed.append(sealed)
      shared.active = active
      shared.writtenEnd = end
      shared.writtenEventSize = 0
      shared.durableEnd = end
      shared.durableEventSize = 0
      shared.publish(highWatermark)
    }
  }

  /// Makes a segment and names it in the manifest.
  ///
  /// When it is not known whether the edit will survive, nothing more may go into the old segment,
  /// which the edit seals.
  private func nameSegment(
    _ make: (_ segmentID: UInt64) throws(CommitLogFailure) -> [ManifestEdit]
  ) throws(CommitLogFailure) {
    var added: ManifestEdit.SegmentAdded?
    do throws(CommitLogFailure) {
      try manifest.addSegment { (segmentID) throws(CommitLogFailure) in
        let edits = try make(segmentID)
        if case .segmentAdded(let segment) = edits.last { added = segment }
        return edits
      }
    } catch .poisoned(let cause) {
      throw failedSync(cause)
    } catch {
      if let added { ActiveSegment.discard(added, context: context) }
      throw error
    }
  }
}
