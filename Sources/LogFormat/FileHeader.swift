package import EventModel

/// The first 128 bytes of every file of a store (format-spec §2).
///
/// Its place and checksum are the same in every version, so that a newer format is told apart from
/// damage.
package struct FileHeader: Hashable, Sendable {
  package enum Kind: UInt8, Sendable, CaseIterable {
    case segment = 1
    case manifest = 2
    case checkpoints = 3
    case journal = 4
    case queue = 5
    case index = 6
    case footer = 7
    case queueDirectory = 8
  }

  /// Which of a store's logs a segment belongs to.
  package enum Stream: UInt32, Sendable, CaseIterable {
    case events = 0
    case feedback = 1
    case deadLetter = 2
    case journal = 3
  }

  package static let size = 128
  package static let version: UInt16 = 1
  /// Damaged by text-mode transfers, cut by tools that stop at a zero or a line end, invalid UTF-8.
  static let magic: [UInt8] = [0x8d, 0x4d, 0x4c, 0x52, 0x0d, 0x0a, 0x1a, 0x0a]

  package var kind: Kind
  /// The three sets of format-spec §12.
  package var incompatibleFlags: UInt32 = 0
  package var readOnlyCompatibleFlags: UInt32 = 0
  package var compatibleFlags: UInt32 = 0
  package var storeID: StoreID
  package var fileID: UInt64
  package var salt: UInt64
  package var stream: Stream = .events
  package var partition: UInt32 = 0
  /// The number of the first record, operation or edit that the file may hold.
  package var baseNumber: UInt64 = 0
  package var created: Timestamp
  /// The file that came before in the same log; 0 if none.
  package var predecessorID: UInt64 = 0
  /// The chain value of the predecessor's last frame.
  package var predecessorChain: UInt32 = 0

  package init(
    kind: Kind, storeID: StoreID, fileID: UInt64, salt: UInt64, created: Timestamp
  ) {
    self.kind = kind
    self.storeID = storeID
    self.fileID = fileID
    self.salt = salt
    self.created = created
  }

  package var identity: FrameIdentity {
    FrameIdentity(storeID: storeID, fileID: fileID, salt: salt)
  }

  package func encode(into buffer: inout ByteBuffer) {
    let start = buffer.count
    buffer.append(Self.magic)
    buffer.append(Self.version)
    buffer.append(kind.rawValue)
    buffer.append(UInt8(0))
    buffer.append(incompatibleFlags)
    buffer.append(readOnlyCompatibleFlags)
    buffer.append(compatibleFlags)
    buffer.append(storeID.high)
    buffer.append(storeID.low)
    buffer.append(fileID)
    buffer.append(salt)
    buffer.append(stream.rawValue)
    buffer.append(partition)
    buffer.append(baseNumber)
    buffer.append(created.microseconds)
    buffer.append(predecessorID)
    buffer.append(predecessorChain)
    buffer.appendZeros(Self.size - 4 - (buffer.count - start))
    buffer.append(buffer.withBytes(start..<buffer.count) { CRC32C.checksum($0) })
  }

  /// The chain value that the file's first frame continues.
  package var chain: UInt32 {
    var buffer = ByteBuffer(capacity: Self.size)
    encode(into: &buffer)
    return buffer.load(at: Self.size - 4, as: UInt32.self)
  }

  /// Decodes a header.
  ///
  /// - Throws: `.corrupt` when the bytes are not a header of this store's kind, and
  ///   `.unsupportedVersion` or `.unsupportedFeatures` when they are one from a later program.
  package init(decoding bytes: RawSpan) throws(FormatError) {
    guard bytes.byteCount >= Self.size else {
      throw .corrupt("file header has \(bytes.byteCount) bytes, expected \(Self.size)")
    }
    var reader = ByteReader(bytes)
    guard try reader.array(8) == Self.magic else {
      throw .corrupt("file header does not begin with the magic number of a store's file")
    }
    let stored = try Self.storedChecksum(bytes)
    let computed = CRC32C.checksum(bytes.extracting(0..<Self.size - 4))
    guard stored == computed else {
      throw .corrupt(
        "file header checksum is \(Hexadecimal.text(stored)), "
          + "expected \(Hexadecimal.text(computed))")
    }
    let version = try reader.integer(UInt16.self)
    guard version <= Self.version else {
      throw .unsupportedVersion(found: version, newest: Self.version)
    }
    guard version > 0 else { throw .corrupt("file header names version 0") }
    let kindNumber = try reader.integer(UInt8.self)
    guard let kind = Kind(rawValue: kindNumber) else {
      throw .unsupportedFeatures(UInt32(kindNumber))
    }
    try reader.skip(1)
    self.kind = kind
    incompatibleFlags = try reader.integer()
    readOnlyCompatibleFlags = try reader.integer()
    compatibleFlags = try reader.integer()
    guard incompatibleFlags == 0 else { throw .unsupportedFeatures(incompatibleFlags) }
    storeID = StoreID(high: try reader.integer(), low: try reader.integer())
    fileID = try reader.number()
    salt = try reader.integer()
    let streamNumber = try reader.integer(UInt32.self)
    guard let stream = Stream(rawValue: streamNumber) else {
      throw .unsupportedFeatures(streamNumber)
    }
    self.stream = stream
    partition = try reader.integer()
    baseNumber = try reader.number()
    created = Timestamp(microseconds: try reader.integer())
    predecessorID = try reader.number()
    predecessorChain = try reader.integer()
    guard ManifestEdit.LogID(self).isPossible else {
      throw .corrupt("file header names partition \(partition) of stream \(streamNumber)")
    }
    if kind == .queue || kind == .queueDirectory {
      guard let checkpoint = UInt32(exactly: fileID), FileNames.isCheckpoint(checkpoint) else {
        throw .corrupt("file header names checkpoint \(fileID) of the queues")
      }
    }
  }

  private static func storedChecksum(_ bytes: RawSpan) throws(FormatError) -> UInt32 {
    var reader = ByteReader(bytes, at: size - 4)
    return try reader.integer()
  }

  /// Whether a program that does not know every feature in the header must not write.
  package var isReadOnly: Bool { readOnlyCompatibleFlags != 0 }

  /// Whether it is another header but for features that a reader need not know.
  package func agrees(with other: FileHeader) -> Bool {
    var (mine, theirs) = (self, other)
    (mine.readOnlyCompatibleFlags, mine.compatibleFlags) = (0, 0)
    (theirs.readOnlyCompatibleFlags, theirs.compatibleFlags) = (0, 0)
    return mine == theirs
  }
}
