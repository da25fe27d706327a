internal import EventModel
package import LogFormat
internal import StorageIO
package import SystemPackage

/// A file of batches that is never changed, as it is found: a queue file or their directory.
package final class BatchFile: Sendable {
  package let header: FileHeader
  /// Whether everything that was written is there, as far as the frames' headers tell.
  package let isWhole: Bool
  /// The frames that hold records, in their order.
  private let frames: [ScannedFrame]
  private let source: StoredFrames

  /// Reads a file's frame headers.
  ///
  /// - Throws: ``CommitLogFailure``: `.io` for a file that is not there or cannot be read,
  ///   `.format` for one whose header does not hold or is another's.
  package init(
    _ path: FilePath, _ kind: FileHeader.Kind, checkpoint: UInt32, of context: LogContext
  ) throws(CommitLogFailure) {
    let source: StoredFrames
    var bytes = ByteBuffer(capacity: FileHeader.size)
    do throws(IOFailure) {
      let file = try context.fileSystem.open(path, .readOnly)
      source = StoredFrames(file, size: try file.size().bytes)
      _ = try source.append(0..<FileHeader.size, to: &bytes)
    } catch {
      throw CommitLogFailure(error)
    }
    let header: FileHeader
    do throws(FormatError) {
      header = try bytes.withBytes { (bytes) throws(FormatError) in
        try FileHeader(decoding: bytes)
      }
      guard header.kind == kind, header.storeID == context.storeID,
        header.fileID == UInt64(checkpoint)
      else { throw .corrupt("the file is another one, by its header") }
    } catch {
      throw .format(path, position: 0, error)
    }
    let found: ScanResult
    do throws(IOFailure) {
      var scanner = FrameScanner(source, identity: header.identity)
      found = try scanner.scan(from: FileHeader.size)
    } catch {
      throw CommitLogFailure(error)
    }
    if let unsupported = found.unsupported {
      throw .format(path, position: unsupported.position, unsupported.error)
    }
    self.header = header
    self.source = source
    frames = found.frames.filter { $0.header.type == FrameHeader.FrameType.batch }
    isWhole = Self.isWhole(found.frames, behind: header)
  }

  /// Every frame follows the one before, and the last is the mark that ends the file.
  private static func isWhole(_ frames: [ScannedFrame], behind header: FileHeader) -> Bool {
    var (position, chain, next) = (FileHeader.size, header.chain, UInt64(0))
    for frame in frames {
      guard frame.position == position, frame.header.chain == chain,
        frame.header.baseNumber == next
      else { return false }
      (position, chain, next) = (frame.end, frame.checksum, frame.header.nextNumber)
    }
    guard let last = frames.last?.header else { return false }
    return last.type == FrameHeader.FrameType.mark && last.watermark == next
  }

  /// Bytes of the file.
  package var size: Int { source.size }

  package var batchCount: Int { frames.count }

  /// A batch; nil where its contents are damaged.
  ///
  /// - Throws: ``CommitLogFailure``: `.io` where the disk does not read it, `.format` where it is
  ///   of a later version.
  package func batch(
    at index: Int, with decompressor: BatchDecompressor
  ) throws(CommitLogFailure) -> DecodedBatch? {
    let frame = frames[index]
    var bytes = ByteBuffer(capacity: frame.header.frameSize)
    let range = frame.clearRange.lowerBound..<frame.bodyRange.upperBound
    do throws(IOFailure) {
      guard try source.append(range, to: &bytes) else { return nil }
    } catch {
      throw CommitLogFailure(error)
    }
    let seed = header.identity.seed(at: FilePosition(frame.position))
    let shared = SharedBytes(bytes)
    let stored = StoredBatch(frame.header, at: 0..<range.count, of: shared, seed: seed)
    do throws(FormatError) {
      return try stored?.decode(with: decompressor)
    } catch .corrupt {
      return nil
    } catch {
      throw .format(source.file.path, position: frame.position, error)
    }
  }
}
