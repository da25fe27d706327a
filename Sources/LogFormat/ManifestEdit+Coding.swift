internal import EventModel

/// Each edit is a kind, the size of its fields and the fields (format-spec §8).
extension ManifestEdit {
  private enum Kind {
    static let identity: UInt8 = 1
    static let configuration: UInt8 = 2
    static let segmentAdded: UInt8 = 3
    static let segmentSealed: UInt8 = 4
    static let segmentRetired: UInt8 = 5
    static let cut: UInt8 = 6
    static let gap: UInt8 = 7
    static let opened: UInt8 = 8
    static let closed: UInt8 = 9
    static let segmentIDFloor: UInt8 = 10
    static let segmentReplaced: UInt8 = 11
    static let readingFirst: UInt8 = 12
    static let queuesFiled: UInt8 = 13
    /// Kinds from here on may be passed over by a reader that does not know them.
    static let ignorable: UInt8 = 128
  }

  package func encode(into buffer: inout ByteBuffer) {
    var fields = ByteBuffer(capacity: 128)
    let kind = encodeFields(into: &fields)
    buffer.append(kind)
    buffer.appendVariableLength(UInt64(fields.count))
    fields.withBytes { buffer.append($0) }
  }

  private func encodeFields(into fields: inout ByteBuffer) -> UInt8 {
    switch self {
    case .identity(let identity):
      fields.append(identity.partitionCount)
      fields.append(identity.partitionFunction)
      return Kind.identity
    case .configuration(let configuration):
      fields.append(configuration.codec.rawValue)
      fields.append(configuration.segmentSize)
      fields.append(configuration.batchSize)
      fields.append(configuration.retentionAge)
      fields.append(configuration.retentionSize)
      return Kind.configuration
    case .segmentAdded(let segment):
      segment.encode(into: &fields)
      return Kind.segmentAdded
    case .segmentSealed(let sealed):
      fields.append(sealed.segmentID)
      sealed.summary.encode(into: &fields)
      return Kind.segmentSealed
    case .segmentRetired(let segmentID):
      fields.append(segmentID)
      return Kind.segmentRetired
    case .segmentReplaced(let replaced):
      fields.append(replaced.segmentID)
      replaced.added.encode(into: &fields)
      replaced.summary.encode(into: &fields)
      return Kind.segmentReplaced
    case .readingFirst(let rule):
      fields.append(UInt8(rule.isOn ? 1 : 0))
      fields.append(rule.sizeMax)
      return Kind.readingFirst
    case .queuesFiled(let checkpoint):
      fields.append(checkpoint.number)
      fields.append(checkpoint.floor)
      return Kind.queuesFiled
    case .cut(let cut):
      cut.encode(into: &fields)
      return Kind.cut
    case .gap(let gap):
      gap.encode(into: &fields)
      return Kind.gap
    case .segmentIDFloor(let segmentID):
      fields.append(segmentID)
      return Kind.segmentIDFloor
    case .opened(let time):
      fields.append(time.microseconds)
      return Kind.opened
    case .closed(let time, let ends, let checkpoints):
      fields.append(time.microseconds)
      fields.appendVariableLength(UInt64(ends.count))
      for end in ends {
        end.log.encode(into: &fields)
        fields.append(end.segmentID)
        end.summary.encode(into: &fields)
      }
      checkpoints.encode(into: &fields)
      return Kind.closed
    }
  }

  /// Decodes the edits of a frame's body.
  package static func decodeAll(
    _ bytes: RawSpan, count: Int
  ) throws(FormatError) -> [ManifestEdit] {
    var reader = ByteReader(bytes)
    var edits: [ManifestEdit] = []
    for _ in 0..<count {
      let kind = try reader.integer(UInt8.self)
      let range = try reader.range(try reader.count(atMost: reader.remaining))
      guard kind < Kind.ignorable else { continue }
      var fields = ByteReader(bytes.extracting(range))
      edits.append(try decode(kind, &fields))
      guard fields.remaining == 0 else {
        throw .corrupt("a manifest edit of kind \(kind) has \(fields.remaining) bytes too many")
      }
    }
    guard reader.remaining == 0 else {
      throw .corrupt("\(reader.remaining) bytes follow the manifest edits")
    }
    return edits
  }

