import EventModel
import LogFormat
import Testing

@Suite struct ManifestEditTests {
  static let log = ManifestEdit.LogID(stream: .deadLetter, partition: 1_023)

  static let summary: SegmentSummary = {
    var summary = SegmentSummary(
      endPosition: 4_096, nextNumber: Limits.numberMax, chain: 7, epoch: 65_535)
    summary.recordCount = 1 << 50
    summary.batchCount = 3
    summary.eventSize = 1 << 60
    summary.firstTime = Timestamp(microseconds: -5)
    summary.lastTime = Timestamp(microseconds: .max)
    return summary
  }()

  static func added(_ id: UInt64, partition: UInt32 = 0, base: UInt64 = 0) -> ManifestEdit {
    .segmentAdded(
      ManifestEdit.SegmentAdded(
        log: ManifestEdit.LogID(stream: .events, partition: partition), segmentID: id,
        salt: id &* 31, baseNumber: base, predecessorID: id - 1, predecessorChain: 9,
        created: Fixed.time))
  }

  static let every: [ManifestEdit] = [
    .identity(ManifestEdit.StoreIdentity(partitionCount: 1_024)),
    .configuration(
      ManifestEdit.StoredConfiguration(
        codec: .zstd, segmentSize: 1 << 27, batchSize: 65_536, retentionAge: .max,
        retentionSize: 5)),
    added(1),
    .segmentSealed(ManifestEdit.SegmentSealed(segmentID: 1, summary: summary)),
    .segmentRetired(segmentID: 1),
    .cut(
      ManifestEdit.TailCut(
        segmentID: 1, position: 64, size: 5, verdict: .undecidableTail, nextNumber: 8,
        watermark: 8, time: Fixed.time, quarantineName: "cut-0000-é")),
    .gap(
      ManifestEdit.RecordedGap(
        log: log, segmentID: 1, first: 8, next: Limits.numberMax, reason: .missingSegment,
        from: Fixed.time,
        to: Fixed.time)),
    .segmentIDFloor(77),
    .queuesFiled(.init(number: 3, floor: 1_000)),
    .opened(Fixed.time),
    .closed(
      Fixed.time, [ManifestEdit.LogEnd(log: log, segmentID: 9, summary: summary)],
      .init(salt: .max, position: 4_096, chain: 7)),
    .closed(Fixed.time, [], .unknown),
  ]

  static func encode(_ edits: [ManifestEdit]) -> [UInt8] {
    var buffer = ByteBuffer()
    for edit in edits { edit.encode(into: &buffer) }
    return buffer.array(0..<buffer.count)
  }

  static func decode(_ bytes: [UInt8], count: Int) throws(FormatError) -> [ManifestEdit] {
    let span = bytes.span
    return try ManifestEdit.decodeAll(span.bytes, count: count)
  }

  @Test func `every edit comes back as it was written`() throws {
    let bytes = Self.encode(Self.every)
    #expect(try Self.decode(bytes, count: Self.every.count) == Self.every)
  }

