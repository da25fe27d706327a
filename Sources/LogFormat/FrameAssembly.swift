package import EventModel

/// Puts a frame together in a buffer: header, clear section, stored body, zeros up to the
/// alignment (format-spec §3).
package enum FrameAssembly {
  /// Begins a frame at the end of the buffer and returns where: room for the header, to be
  /// followed by the clear section and the stored body.
  package static func begin(in buffer: inout ByteBuffer) -> Int {
    let start = buffer.count
    buffer.appendZeros(FrameHeader.size)
    return start
  }

  /// Ends a frame whose sections stand behind its header: fills in sizes, checksums and padding.
  ///
  /// - Parameters:
  ///   - header: everything but sizes and the checksums of the sections; its content checksum is
  ///     taken as it is.
  ///   - position: where in the file the frame will stand; its checksums hold nowhere else.
  /// - Returns: the header's checksum, for the next frame's chain.
  package static func end(
    _ header: inout FrameHeader, in buffer: inout ByteBuffer, from start: Int, clearSize: Int,
    identity: FrameIdentity, position: FilePosition
  ) -> UInt32 {
    let seed = identity.seed(at: position)
    let clearStart = start + FrameHeader.size
    let bodyStart = clearStart + clearSize
    header.clearSize = UInt32(clearSize)
    header.storedSize = UInt32(buffer.count - bodyStart)
    header.clearChecksum = buffer.withBytes(clearStart..<bodyStart) {
      CRC32C.checksum($0, seed: seed)
    }
    header.bodyChecksum = buffer.withBytes(bodyStart..<buffer.count) {
      CRC32C.checksum($0, seed: seed)
    }
    let checksum = header.encode(over: &buffer, at: start, seed: seed)
    buffer.appendZeros(header.frameSize - (buffer.count - start))
    return checksum
  }

  /// Appends a whole frame whose body is stored as it is and that has no clear section: marks,
  /// epochs, edits, checkpoint entries.
  package static func append(
    _ header: FrameHeader, body: borrowing ByteBuffer, to buffer: inout ByteBuffer,
    identity: FrameIdentity, position: FilePosition
  ) -> UInt32 {
    var header = header
    let start = begin(in: &buffer)
    var content = ContentChecksum()
    body.withBytes {
      content.add($0)
      buffer.append($0)
    }
    header.contentChecksum = content.value
    return end(
      &header, in: &buffer, from: start, clearSize: 0, identity: identity, position: position)
  }
}
