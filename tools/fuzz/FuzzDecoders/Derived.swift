import EventModel
import FuzzHarness
import LogFormat

/// Files that are derived from segments, made of any bytes: an entry of an index, and a footer.
///
/// Their checksums are put right first, since no fuzzer guesses one.
enum Derived {
  static let index = FuzzTarget("index", seeds: indexSeeds) { input in
    do throws(FormatError) {
      try examineIndex(input)
    } catch {
      // Damage that was noticed.
    }
  }

  static let footer = FuzzTarget("footer", seeds: footerSeeds) { input in
    var file = input
    Mending.apply(&file, control: 7, known: header(.footer))
    do throws(FormatError) {
      try examineFooter(file)
    } catch {
      // Damage that was noticed.
    }
  }

  private static func header(_ kind: FileHeader.Kind) -> FileHeader {
    var header = Mending.fallback
    header.kind = kind
    return header
  }

  private static func examineIndex(_ body: [UInt8]) throws(FormatError) {
    let identity = header(.index).identity
    _ = try IndexEntry(decoding: body.span.bytes, identity: identity, at: .start)
    var file = [UInt8](repeating: 0, count: FileHeader.size) + body.prefix(IndexEntry.size)
    Mending.apply(&file, control: 2, known: header(.index))
    let place = FilePosition(FileHeader.size)
    let bytes = file.span.bytes.extracting(FileHeader.size..<file.count)
    let decoded = try IndexEntry(decoding: bytes, identity: identity, at: place)
    var reader = ByteReader(bytes)
    let (position, number) = (try reader.integer(UInt64.self), try reader.integer(UInt64.self))
    try reader.skip(8)
    let (records, batches) = (try reader.integer(UInt64.self), try reader.integer(UInt64.self))
    let isPossible =
      (128...1 << 40).contains(position) && position % 64 == 0 && number <= Limits.numberMax
      && records <= number && batches <= position / 64
    precondition((decoded != nil) == isPossible, "a sealed index entry is judged wrongly")
    guard let decoded else { return }
    var buffer = ByteBuffer()
    decoded.encode(into: &buffer, identity: identity, at: place)
    let again = try buffer.withBytes { (bytes) throws(FormatError) in
      try IndexEntry(decoding: bytes, identity: identity, at: place)
    }
    precondition(again == decoded, "an index entry changes when it is written again")
    Fuzzing.landmark()
  }

  private static func examineFooter(_ file: [UInt8]) throws(FormatError) {
    let bytes = file.span.bytes
    let start = SegmentFooter.position.bytes
    guard file.count >= start + SegmentFooter.size else { return }
    let footer = try SegmentFooter(
      decoding: bytes.extracting(start..<start + SegmentFooter.size),
      identity: header(.footer).identity, fileSize: file.count)
    precondition(footer.fileSize == file.count, "a footer that does not fill its file")
    precondition(footer.devicesPosition <= file.count, "batches behind the file's end")
    precondition(footer.postingsPosition <= file.count, "devices behind the file's end")
    precondition(footer.idsPosition <= file.count, "postings behind the file's end")
    for place in 0..<footer.batchCount {
      let position = footer.batchesPosition + place * FooterBatch.size
      _ = try FooterBatch(decoding: bytes.extracting(position..<position + FooterBatch.size))
    }
    for place in 0..<footer.deviceCount {
      let position = footer.devicesPosition + place * FooterDevice.size
      _ = try FooterDevice(decoding: bytes.extracting(position..<position + FooterDevice.size))
    }
    if footer.batchCount > 0, footer.deviceCount > 0 { Fuzzing.landmark() }
  }

  private static func indexSeeds() -> [[UInt8]] {
    var buffer = ByteBuffer()
    IndexEntry(
      position: 128, baseNumber: 0, baseTime: Mending.fallback.created, recordCount: 0,
      batchCount: 0, eventSize: 0, epoch: 1, frameChecksum: 5
    ).encode(into: &buffer, identity: header(.index).identity, at: .start)
    return [buffer.array(0..<buffer.count)]
  }

  /// A footer of one batch and one device.
  private static func footerSeeds() -> [[UInt8]] {
    var buffer = ByteBuffer()
    header(.footer).encode(into: &buffer)
    SegmentFooter(
      batchCount: 1, deviceCount: 1, postingCount: 1, idsSize: 6,
      end: RecoveryRule.Start(position: 512, chain: 9, nextNumber: 3, epoch: 1), hasHoles: false
    ).encode(into: &buffer, identity: header(.footer).identity)
    let tables = FooterBatch.size + FooterDevice.size + 8
    return [buffer.array(0..<buffer.count) + [UInt8](repeating: 0, count: tables) + "sensor".utf8]
  }
}