  @_lifetime(fields: copy fields)
  private static func decode(
    _ kind: UInt8, _ fields: inout ByteReader
  ) throws(FormatError) -> ManifestEdit {
    switch kind {
    case Kind.identity:
      var identity = StoreIdentity(partitionCount: try fields.integer())
      identity.partitionFunction = try fields.integer()
      guard identity.partitionFunction == 1 else {
        throw .unsupportedFeatures(UInt32(identity.partitionFunction))
      }
      guard (1...UInt32(Limits.partitionCountMax)).contains(identity.partitionCount) else {
        throw .corrupt("a store of \(identity.partitionCount) partitions")
      }
      return .identity(identity)
    case Kind.configuration:
      let number = try fields.integer(UInt8.self)
      guard let codec = CompressionCodec(rawValue: number) else {
        throw .unsupportedFeatures(UInt32(number))
      }
      let configuration = StoredConfiguration(
        codec: codec, segmentSize: try fields.integer(), batchSize: try fields.integer(),
        retentionAge: try fields.integer(), retentionSize: try fields.integer())
      guard configuration.segmentSize <= Limits.segmentSizeMax,
        configuration.batchSize <= Limits.batchSizeMax
      else {
        throw .corrupt(
          "segments of \(configuration.segmentSize) and batches of \(configuration.batchSize) bytes"
        )
      }
      return .configuration(configuration)
    case Kind.segmentAdded: return .segmentAdded(try SegmentAdded(decoding: &fields))
    case Kind.segmentSealed:
      return .segmentSealed(
        SegmentSealed(
          segmentID: try fields.number(), summary: try SegmentSummary(decoding: &fields)))
    case Kind.segmentRetired: return .segmentRetired(segmentID: try fields.number())
    case Kind.segmentReplaced:
      return .segmentReplaced(
        SegmentReplaced(
          segmentID: try fields.number(), added: try SegmentAdded(decoding: &fields),
          summary: try SegmentSummary(decoding: &fields)))
    case Kind.readingFirst:
      return .readingFirst(
        ReadingFirst(
          isOn: try fields.integer(UInt8.self) == 1, sizeMax: try fields.integer()))
    case Kind.queuesFiled:
      return .queuesFiled(
        QueueCheckpoint(number: try fields.checkpoint(), floor: try fields.number()))
    case Kind.cut: return .cut(try TailCut(decoding: &fields))
    case Kind.gap: return .gap(try RecordedGap(decoding: &fields))
    case Kind.opened: return .opened(Timestamp(microseconds: try fields.integer()))
    case Kind.segmentIDFloor: return .segmentIDFloor(try fields.number())
    case Kind.closed: return try decodeClosed(&fields)
    default: throw .unsupportedFeatures(UInt32(kind))
    }
  }

  @_lifetime(fields: copy fields)
  private static func decodeClosed(
    _ fields: inout ByteReader
  ) throws(FormatError) -> ManifestEdit {
    let time = Timestamp(microseconds: try fields.integer())
    var ends: [LogEnd] = []
    for _ in 0..<(try fields.count(atMost: fields.remaining)) {
      ends.append(
        LogEnd(
          log: try LogID(decoding: &fields), segmentID: try fields.number(),
          summary: try SegmentSummary(decoding: &fields)))
    }
    return .closed(time, ends, try CheckpointsEnd(decoding: &fields))
  }
}

extension ManifestEdit.LogID {
  fileprivate func encode(into fields: inout ByteBuffer) {
    fields.append(stream.rawValue)
    fields.append(partition)
  }

  @_lifetime(fields: copy fields)
  fileprivate init(decoding fields: inout ByteReader) throws(FormatError) {
    let number = try fields.integer(UInt32.self)
    guard let stream = FileHeader.Stream(rawValue: number) else {
      throw .unsupportedFeatures(number)
    }
    self.init(stream: stream, partition: try fields.integer())
    guard isPossible else { throw .corrupt("partition \(partition) of stream \(number)") }
  }
}

extension ManifestEdit.SegmentAdded {
  fileprivate func encode(into fields: inout ByteBuffer) {
    log.encode(into: &fields)
    fields.append(segmentID)
    fields.append(salt)
    fields.append(baseNumber)
    fields.append(predecessorID)
    fields.append(predecessorChain)
    fields.append(created.microseconds)
  }

  @_lifetime(fields: copy fields)
  fileprivate init(decoding fields: inout ByteReader) throws(FormatError) {
    self.init(
      log: try ManifestEdit.LogID(decoding: &fields), segmentID: try fields.number(),
      salt: try fields.integer(), baseNumber: try fields.number(),
      predecessorID: try fields.number(), predecessorChain: try fields.integer(),
      created: Timestamp(microseconds: try fields.integer()))
  }
}

extension ManifestEdit.CheckpointsEnd {
  fileprivate func encode(into fields: inout ByteBuffer) {
    fields.append(salt)
    fields.append(position)
    fields.append(chain)
  }

