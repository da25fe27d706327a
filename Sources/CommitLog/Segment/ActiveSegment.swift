internal import EventModel
internal import LogFormat
internal import StorageIO

/// The file that a partition appends to.
///
/// One owner; sealing consumes it, so that nothing can be written to a sealed segment.
struct ActiveSegment: ~Copyable {
  let added: ManifestEdit.SegmentAdded
  let file: any StorageFile
  let identity: FrameIdentity
  let index: SparseIndex
  private let space: SpaceLock
  /// Where the next frame goes, and what it chains from.
  private(set) var end: RecoveryRule.Start
  /// What the segment holds up to `end`.
  private(set) var summary: SegmentSummary
  private var reserved = 0
  /// Whether there was no room for all of the log's reserve when it was last asked for.
  private(set) var isShort = false
  /// Where the zeros end that were written ahead of the frames; 0 for none.
  private(set) var zeroedEnd = 0

  /// Space reserved ahead of the end, so that small writes neither allocate nor meet a full disk.
  static let reservationStep = 8 << 20
  /// Zeros written ahead at a time, at most: more would keep the group that writes them waiting.
  private static let zeros = [UInt8](repeating: 0, count: 512 << 10)
  /// Zeros written ahead at a time, at least, and the first time in a segment.
  private static let zerosSizeMin = 128 << 10
  private static let pageSize = 4 << 10
  /// A smaller part of a reserve is not worth asking for.
  private static let reserveSizeMin = 4 << 10

  init(
    _ added: ManifestEdit.SegmentAdded, file: any StorageFile, identity: FrameIdentity,
    end: RecoveryRule.Start, summary: SegmentSummary, index: SparseIndex, space: SpaceLock
  ) {
    self.added = added
    self.file = file
    self.identity = identity
    self.end = end
    self.summary = summary
    self.index = index
    self.space = space
  }

  /// Makes the file of a new segment: its header is on the disk and so is its name.
  static func create(
    _ added: ManifestEdit.SegmentAdded, context: LogContext
  ) throws(IOFailure) -> ActiveSegment {
    let header = context.header(of: added)
    var bytes = ByteBuffer(capacity: FileHeader.size)
    header.encode(into: &bytes)
    let fileSystem = context.fileSystem
    let file = try fileSystem.open(context.segmentPath(added), .create)
    do throws(IOFailure) {
      try bytes.withBytes { (bytes) throws(IOFailure) in try file.write(bytes, at: .start) }
      try file.synchronize()
      try fileSystem.synchronizeDirectory(context.directory(of: added.log))
    } catch {
      discard(added, context: context)
      throw error
    }
    let end = RecoveryRule.Start.behind(header)
    let summary = SegmentSummary(
      endPosition: UInt64(end.position), nextNumber: end.nextNumber, chain: end.chain,
      epoch: end.epoch)
    return ActiveSegment(
      added, file: file, identity: header.identity, end: end, summary: summary,
      index: SparseIndex(), space: context.space)
  }

  /// Removes the file of a segment that no edit names, so that attempts on a full disk leave
  /// nothing behind.
  ///
  /// What cannot be removed is set aside at the next opening.
  static func discard(_ added: ManifestEdit.SegmentAdded, context: LogContext) {
    do throws(IOFailure) {
      try context.fileSystem.remove(context.segmentPath(added))
    } catch {
      return
    }
  }

  /// Writes a frame that was laid out for this segment's end.
  ///
  /// After an error the end is where it was, and the next frame overwrites what did reach the file.
  ///
  /// - Parameters:
  ///   - frame: where the frame is laid out.
  ///   - size: its bytes.
  ///   - sizeMax: where the segment ends at the latest.
  ///   - reserveSize: the log's reserve.
  ///   - zerosSize: how many zeros to write ahead at a time, about; 0 for none.
  /// - Throws: ``IOFailure``.
  mutating func write(
    _ frame: borrowing ByteBuffer, size: Int, sizeMax: Int, reserve reserveSize: Int = 0,
    zeros zerosSize: Int = 0
  ) throws(IOFailure) {
    try makeRoom(for: size, sizeMax: sizeMax, reserve: reserveSize)
    let position = FilePosition(end.position)
    try frame.withBytes(0..<size) { (bytes) throws(IOFailure) in
      try file.write(bytes, at: position)
    }
    if zerosSize > 0 { try writeZeros(zerosSize, behind: end.position + size) }
  }

  /// Writes zeros into the space reserved behind a frame, if it ends behind the last ones.
  ///
  /// A sync of frames that overwrite them has no new extent and no new length to make durable:
  /// measured, two thirds of the time for 20 KB and four fifths for 60 KB, the sync of the zeros
  /// included.
  private mutating func writeZeros(_ size: Int, behind end: Int) throws(IOFailure) {
    guard end > zeroedEnd else { return }
    let size = min(max(zeroedEnd > 0 ? size : 0, Self.zerosSizeMin), Self.zeros.count)
    let wanted = min((end + size) / Self.pageSize * Self.pageSize, reserved)
    guard wanted > end else { return }
    zeroedEnd = wanted
    do throws(IOFailure) {
      // SAFETY: bytes have no padding.
      try file.write(
        unsafe Self.zeros.span.bytes.extracting(first: wanted - end), at: FilePosition(end))
    } catch  where error.isStorageFull {
      // This file system cannot reserve: it does without.
    }
  }

