import EventModel
import LogFormat
import Testing

/// A row of the decision table (format-spec §5.2) as the engine meets it: a disk, and what opening
/// must make of it.
struct RecoveryCase: Sendable, CustomTestStringConvertible {
  struct Loss: Hashable, Sendable {
    var kind: RecoveryRule.Finding.Kind
    var position: Int
    var range: Range<UInt64>
  }

  struct Missing: Hashable, Sendable {
    var range: Range<UInt64>
    var reason: Gap.Reason
  }

  struct Expected: Sendable {
    /// The serial numbers that are read.
    var events: [UInt64]
    /// The number that the next event takes.
    var next: UInt64
    var tail: TailVerdict?
    var cut: Range<Int>?
    var findings: [Loss] = []
    var gaps: [Missing] = []
    var lostSuffix: Range<UInt64>?
    var possiblyAcknowledged: Range<UInt64>?
    var healed: [Int] = []
  }

  let row: String
  let make: @Sendable () throws -> (StoreImage, Expected)

  var testDescription: String { row }

  /// A case that damages the active segment of a store whose writer was killed.
  private static func damaged(
    _ row: String, _ steps: [WriterStep],
    _ damage: @escaping @Sendable (inout SegmentImage) throws -> Expected
  ) -> RecoveryCase {
    RecoveryCase(row: row) {
      var image = try StoreImage.killed(steps)
      var segment = try image.segment()
      let expected = try damage(&segment)
      image.put(segment)
      return (image, expected)
    }
  }

  /// Three durable batches, each written when the one before it was durable.
  private static let durable: [WriterStep] = [
    .write(0..<3), .sync, .write(3..<6), .sync, .write(6..<9), .sync,
  ]
  /// One durable batch, then two that no sync covers.
  private static let unsynced: [WriterStep] = [
    .write(0..<3), .sync, .mark, .write(3..<6), .write(6..<9),
  ]

  /// Frame 0 is the epoch that opening began.
  static let all: [RecoveryCase] = stale + following + bodies + tails

  private static let stale: [RecoveryCase] = [
    RecoveryCase(row: "R1, left over from before a cut") {
      var image = try StoreImage.killed([
        .write(0..<3), .sync, .write(3..<23), .write(23..<26),
      ])
      var segment = try image.segment()
      let old = (bytes: segment.bytes, stale: segment.frames[3])
      segment.truncate(to: segment.frames[1].end)
      image.put(segment)
      let fileSystem = image.memory()
      try TestStore.open(on: fileSystem, seed: 3).append([100])
      image = StoreImage(fileSystem)
      segment = try image.segment()
      let end = segment.bytes.count
      segment.bytes += Array(repeating: 0, count: old.stale.position - end)
      segment.bytes += old.bytes[old.stale.position...]
      image.put(segment)
      return (
        image,
        Expected(
          events: [0, 1, 2, 100], next: 4, tail: .tornTail, cut: end..<segment.bytes.count)
      )
    },
    damaged("R2, stale and proven", durable + [.mark]) { segment in
      let frames = segment.frames
      segment.truncate(to: frames[1].end)
      _ = segment.append(frames[1])
      let second = segment.append(frames[2], chain: frames[1].checksum)
      let third = segment.append(frames[3], chain: second.checksum)
      _ = segment.append(frames[4], chain: third.checksum)
      return Expected(
        events: Array(0..<9), next: 9,
        findings: [Loss(kind: .damaged, position: frames[1].end, range: 3..<3)])
    },
    damaged("R3, begins too low and is not proven", [.write(0..<3), .sync, .mark]) { segment in
      let end = segment.bytes.count
      _ = segment.append(segment.frames[1], base: 1, watermark: 1)
      return Expected(
        events: [0, 1, 2], next: 3, tail: .tornTail, cut: end..<segment.bytes.count)
    },
  ]