  @Test func `every cut of an edit is damage`() {
    for edit in Self.every {
      let bytes = Self.encode([edit])
      for count in 0..<bytes.count {
        let failure = #expect(throws: FormatError.self) {
          try Self.decode(Array(bytes[..<count]), count: 1)
        }
        guard case .corrupt = failure else {
          Issue.record("\(edit) cut to \(count) bytes: \(String(describing: failure))")
          continue
        }
      }
    }
  }

  @Test func `a checkpoint of the queues beyond the last one is damage`() throws {
    for (number, holds) in [
      (0, false), (1, true), (Limits.queueCheckpointMax, true),
      (Limits.queueCheckpointMax + 1, false), (.max, false),
    ] as [(UInt32, Bool)] {
      let edits = [ManifestEdit.queuesFiled(.init(number: number, floor: 0))]
      #expect((try? Self.decode(Self.encode(edits), count: 1)) == (holds ? edits : nil))
      #expect(((try? edits.checkCoding()) != nil) == holds)
    }
  }

  @Test func `a summary of what no segment can hold is damage`() throws {
    let changes: [(inout SegmentSummary) -> Void] = [
      { $0.endPosition = 64 }, { $0.endPosition = 4_100 },
      { $0.endPosition = Limits.framePositionMax + 64 }, { $0.endPosition = 1 << 63 },
      { $0.endPosition = .max }, { $0.nextNumber = Limits.numberMax + 1 },
      { $0.recordCount = $0.nextNumber + 1 }, { $0.recordCount = .max },
      { $0.batchCount = $0.endPosition / 64 + 1 }, { $0.batchCount = .max },
    ]
    for (index, change) in changes.enumerated() {
      var summary = Self.summary
      change(&summary)
      for edit: ManifestEdit in [
        .segmentSealed(.init(segmentID: 1, summary: summary)),
        .closed(Fixed.time, [.init(log: Self.log, segmentID: 1, summary: summary)], .unknown),
      ] {
        #expect(throws: FormatError.self, "\(index)") {
          try Self.decode(Self.encode([edit]), count: 1)
        }
        #expect(throws: FormatError.self, "\(index)") { try [edit].checkCoding() }
      }
    }
    var last = Self.summary
    last.endPosition = Limits.framePositionMax
    last.recordCount = last.nextNumber
    last.batchCount = last.endPosition / 64
    last.eventSize = .max
    let edits = [ManifestEdit.segmentSealed(.init(segmentID: 1, summary: last))]
    #expect(try Self.decode(Self.encode(edits), count: 1) == edits)
  }

  @Test func `numbers beyond the format's bounds are damage in every edit`() {
    var segment = ManifestEdit.SegmentAdded(
      log: Self.log, segmentID: 1, salt: 1, baseNumber: 0, predecessorID: Limits.numberMax + 1,
      predecessorChain: 0, created: Fixed.time)
    var edits: [ManifestEdit] = [.segmentAdded(segment), .segmentIDFloor(1 << 63)]
    (segment.predecessorID, segment.segmentID) = (0, .max)
    edits += [
      .segmentAdded(segment), .queuesFiled(.init(number: 1, floor: 1 << 63)),
      .configuration(.init(codec: .lz4, segmentSize: 1 << 34 + 1, batchSize: 65_536)),
      .configuration(.init(codec: .lz4, segmentSize: 1 << 27, batchSize: 1 << 20 + 1)),
    ]
    for edit in edits {
      #expect(throws: FormatError.self, "\(edit)") {
        try Self.decode(Self.encode([edit]), count: 1)
      }
    }
  }

  @Test func `an edit with bytes to spare is damage`() {
    var bytes = Self.encode([.segmentIDFloor(1)])
    bytes[1] += 1
    #expect(throws: FormatError.self) { try Self.decode(bytes + [0], count: 1) }
    #expect(throws: FormatError.self) {
      try Self.decode(Self.encode([.segmentIDFloor(1)]) + [0], count: 1)
    }
  }

  @Test func `unknown edits are passed over from 128 on and unsupported below`() throws {
    let known = Self.encode([.segmentIDFloor(3)])
    #expect(try Self.decode([200, 3, 1, 2, 3] + known, count: 2) == [.segmentIDFloor(3)])
    #expect(throws: FormatError.unsupportedFeatures(99)) {
      try Self.decode([99, 1, 0] + known, count: 2)
    }
  }

  @Test func `mutated edits give typed errors or values`() {
    let seed: UInt64 = 11
    var random = SeededRandom(seed)
    let whole = Self.encode(Self.every)
    for _ in 0..<4_000 {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(
          in: 0...255, using: &random)
      }
      // Reaching the end without a trap is the point; a value must encode again.
      if let edits = try? Self.decode(bytes, count: Self.every.count) {
        #expect(Self.encode(edits).count <= bytes.count, "seed \(seed)")
      }
    }
  }
}