  /// Reserves space for a frame, with some ahead of it while the disk has that.
  private mutating func makeRoom(
    for size: Int, sizeMax: Int, reserve reserveSize: Int
  ) throws(IOFailure) {
    let needed = end.position + size
    guard needed + (isShort ? 0 : reserveSize) > reserved else { return }
    try space.hold { () throws(IOFailure) in
      if !isShort {
        // More than the reserve, so that it need not be asked for with each frame.
        let wanted = max(
          needed + reserveSize + reserveSize / 8,
          min(end.position + Self.reservationStep, sizeMax))
        if try reserve(wanted) { return }
        let isWhole = try takeReserve(reserveSize, behind: needed)
        isShort = !isWhole && reserveSize > 0
      }
      guard needed > reserved else { return }
      // No more than this one frame needs.
      try file.reserve(ByteCount(needed))
      reserved = needed
    }
  }

  /// Takes as much of a reserve as there is room for.
  ///
  /// - Returns: whether that is all of it.
  private mutating func takeReserve(
    _ size: Int, behind position: Int
  ) throws(IOFailure) -> Bool {
    if position + size <= reserved { return true }
    if try reserve(position + size) { return true }
    var part = size / 2
    while part >= Self.reserveSizeMin {
      _ = try reserve(max(reserved, position) + part)
      part /= 2
    }
    return false
  }

  /// Returns whether there was room.
  private mutating func reserve(_ size: Int) throws(IOFailure) -> Bool {
    do throws(IOFailure) {
      try file.reserve(ByteCount(size))
    } catch  where error.isStorageFull {
      return false
    }
    reserved = max(reserved, size)
    return true
  }

  /// Asks for the whole reserve again; false where there is room for a part of it at most.
  mutating func takeReserve(_ settings: LogSettings) throws(IOFailure) -> Bool {
    try space.hold { () throws(IOFailure) in try takeAnyReserve(settings) }
  }

  private mutating func takeAnyReserve(_ settings: LogSettings) throws(IOFailure) -> Bool {
    let isWhole = try takeReserve(settings.reserveSize, behind: end.position)
    isShort = !isWhole
    return isWhole
  }

  /// Gives up the half of the reserve that is used last, if the segment still has more of it.
  mutating func lendReserve(_ settings: LogSettings) throws(IOFailure) {
    let kept = end.position + settings.reserveSize / 2
    guard isShort, reserved > kept else { return }
    try space.hold { () throws(IOFailure) in
      try giveBackReserve()
      isShort = true
      _ = try reserve(kept)
    }
  }

  /// Gives back what is reserved beyond the end, and makes the segment that follows; on a full disk
  /// with a reserve of what that leaves.
  ///
  /// Where it cannot be made this segment has its reserve again.
  mutating func makeNext(
    _ added: ManifestEdit.SegmentAdded, context: LogContext
  ) throws(IOFailure) -> ActiveSegment {
    guard isShort else {
      try endFile()
      return try Self.create(added, context: context)
    }
    return try space.hold { () throws(IOFailure) in
      try endFile()
      do throws(IOFailure) {
        var next = try Self.create(added, context: context)
        _ = try next.takeAnyReserve(context.settings)
        return next
      } catch {
        _ = try takeAnyReserve(context.settings)
        throw error
      }
    }
  }

  /// Whether the segment ends before a frame: at its full size, but on a full disk only when most
  /// of the reserve is used up, since others might take what a roll gives back of it.
  func mustRoll(before size: Int, _ settings: LogSettings) -> Bool {
    guard summary.recordCount > 0 else { return false }
    guard isShort else { return end.position + size > settings.segmentSize }
    return end.position > settings.reserveSize / 2
      && reserved - end.position - size < settings.reserveSize / 4
  }

  private mutating func endFile() throws(IOFailure) {
    let hasZeros = zeroedEnd > 0
    try giveBackReserve()
    if hasZeros { try file.synchronize() }
  }

  /// Space in the file that nothing has been written to.
  var spareSize: Int { max(0, reserved - end.position) }

  /// Ends the file at the last frame.
  mutating func giveBackReserve() throws(IOFailure) {
    try file.truncate(to: ByteCount(end.position))
    reserved = 0
    isShort = false
    zeroedEnd = 0
  }

  /// Moves the end behind a frame that was written.
  mutating func advance(
    behind header: FrameHeader, size: Int, checksum: UInt32, eventSize: UInt64, lastTime: Timestamp
  ) {
    if header.recordCount > 0 {
      index.note(
        IndexEntry(
          position: UInt64(end.position), baseNumber: header.baseNumber,
          baseTime: header.baseTime, recordCount: summary.recordCount,
          batchCount: summary.batchCount, eventSize: summary.eventSize, epoch: header.epoch,
          frameChecksum: checksum))
      if summary.recordCount == 0 { summary.firstTime = header.baseTime }
      summary.lastTime = lastTime
      summary.recordCount += UInt64(header.recordCount)
      summary.batchCount += 1
      summary.eventSize &+= eventSize
    }
    end = RecoveryRule.Start(
      position: end.position + size, chain: checksum, nextNumber: header.nextNumber,
      epoch: header.epoch)
    summary.endPosition = UInt64(end.position)
    summary.nextNumber = end.nextNumber
    summary.chain = checksum
    summary.epoch = end.epoch
  }
}
