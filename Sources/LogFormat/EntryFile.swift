package import EventModel

/// A whole file of entries in memory, a manifest or checkpoints: what a new store begins with, and
/// what takes the place of a file that has grown or is damaged.
package struct EntryFile: ~Copyable {
  package let identity: FrameIdentity
  /// Where the next frame goes.
  package let end: RecoveryRule.Start
  package let bytes: ByteBuffer

  /// Bytes of entries in one frame: bounded, so that damage costs little and no reader needs much
  /// memory.
  private static var frameSize: Int { 32 << 10 }

  /// The size of a file that holds no entry: a header and a mark.
  package static var emptySize: Int { FileHeader.size + FrameHeader.size }

  /// The manifest that holds these edits.
  package init(manifest edits: [ManifestEdit], storeID: StoreID, salt: UInt64, at now: Timestamp) {
    self.init(
      FileHeader(kind: .manifest, storeID: storeID, fileID: 0, salt: salt, created: now),
      FrameHeader.FrameType.manifestEdits, edits, at: now
    ) { $0.encode(into: &$1) }
  }

  /// The checkpoint file that holds these entries.
  ///
  /// Without any it holds a mark (format-spec §9): one that ends behind its header has lost what
  /// followed.
  package init(
    checkpoints entries: [CheckpointEntry], storeID: StoreID, salt: UInt64, at now: Timestamp
  ) {
    self.init(
      FileHeader(kind: .checkpoints, storeID: storeID, fileID: 0, salt: salt, created: now),
      FrameHeader.FrameType.checkpointEntries, entries, at: now
    ) { $0.encode(into: &$1) }
  }

  private init<Entry>(
    _ header: FileHeader, _ type: UInt8, _ entries: [Entry], at now: Timestamp,
    encode: (Entry, inout ByteBuffer) -> Void
  ) {
    var bytes = ByteBuffer(capacity: 64 << 10)
    header.encode(into: &bytes)
    var log = FrameLog(header: header)
    var body = ByteBuffer(capacity: 2 * Self.frameSize)
    var index = 0
    while index < entries.count {
      body.removeAll()
      let start = index
      while index < entries.count, body.count < Self.frameSize {
        encode(entries[index], &body)
        index += 1
      }
      log.prepare(type, recordCount: index - start, body: body, at: now)
      log.pending.withBytes { bytes.append($0) }
      log.confirm()
    }
    if entries.isEmpty {
      body.removeAll()
      log.prepare(FrameHeader.FrameType.mark, recordCount: 0, body: body, at: now)
      log.pending.withBytes { bytes.append($0) }
      log.confirm()
    }
    identity = log.identity
    end = log.end
    self.bytes = bytes
  }
}