@Suite struct ManifestStateTests {
  private func state(_ edits: [ManifestEdit]) throws -> ManifestState {
    var state = ManifestState()
    for edit in edits { try state.apply(edit) }
    return state
  }

  @Test func `replaying a snapshot gives the state it was taken of`() throws {
    let seed: UInt64 = 12
    var random = SeededRandom(seed)
    for round in 0..<50 {
      var edits = Array(ManifestEditTests.every.prefix(2))
      var live: [UInt64] = []
      for id in 1...UInt64.random(in: 1...30, using: &random) {
        edits.append(
          ManifestEditTests.added(id, partition: .random(in: 0..<3, using: &random), base: id * 10))
        live.append(id)
        if random.chance(60), let id = live.randomElement(using: &random) {
          edits.append(
            .segmentSealed(
              ManifestEdit.SegmentSealed(segmentID: id, summary: ManifestEditTests.summary)))
        }
        if random.chance(30) {
          edits.append(.segmentRetired(segmentID: live.removeFirst()))
        }
      }
      edits += [ManifestEditTests.every[5], ManifestEditTests.every[6]]
      let state = try state(edits)
      let replayed = try self.state(state.snapshot)
      #expect(replayed.logs == state.logs, "seed \(seed), round \(round)")
      #expect(replayed.identity == state.identity)
      #expect(replayed.configuration == state.configuration)
      #expect(replayed.gaps == state.gaps && replayed.cuts == state.cuts)
      #expect(replayed.segmentIDMax == state.segmentIDMax)
      // A snapshot of a snapshot is the same edits, and a later id is still free.
      #expect(replayed.snapshot == state.snapshot)
    }
  }

  @Test func `a segment id is never given twice, not even after its segment retired`() throws {
    let edits = [ManifestEditTests.added(5), .segmentRetired(segmentID: 5)]
    let state = try state(edits)
    var replayed = try self.state(state.snapshot)
    #expect(replayed.segmentIDMax == 5 && replayed.logs.isEmpty)
    #expect(throws: FormatError.self) { try replayed.apply(ManifestEditTests.added(5)) }
    try replayed.apply(ManifestEditTests.added(6))
  }

  @Test func `edits about unknown segments are damage`() throws {
    var state = ManifestState()
    #expect(throws: FormatError.self) { try state.apply(.segmentRetired(segmentID: 1)) }
  }

  @Test func `a segment that ends before it begins is damage`() throws {
    let base = ManifestEditTests.summary.nextNumber
    for (base, holds) in [(base, true), (base + 1, false)] {
      let log = ManifestEdit.LogID(stream: .events, partition: 0)
      for edit: ManifestEdit in [
        .segmentSealed(.init(segmentID: 5, summary: ManifestEditTests.summary)),
        .closed(
          Fixed.time, [.init(log: log, segmentID: 5, summary: ManifestEditTests.summary)],
          .unknown),
      ] {
        let edits = [ManifestEditTests.added(5, base: base), edit]
        #expect(((try? state(edits)) != nil) == holds)
      }
    }
  }

  @Test func `an open store forgets that it was closed`() throws {
    let end = ManifestEdit.LogEnd(
      log: ManifestEditTests.log, segmentID: 9, summary: ManifestEditTests.summary)
    let checkpoints = ManifestEdit.CheckpointsEnd(salt: 1, position: 192, chain: 2)
    var state = try state([.closed(Fixed.time, [end], checkpoints)])
    #expect(state.closedEnd(of: ManifestEditTests.log) == end)
    #expect(state.checkpointWitness == CheckpointWitness(end: checkpoints, isClosed: true))
    try state.apply(.opened(Fixed.time))
    #expect(state.closedEnd(of: ManifestEditTests.log) == nil)
    // It still was there.
    #expect(state.checkpointWitness == CheckpointWitness(end: checkpoints, isClosed: false))
  }