  @_lifetime(fields: copy fields)
  fileprivate init(decoding fields: inout ByteReader) throws(FormatError) {
    self.init(
      salt: try fields.integer(), position: try fields.integer(), chain: try fields.integer())
    guard self == .unknown || FrameHeader.isPlace(position) else {
      throw .corrupt("no checkpoints can end at position \(position)")
    }
  }
}

extension ManifestEdit.TailCut {
  fileprivate func encode(into fields: inout ByteBuffer) {
    fields.append(segmentID)
    fields.append(position)
    fields.append(size)
    fields.append(verdict.rawValue)
    fields.append(nextNumber)
    fields.append(watermark)
    fields.append(time.microseconds)
    fields.appendText(quarantineName)
  }

  @_lifetime(fields: copy fields)
  fileprivate init(decoding fields: inout ByteReader) throws(FormatError) {
    let segmentID = try fields.number()
    let position = try fields.number()
    let size = try fields.number()
    let number = try fields.integer(UInt8.self)
    guard let verdict = TailVerdict(rawValue: number) else {
      throw .corrupt("tail verdict \(number)")
    }
    self.init(
      segmentID: segmentID, position: position, size: size, verdict: verdict,
      nextNumber: try fields.number(), watermark: try fields.number(),
      time: Timestamp(microseconds: try fields.integer()),
      quarantineName: try fields.text(sizeMax: 255))
  }
}

extension ManifestEdit.RecordedGap {
  fileprivate func encode(into fields: inout ByteBuffer) {
    log.encode(into: &fields)
    fields.append(segmentID)
    fields.append(first)
    fields.append(next)
    fields.append(reason.rawValue)
    fields.append(from.microseconds)
    fields.append(to.microseconds)
  }

  @_lifetime(fields: copy fields)
  fileprivate init(decoding fields: inout ByteReader) throws(FormatError) {
    let log = try ManifestEdit.LogID(decoding: &fields)
    let segmentID = try fields.number()
    let first = try fields.number()
    let next = try fields.number()
    let number = try fields.integer(UInt8.self)
    guard let reason = ManifestEdit.GapReason(rawValue: number), first <= next else {
      throw .corrupt("a gap from \(first) to \(next) with reason \(number)")
    }
    self.init(
      log: log, segmentID: segmentID, first: first, next: next, reason: reason,
      from: Timestamp(microseconds: try fields.integer()),
      to: Timestamp(microseconds: try fields.integer()))
  }
}

extension SegmentSummary {
  /// Whether so many records and batches can stand in a segment before a number and a position:
  /// numbers are given once, and a batch takes a frame.
  static func isPossible(
    _ records: UInt64, _ batches: UInt64, below number: UInt64, at position: UInt64
  ) -> Bool {
    records <= number && batches <= position / UInt64(FrameHeader.alignment)
  }

  fileprivate func encode(into fields: inout ByteBuffer) {
    fields.append(endPosition)
    fields.append(nextNumber)
    fields.append(chain)
    fields.append(epoch)
    fields.append(recordCount)
    fields.append(batchCount)
    fields.append(eventSize)
    fields.append(firstTime.microseconds)
    fields.append(lastTime.microseconds)
  }

  @_lifetime(fields: copy fields)
  fileprivate init(decoding fields: inout ByteReader) throws(FormatError) {
    self.init(
      endPosition: try fields.framePosition(), nextNumber: try fields.number(),
      chain: try fields.integer(), epoch: try fields.integer())
    recordCount = try fields.integer()
    batchCount = try fields.integer()
    guard Self.isPossible(recordCount, batchCount, below: nextNumber, at: endPosition) else {
      throw .corrupt(
        "\(recordCount) records in \(batchCount) batches before \(nextNumber) at \(endPosition)")
    }
    eventSize = try fields.integer()
    firstTime = Timestamp(microseconds: try fields.integer())
    lastTime = Timestamp(microseconds: try fields.integer())
  }
}

extension [ManifestEdit] {
  /// Whether they can be read again: nothing may be written that no reader takes.
  ///
  /// - Throws: `.corrupt` where one holds a number beyond what the format has.
  package func checkCoding() throws(FormatError) {
    var bytes = ByteBuffer(capacity: 4 << 10)
    for edit in self { edit.encode(into: &bytes) }
    let count = count
    let decoded = try bytes.withBytes { (bytes) throws(FormatError) in
      try ManifestEdit.decodeAll(bytes, count: count)
    }
    guard decoded == self else { throw .corrupt("manifest edits that cannot be read again") }
  }
}
