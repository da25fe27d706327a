internal import EventModel
internal import LogFormat

/// What stands where a file's header should be.
enum FileHeaderReading {
  case sound(FileHeader)
  /// One bit was wrong; with it set right the checksum holds.
  case healed(FileHeader, Damage)
  /// A later version, or features this program does not know.
  case unsupported(Damage)
  case damaged(Damage)

  /// What the file can be read as.
  var header: FileHeader? {
    switch self {
    case .sound(let header), .healed(let header, _): header
    case .unsupported, .damaged: nil
    }
  }

  var damage: Damage? {
    switch self {
    case .sound: nil
    case .healed(_, let damage), .unsupported(let damage), .damaged(let damage): damage
    }
  }

  init(_ source: InspectedSource) {
    var bytes = ByteBuffer(capacity: FileHeader.size)
    let isWhole = source.append(0..<min(FileHeader.size, source.size), to: &bytes)
    do throws(FormatError) {
      guard isWhole else { throw .corrupt("file header cannot be read") }
      self = .sound(try Self.decode(bytes))
    } catch .corrupt(let detail) {
      let damage = Damage(.badFileHeader, file: source.name, detail: detail)
      if let header = Self.heal(&bytes) {
        var healed = damage
        healed.detail += "; one flipped bit explains it"
        self = .healed(header, healed)
      } else {
        self = .damaged(damage)
      }
    } catch {
      self = .unsupported(Damage(.unsupported, file: source.name, detail: "\(error)"))
    }
  }

  private static func decode(_ bytes: borrowing ByteBuffer) throws(FormatError) -> FileHeader {
    try bytes.withBytes { (span) throws(FormatError) in try FileHeader(decoding: span) }
  }

  /// The checksum has no seed, so the bit that explains it can be found.
  ///
  /// Frames confirm the result: theirs are seeded with what the header says.
  private static func heal(_ bytes: inout ByteBuffer) -> FileHeader? {
    let size = FileHeader.size - 4
    guard bytes.count == FileHeader.size else { return nil }
    let expected = bytes.load(at: size, as: UInt32.self)
    let found = bytes.withBytes(0..<size) { CRC32C.checksum($0) }
    let difference = expected ^ found
    if difference == 0 || difference.nonzeroBitCount == 1 {
      bytes.store(found, at: size)
    } else if let flip = BitHealing.flippedBit(
      found: found, expected: expected, byteCount: size)
    {
      let value = bytes.load(at: flip.byte, as: UInt8.self)
      bytes.store(value ^ (1 << flip.bit), at: flip.byte)
    } else {
      return nil
    }
    do throws(FormatError) {
      return try decode(bytes)
    } catch {
      return nil
    }
  }
}

extension RecoveryRule.Start {
  /// The state behind a file's header.
  static func behind(_ header: FileHeader) -> Self {
    Self(position: FileHeader.size, chain: header.chain, nextNumber: header.baseNumber, epoch: 0)
  }
}