  @Test func `checkpoints end where a frame can end, or nobody knows where`() throws {
    for (position, salt) in [(64, 1), (200, 1), (Limits.framePositionMax + 64, 1), (0, 1)] {
      let end = ManifestEdit.CheckpointsEnd(
        salt: UInt64(salt), position: UInt64(position), chain: 0)
      #expect(throws: FormatError.self) {
        try ManifestEditTests.decode(
          ManifestEditTests.encode([.closed(Fixed.time, [], end)]), count: 1)
      }
    }
  }

  @Test func `another file is damage while the store is closed, a shorter one always`() {
    let end = ManifestEdit.CheckpointsEnd(salt: 1, position: 256, chain: 9)
    for isClosed in [true, false] {
      let witness = CheckpointWitness(end: end, isClosed: isClosed)
      #expect(witness.loss(salt: 1) { $0 == 256 && $1 == 9 } == nil)
      #expect(witness.loss(salt: 1) { _, _ in false } == .lastCommits)
      #expect(witness.loss(salt: 2) { _, _ in true } == (isClosed ? .otherFile : nil))
      let unknown = CheckpointWitness(end: .unknown, isClosed: isClosed)
      #expect(unknown.loss(salt: 0) { _, _ in false } == nil)
      #expect(witness.closingEnd(salt: 1) == end)
      #expect(witness.closingEnd(salt: 2) == (isClosed ? end : .unknown))
      #expect(witness.closingEnd(salt: nil) == (isClosed ? end : .unknown))
    }
  }
}

@Suite struct CheckpointEntryTests {
  private static let every: [CheckpointEntry] = [
    .groupCreated(.standard, at: Fixed.time),
    .groupDeleted("a.b-c_1", at: Timestamp(microseconds: .min)),
    .checkpoint(
      CheckpointEntry.GroupCheckpoint(
        group: "workers", partition: 1_023, next: Limits.numberMax, ownerEpoch: Limits.numberMax,
        time: Fixed.time)),
  ]

  private static func encode(_ entries: [CheckpointEntry]) -> [UInt8] {
    var buffer = ByteBuffer()
    for entry in entries { entry.encode(into: &buffer) }
    return buffer.array(0..<buffer.count)
  }

  private static func decode(
    _ bytes: [UInt8], count: Int
  ) throws(FormatError) -> [CheckpointEntry] {
    let span = bytes.span
    return try CheckpointEntry.decodeAll(span.bytes, count: count)
  }

  @Test func `every entry comes back as it was written`() throws {
    #expect(try Self.decode(Self.encode(Self.every), count: 3) == Self.every)
  }

  @Test func `every cut of an entry is damage`() {
    for entry in Self.every {
      let bytes = Self.encode([entry])
      for count in 0..<bytes.count {
        #expect(throws: FormatError.self) { try Self.decode(Array(bytes[..<count]), count: 1) }
      }
    }
  }

  @Test func `an owner's epoch beyond the last one is damage`() throws {
    for (epoch, holds) in [(Limits.numberMax, true), (Limits.numberMax + 1, false), (.max, false)] {
      for entry: CheckpointEntry in [
        .owner(.init(group: "workers", partition: 0, epoch: epoch, time: Fixed.time)),
        .checkpoint(
          .init(group: "workers", partition: 0, next: 1, ownerEpoch: epoch, time: Fixed.time)),
      ] {
        let decoded = try? Self.decode(Self.encode([entry]), count: 1)
        #expect(decoded == (holds ? [entry] : nil))
      }
    }
  }

  @Test func `unknown entries are passed over from 128 on and unsupported below`() throws {
    let known = Self.encode([Self.every[0]])
    #expect(try Self.decode([128, 0] + known, count: 2) == [Self.every[0]])
    #expect(throws: FormatError.unsupportedFeatures(5)) {
      try Self.decode([5, 1, 0] + known, count: 2)
    }
  }
}
