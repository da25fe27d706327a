internal import BlockCompression
package import EventModel
package import LogFormat

/// A batch that is laid out as a frame before its turn to be written, by any thread: compressing
/// takes longer than all else, and the thread that writes need not be the one that compresses.
///
/// One owner at a time; its buffers are reused.
package final class FramedBatch: @unchecked Sendable {
  var framer: BatchFramer
  private(set) var size = 0

  /// - Throws: `.compression` when the codec has no memory.
  package init(_ codec: CompressionCodec) throws(CommitLogFailure) {
    do throws(CompressionFailure) {
      framer = try BatchFramer(codec)
    } catch {
      throw .compression(error)
    }
  }

  /// Lays a batch out in place of the one before it.
  ///
  /// Where in the log it will stand is decided when it is written.
  package func layOut(_ batch: BatchEncoder) { size = framer.layOut(batch) }
}
