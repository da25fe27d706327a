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
      if let header = FileHeader.healed(&bytes) {
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
}

extension RecoveryRule.Start {
  /// The state behind a file's header.
  static func behind(_ header: FileHeader) -> Self {
    Self(position: FileHeader.size, chain: header.chain, nextNumber: header.baseNumber, epoch: 0)
  }
}