  private static let following: [RecoveryCase] = [
    damaged("R4 and R14, whole and chained, no sync needed", unsynced) { _ in
      Expected(events: Array(0..<9), next: 9)
    },
    RecoveryCase(row: "R5, an epoch behind a lost suffix") {
      var image = try StoreImage.killed(durable)
      var segment = try image.segment()
      segment.truncate(to: segment.frames[2].end)
      image.put(segment)
      let fileSystem = image.memory()
      try TestStore.open(on: fileSystem, evidence: [0: 9], seed: 3).append([100])
      return (
        StoreImage(fileSystem),
        Expected(
          events: Array(0..<6) + [100], next: 10,
          findings: [Loss(kind: .missing, position: segment.bytes.count, range: 6..<9)],
          gaps: [Missing(range: 6..<9, reason: .lostSuffix)])
      )
    },
    damaged("R6 and R17, the later frame is there, the earlier is not", unsynced) { segment in
      segment.erase(segment.frames[3])
      return Expected(
        events: [0, 1, 2], next: 3, tail: .reorderedTail,
        cut: segment.frames[3].position..<segment.frames[4].end)
    },
    damaged("R7, a chain that does not hold", durable + [.mark]) { segment in
      let frames = segment.frames
      segment.truncate(to: frames[1].end)
      let second = segment.append(frames[2], chain: 0xbad)
      let third = segment.append(frames[3], chain: second.checksum)
      _ = segment.append(frames[4], chain: third.checksum)
      return Expected(
        events: Array(0..<9), next: 9,
        findings: [Loss(kind: .brokenChain, position: frames[2].position, range: 3..<3)])
    },
    damaged("R8, numbers missing between sound frames", durable + [.mark]) { segment in
      let frames = segment.frames
      segment.truncate(to: frames[1].end)
      let third = segment.append(frames[3])
      _ = segment.append(frames[4], chain: third.checksum)
      return Expected(
        events: [0, 1, 2, 6, 7, 8], next: 9,
        findings: [Loss(kind: .missing, position: frames[1].end, range: 3..<6)],
        gaps: [Missing(range: 3..<6, reason: .damaged)])
    },
    damaged("R9, damage with proven data behind it", durable + [.mark]) { segment in
      segment.garble(segment.frames[2].position..<segment.frames[2].end)
      return Expected(
        events: [0, 1, 2, 6, 7, 8], next: 9,
        findings: [Loss(kind: .damaged, position: segment.frames[2].position, range: 3..<6)],
        gaps: [Missing(range: 3..<6, reason: .damaged)])
    },
    damaged("R10, damage before a frame that testifies", durable) { segment in
      segment.garble(segment.frames[2].position..<segment.frames[2].end)
      return Expected(
        events: [0, 1, 2, 6, 7, 8], next: 9,
        findings: [Loss(kind: .damaged, position: segment.frames[2].position, range: 3..<6)],
        gaps: [Missing(range: 3..<6, reason: .damaged)])
    },
  ]

  private static let bodies: [RecoveryCase] = [
    damaged("R11 and R15, the last group before the crash", unsynced) { segment in
      segment.garbleBody(of: segment.frames[3])
      return Expected(
        events: [0, 1, 2], next: 3, tail: .undecidableTail,
        cut: segment.frames[3].position..<segment.bytes.count, possiblyAcknowledged: 3..<9)
    },
    damaged("R15, a flipped bit of the last body is healed", unsynced) { segment in
      let position = segment.frames[4].bodyRange.lowerBound + 5
      segment.flipBit(at: position)
      return Expected(events: Array(0..<9), next: 9, healed: [position])
    },
    damaged("R15, flipped bits of a header and a clear section are healed", unsynced) { segment in
      let positions = [
        segment.frames[3].position + 20, segment.frames[4].clearRange.lowerBound + 9,
      ]
      for position in positions { segment.flipBit(at: position) }
      return Expected(events: Array(0..<9), next: 9, healed: positions)
    },
    damaged("R12, a damaged body is left to readers", durable + [.mark]) { segment in
      segment.garbleBody(of: segment.frames[2])
      return Expected(
        events: [0, 1, 2, 6, 7, 8], next: 9, gaps: [Missing(range: 3..<6, reason: .damaged)])
    },
  ]

  private static let tails: [RecoveryCase] = [
    damaged("R13, the witness of the loss cannot stay", durable) { segment in
      segment.erase(segment.frames[2])
      segment.garbleBody(of: segment.frames[3])
      return Expected(
        events: [0, 1, 2], next: 6, tail: .lostSuffix,
        cut: segment.frames[1].end..<segment.bytes.count,
        gaps: [Missing(range: 3..<6, reason: .lostSuffix)], lostSuffix: 3..<6,
        possiblyAcknowledged: 6..<9)
    },
    damaged("R14, zeros behind the log are reserved space", unsynced) { segment in
      segment.bytes += Array(repeating: 0, count: 8_192)
      return Expected(events: Array(0..<9), next: 9)
    },
    damaged("R16, a frame that was torn", unsynced) { segment in
      let last = segment.frames[4]
      segment.erase(last.position..<last.position + 64)
      let end = segment.bytes.lastIndex { $0 != 0 } ?? 0
      return Expected(
        events: Array(0..<6), next: 6, tail: .tornTail, cut: last.position..<end + 1)
    },
    damaged("R16, garbage behind the log", unsynced) { segment in
      let end = segment.bytes.count
      segment.bytes += (0..<1_000).map { UInt8(truncatingIfNeeded: $0 &* 7 | 1) }
      return Expected(
        events: Array(0..<9), next: 9, tail: .tornTail, cut: end..<segment.bytes.count)
    },
  ]
}
