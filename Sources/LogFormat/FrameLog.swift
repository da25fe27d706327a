package import EventModel

/// Encodes the frames of a small log whose every frame is synced before the next one is made:
/// manifest and checkpoints.
///
/// Pure: the owner writes what it is given, syncs, and says so.
package struct FrameLog: ~Copyable {
  package let identity: FrameIdentity
  package private(set) var end: RecoveryRule.Start
  /// The frame waiting to be confirmed, to be written at the end's position.
  package private(set) var pending = ByteBuffer(capacity: 4 << 10)
  private var pendingEnd: RecoveryRule.Start

  /// A log that goes on behind what a scan has kept.
  package init(identity: FrameIdentity, end: RecoveryRule.Start) {
    self.identity = identity
    self.end = end
    pendingEnd = end
  }

  /// A log that begins with a file header.
  package init(header: FileHeader) {
    self.init(
      identity: header.identity,
      end: RecoveryRule.Start(
        position: FileHeader.size, chain: header.chain, nextNumber: header.baseNumber, epoch: 0))
  }

  /// Makes a frame of `recordCount` entries.
  ///
  /// Everything before it is on the disk, which its watermark says.
  package mutating func prepare(
    _ type: UInt8, recordCount: Int, body: borrowing ByteBuffer, at time: Timestamp
  ) {
    pending.removeAll()
    let isEpoch = type == FrameHeader.FrameType.epoch
    let header = FrameHeader(
      type: type, epoch: isEpoch ? end.epoch &+ 1 : end.epoch, recordCount: UInt32(recordCount),
      baseNumber: end.nextNumber, baseTime: time, watermark: end.nextNumber, chain: end.chain)
    let checksum = FrameAssembly.append(
      header, body: body, to: &pending, identity: identity, position: FilePosition(end.position))
    pendingEnd = RecoveryRule.Start(
      position: end.position + pending.count, chain: checksum,
      nextNumber: end.nextNumber + UInt64(recordCount), epoch: header.epoch)
  }

  /// Makes the frame that begins an epoch (format-spec §3.5): what was cut before it can never
  /// chain again.
  package mutating func prepareEpoch(key: (UInt64, UInt64), at time: Timestamp) {
    var body = ByteBuffer(capacity: 16)
    body.append(key.0)
    body.append(key.1)
    prepare(FrameHeader.FrameType.epoch, recordCount: 0, body: body, at: time)
  }

  /// The pending frame is written and synced.
  package mutating func confirm() { end = pendingEnd }
}
