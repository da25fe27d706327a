import EventModel
import LogFormat

/// Makes the checksums of a file hold that the fuzzer has changed the bytes of.
enum Mending {
  /// The header of the seeds; it stands in for one that cannot be read, so that the frames behind
  /// it are looked at all the same.
  static let fallback = FileHeader(
    kind: .segment, storeID: StoreID(high: 1, low: 2), fileID: 3, salt: 4,
    created: Timestamp(microseconds: 1_700_000_000_000_000))

  /// Bit 0 of `control` mends the file header, bit 1 the frames' headers, bit 2 their sections.
  static func apply(_ file: inout [UInt8], control: UInt8) {
    var identity = fallback.identity
    if control & 1 != 0, file.count >= FileHeader.size {
      let end = FileHeader.size - 4
      let checksum = CRC32C.checksum(file.span.bytes.extracting(0..<end))
      store(checksum, in: &file, at: end)
    }
    do throws(FormatError) {
      identity = try FileHeader(decoding: file.span.bytes).identity
    } catch {
      // The frames are then sealed for the fallback, which is what they are read with.
    }
    guard control & 6 != 0 else { return }
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
      let clear = CRC32C.checksum(
        file.span.bytes.extracting(clearStart..<storedStart), seed: seed)
      let stored = CRC32C.checksum(file.span.bytes.extracting(storedStart..<end), seed: seed)
      store(clear, in: &file, at: position + 48)
      store(stored, in: &file, at: position + 52)
    }
    store(0, in: &file, at: position + 4)
    let checksum = CRC32C.checksum(
      file.span.bytes.extracting(position..<clearStart), seed: seed)
    store(checksum, in: &file, at: position + 4)
  }

  private static func load(_ file: [UInt8], at index: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(file[index + $1]) << UInt32($1 * 8) }
  }

  private static func store(_ value: UInt32, in file: inout [UInt8], at index: Int) {
    for byte in 0..<4 { file[index + byte] = UInt8(truncatingIfNeeded: value >> (byte * 8)) }
  }
}
