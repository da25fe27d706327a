package import EventModel
package import LogFormat

/// Makes the checksums of a file hold that the fuzzer has changed the bytes of.
package enum Mending {
  /// The header of the seeds; it stands in for one that cannot be read, so that the frames behind
  /// it are looked at all the same.
  package static let fallback = FileHeader(
    kind: .segment, storeID: StoreID(high: 1, low: 2), fileID: 3, salt: 4,
    created: Timestamp(microseconds: 1_700_000_000_000_000))

  /// Mends what the bits of a number ask for.
  ///
  /// - Parameters:
  ///   - file: the file's bytes.
  ///   - control: bit 0 mends the file header, bit 1 the frames' headers, bit 2 their sections and
  ///     contents; one of the last two, all entries of an index and all of a footer.
  ///   - known: what the file's header was; it counts where that cannot be read any more.
  package static func apply(
    _ file: inout [UInt8], control: UInt8, known: FileHeader = fallback
  ) {
    if control & 1 != 0, file.count >= FileHeader.size {
      let end = FileHeader.size - 4
      store(CRC32C.checksum(file.span.bytes.extracting(0..<end)), in: &file, at: end)
    }
    var header = known
    do throws(FormatError) {
      header = try FileHeader(decoding: file.span.bytes)
    } catch {
      // The rest is then sealed for the known header, which is what it is read with.
    }
    guard control & 6 != 0 else { return }
    switch header.kind {
    case .index: mendIndex(&file, header.identity)
    case .footer: mendFooter(&file, header.identity)
    default: mendFrames(&file, header.identity, control)
    }
  }

  private static func mendIndex(_ file: inout [UInt8], _ identity: FrameIdentity) {
    var position = FileHeader.size
    while position + IndexEntry.size <= file.count {
      seal(position..<position + IndexEntry.size, of: &file, identity)
      position += IndexEntry.size
    }
  }

  private static func mendFooter(_ file: inout [UInt8], _ identity: FrameIdentity) {
    let start = SegmentFooter.position.bytes
    let end = start + SegmentFooter.size
    guard file.count >= end else { return }
    let contents = CRC32C.checksum(
      file.span.bytes.extracting(end..<file.count), seed: SegmentFooter.contentsSeed(identity))
    store(contents, in: &file, at: end - 8)
    seal(start..<end, of: &file, identity)
  }

  /// Puts the checksum of a fixed part into its last four bytes.
  private static func seal(
    _ range: Range<Int>, of file: inout [UInt8], _ identity: FrameIdentity
  ) {
    let end = range.upperBound - 4
    let checksum = CRC32C.checksum(
      file.span.bytes.extracting(range.lowerBound..<end),
      seed: identity.seed(at: FilePosition(range.lowerBound)))
    store(checksum, in: &file, at: end)
  }

  private static func mendFrames(
    _ file: inout [UInt8], _ identity: FrameIdentity, _ control: UInt8
  ) {
    var position = FileHeader.size
    while position + FrameHeader.size <= file.count {
      if FrameHeader.bearsMagic(file.span.bytes, at: position) {
        mend(&file, at: position, seed: identity.seed(at: FilePosition(position)), control)
      }
      position += FrameHeader.alignment
    }
  }

  private static func mend(
    _ file: inout [UInt8], at position: Int, seed: UInt32, _ control: UInt8
  ) {
    let clearStart = position + FrameHeader.size
    let storedStart = clearStart + Int(load(file, at: position + 40))
    let end = storedStart + Int(load(file, at: position + 44))
    if control & 4 != 0, end <= file.count {
      let clear = clearStart..<storedStart
      let stored = storedStart..<end
      let content = content(of: file, at: position, clear, stored)
      for (place, section) in [(48, clear), (52, stored)] {
        let checksum = CRC32C.checksum(file.span.bytes.extracting(section), seed: seed)
        store(checksum, in: &file, at: position + place)
      }
      if let content { store(content, in: &file, at: position + 56) }
    }
    store(0, in: &file, at: position + 4)
    let checksum = CRC32C.checksum(
      file.span.bytes.extracting(position..<clearStart), seed: seed)
    store(checksum, in: &file, at: position + 4)
  }

  /// The content checksum of a frame that is not compressed.
  private static func content(
    of file: [UInt8], at position: Int, _ clear: Range<Int>, _ stored: Range<Int>
  ) -> UInt32? {
    let bytes = file.span.bytes
    var content = ContentChecksum()
    guard file[position + 8] == FrameHeader.FrameType.batch else {
      content.add(bytes.extracting(stored))
      return content.value
    }
    guard file[position + 9] == CompressionCodec.none.rawValue, clear.count >= 8 else { return nil }
    let columnsSize = Int(load(file, at: clear.lowerBound + 4))
    guard columnsSize <= stored.count else { return nil }
    let split = stored.lowerBound + columnsSize
    content.addClearSection(bytes.extracting(clear))
    content.add(bytes.extracting(stored.lowerBound..<split))
    content.add(bytes.extracting(split..<stored.upperBound))
    return content.value
  }

  private static func load(_ file: [UInt8], at index: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(file[index + $1]) << UInt32($1 * 8) }
  }

  private static func store(_ value: UInt32, in file: inout [UInt8], at index: Int) {
    for byte in 0..<4 { file[index + byte] = UInt8(truncatingIfNeeded: value >> (byte * 8)) }
  }
}
