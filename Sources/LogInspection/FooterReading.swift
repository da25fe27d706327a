internal import EventModel
package import LogFormat

/// A device as a footer names it.
package struct InspectedDevice: Hashable, Sendable {
  package var id: String
  package var device: FooterDevice
}

/// Reads a segment's footer, which may be wrong in any way (I6).
struct FooterReading {
  private let source: InspectedSource
  let footer: SegmentFooter
  /// What is wrong with the contents; nil if their checksum holds.
  let damage: String?

  /// Reads the fixed part and checks the rest.
  ///
  /// - Throws: `.corrupt` when the fixed part is none.
  init(_ source: InspectedSource, identity: FrameIdentity) throws(FormatError) {
    self.source = source
    let start = SegmentFooter.position.bytes
    var fixed = ByteBuffer(capacity: SegmentFooter.size)
    guard start + SegmentFooter.size <= source.size,
      source.append(start..<start + SegmentFooter.size, to: &fixed)
    else {
      throw .corrupt("the file ends before its footer")
    }
    footer = try fixed.withBytes { (bytes) throws(FormatError) in
      try SegmentFooter(decoding: bytes, identity: identity, fileSize: source.size)
    }
    var checksum = SegmentFooter.contentsSeed(identity)
    var position = footer.batchesPosition
    var buffer = ByteBuffer(capacity: 64 << 10)
    while position < source.size {
      let count = min(64 << 10, source.size - position)
      buffer.removeAll()
      guard source.append(position..<position + count, to: &buffer) else { break }
      checksum = buffer.withBytes { CRC32C.checksum($0, seed: checksum) }
      position += count
    }
    damage =
      checksum == footer.contentsChecksum
      ? nil : "the checksum of what follows the footer's head does not hold"
  }

  func position(ofBatch place: Int) -> Int { footer.batchesPosition + place * FooterBatch.size }

  func position(ofDevice place: Int) -> Int { footer.devicesPosition + place * FooterDevice.size }

  func batch(at place: Int) -> FooterBatch? {
    entry(at: position(ofBatch: place), size: FooterBatch.size) { bytes throws(FormatError) in
      try FooterBatch(decoding: bytes)
    }
  }

  func device(at place: Int) -> InspectedDevice? {
    let device = entry(at: position(ofDevice: place), size: FooterDevice.size) {
      bytes throws(FormatError) in try FooterDevice(decoding: bytes)
    }
    guard let device, Int(device.idPosition) + Int(device.idSize) <= footer.idsSize else {
      return nil
    }
    var id = ByteBuffer(capacity: Limits.identifierSizeMax)
    let start = footer.idsPosition + Int(device.idPosition)
    guard source.append(start..<start + Int(device.idSize), to: &id) else { return nil }
    return InspectedDevice(
      id: String(decoding: id.array(0..<id.count), as: UTF8.self), device: device)
  }

  private func entry<Entry>(
    at position: Int, size: Int, _ decode: (RawSpan) throws(FormatError) -> Entry
  ) -> Entry? {
    var buffer = ByteBuffer(capacity: size)
    guard source.append(position..<position + size, to: &buffer) else { return nil }
    do throws(FormatError) {
      return try buffer.withBytes(decode)
    } catch {
      return nil
    }
  }
}
