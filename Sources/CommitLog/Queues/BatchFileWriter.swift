internal import BlockCompression
package import EventModel
package import LogFormat
package import StorageIO

/// Writes files of batches that are never changed again: queue files and their directory
/// (format-spec §14.4).
///
/// One owner, one file at a time; its buffers are reused from file to file.
package struct BatchFileWriter: ~Copyable {
  private static var batchSize: Int { 64 << 10 }
  private static var writeSize: Int { 1 << 20 }

  private let batch = BatchEncoder(targetSize: batchSize)
  private var framer: BatchFramer
  private var bytes = ByteBuffer(capacity: 64 << 10)
  private var identity: FrameIdentity?
  private var end = RecoveryRule.Start(position: 0, chain: 0, nextNumber: 0, epoch: 0)
  private var file: (any StorageFile)?
  private var written = 0
  private var time = Timestamp(microseconds: 0)

  /// - Throws: `.compression` when the codec cannot be set up.
  package init(_ codec: CompressionCodec) throws(CommitLogFailure) {
    do throws(CompressionFailure) {
      framer = try BatchFramer(codec)
    } catch {
      throw .compression(error)
    }
  }

  /// Begins a file that was just made.
  package mutating func begin(_ file: any StorageFile, _ header: FileHeader) {
    self.file = file
    identity = header.identity
    time = header.created
    written = 0
    bytes.removeAll()
    batch.removeAll()
    header.encode(into: &bytes)
    end = RecoveryRule.Start(
      position: FileHeader.size, chain: header.chain, nextNumber: 0, epoch: 0)
  }

  /// Adds a record; times never step back within a file.
  package mutating func append(
    from device: EventModel.DeviceID, body: borrowing RawSpan, properties: Properties = .empty,
    systemProperties: SystemProperties = .empty, at time: Timestamp
  ) throws(CommitLogFailure) {
    let (size, _) = batch.append(
      from: device, body: body, properties: properties, at: time.microseconds)
    if !systemProperties.isEmpty { batch.setSystemProperties(systemProperties) }
    if size >= Self.batchSize { try sealBatch() }
  }

  private mutating func sealBatch() throws(CommitLogFailure) {
    guard batch.count > 0, let identity else { return }
    _ = framer.layOut(batch)
    let (header, checksum) = framer.finish(batch, behind: end, watermark: 0, identity: identity)
    framer.frame.withBytes { bytes.append($0) }
    end = RecoveryRule.Start(
      position: end.position + framer.frame.count, chain: checksum, nextNumber: header.nextNumber,
      epoch: 0)
    batch.removeAll()
    if bytes.count >= Self.writeSize { try write() }
  }

  private mutating func write() throws(CommitLogFailure) {
    let position = FilePosition(written)
    do throws(IOFailure) {
      try bytes.withBytes { (bytes) throws(IOFailure) in try file?.write(bytes, at: position) }
    } catch {
      throw CommitLogFailure(error)
    }
    written += bytes.count
    bytes.removeAll()
  }

  /// Ends the file with the mark that says it is whole; not synced.
  package mutating func finish() throws(CommitLogFailure) {
    try sealBatch()
    guard let identity else { return }
    let header = FrameHeader(
      type: FrameHeader.FrameType.mark, epoch: 0, recordCount: 0, baseNumber: end.nextNumber,
      baseTime: time, watermark: end.nextNumber, chain: end.chain)
    _ = FrameAssembly.append(
      header, body: ByteBuffer(capacity: 0), to: &bytes, identity: identity,
      position: FilePosition(end.position))
    try write()
    file = nil
  }
}
