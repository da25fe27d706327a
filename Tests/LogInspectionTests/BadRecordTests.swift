import CommitLog
import EventModel
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Records about device queues whose every checksum holds, and that are none.
@Suite("Records that are none in sound frames")
struct BadRecordTests {
  private static let root = SimulatedStore.root
  private static let time = Timestamp(microseconds: 1_800_000_000_000_000)

  /// A store with these batches of records in one of its streams.
  private func store(
    _ stream: FileHeader.Stream, _ batches: [[[UInt8]]], isSealing: Bool = false
  ) throws -> MemoryFileSystem {
    let fileSystem = MemoryFileSystem()
    try SimulatedStore.create(on: fileSystem, partitionCount: 1, seed: 1)
    let store = try SimulatedStore.open(on: fileSystem, segmentSize: 64 << 10, seed: 1)
    let log = try store.log.log(stream)
    for (number, bodies) in batches.enumerated() {
      if isSealing, number > 0 { try log.sealActive() }
      try SampleRecords.append(
        bodies.enumerated().map { (SimulatedEvents.device(UInt64($0)), $1) }, to: log,
        at: Self.time)
    }
    try store.log.close()
    return fileSystem
  }

  /// Where the frame of the record of a number stands, and the damage a walk tells.
  private func walk(
    _ fileSystem: MemoryFileSystem, _ stream: FileHeader.Stream, _ number: UInt64
  ) throws -> (position: Int?, damages: [Damage]) {
    var position: Int?
    var damages: [Damage] = []
    try StoreInspector(Self.root, fileSystem: fileSystem).walk { item in
      switch item {
      case .frame(let frame)
      where frame.header.recordCount > 0 && frame.file.hasPrefix(stream.folder)
        && (frame.header.baseNumber..<frame.header.nextNumber).contains(number):
        position = frame.position
      case .damage(let damage): damages.append(damage)
      default: break
      }
      return .goOn
    }
    return (position, damages)
  }

  private static let good = SampleRecords.body(of: .journal, 1)
  /// Bodies that are no records of the journal.
  private static let bad: [[UInt8]] = [
    [], [0], [1, 2, 3],
    SampleRecords.bytes(.deviceRemoved) + [1],
    SampleRecords.bytes(SampleRecords.settled(givesFeedback: true)) + [1],
    SampleRecords.bytes(SampleRecords.settled(), .deviceRemoved),
    SampleRecords.bytes(SampleRecords.settled()) + [2],
  ]

  @Test("One in the journal is a loss with its place, and everything else is sound", arguments: bad)
  func journal(_ body: [UInt8]) throws {
    let fileSystem = try store(
      .journal, [[Self.good, Self.good], [Self.good, body, Self.good], [Self.good]])
    let result = try Fsck.check(Self.root, fileSystem: fileSystem)
    #expect(!result.clean && result.findings.count == 1, "\(result.findings)")
    let finding = try #require(result.findings.first)
    let walked = try walk(fileSystem, .journal, 3)
    #expect(finding.kind == .badRecord && finding.severity == .error)
    #expect(finding.file.hasPrefix("queues/journal/") && finding.position == walked.position)
    #expect(finding.detail.contains("record 3"))
    let loss = try #require(finding.acknowledgedLoss)
    #expect(loss.firstSequence == 3 && loss.nextSequence == 4)
    #expect(loss.devices == [SimulatedEvents.device(1).description])
    #expect(loss.from == Self.time && loss.to == Self.time)
    #expect(walked.damages == [finding.damage])
  }

  @Test("Those that follow each other are told together, and each row of them by itself")
  func rows() throws {
    let bad: [UInt8] = [0]
    let fileSystem = try store(.journal, [[bad, bad, Self.good, bad], [bad, Self.good]])
    let losses = try Fsck.check(Self.root, fileSystem: fileSystem).findings
      .compactMap(\.acknowledgedLoss)
    #expect(losses.map(\.firstSequence) == [0, 3, 4])
    #expect(losses.map(\.nextSequence) == [2, 4, 5])
  }

  @Test(
    "Those of a later program are unsupported and no loss",
    arguments: [[7], SampleRecords.bytes(SampleRecords.settled()) + [9], [4, 1, 0, 4]] as [[UInt8]])
  func later(_ body: [UInt8]) throws {
    let fileSystem = try store(.journal, [[Self.good, body]])
    let findings = try Fsck.check(Self.root, fileSystem: fileSystem).findings
    #expect(findings.map(\.kind) == [.unsupported], "\(findings)")
    #expect(findings.first?.acknowledgedLoss == nil)
  }

  @Test(
    "What is no outcome is lost to the stream",
    arguments: [FileHeader.Stream.feedback, .deadLetter])
  func outcomes(_ stream: FileHeader.Stream) throws {
    let other: FileHeader.Stream = stream == .feedback ? .deadLetter : .feedback
    let bad = [
      SampleRecords.body(of: other, 7), SampleRecords.bytes(SampleRecords.enqueued, number: 7),
      SampleRecords.bytes(SampleRecords.settled(givesFeedback: true), number: 7) + [0],
      SampleRecords.bytes(.deviceRemoved, number: 7), [],
    ]
    for body in bad {
      let fileSystem = try store(
        stream, [[SampleRecords.body(of: stream, 5), body, SampleRecords.body(of: stream, 9)]])
      let findings = try Fsck.check(Self.root, fileSystem: fileSystem).findings
      #expect(findings.map(\.kind) == [.badRecord], "\(body): \(findings)")
      #expect(findings.first?.acknowledgedLoss?.firstSequence == 1)
      #expect(findings.first?.acknowledgedLoss?.nextSequence == 2)
    }
  }

  @Test(
    "A copy that is there twice, or behind a later one, is told also in another segment",
    arguments: [FileHeader.Stream.feedback, .deadLetter], [5, 4] as [UInt64])
  func order(_ stream: FileHeader.Stream, _ second: UInt64) throws {
    for isSealing in [false, true] {
      let fileSystem = try store(
        stream,
        [
          [SampleRecords.body(of: stream, 3), SampleRecords.body(of: stream, 5)],
          [SampleRecords.body(of: stream, second), SampleRecords.body(of: stream, 6)],
        ], isSealing: isSealing)
      let findings = try Fsck.check(Self.root, fileSystem: fileSystem).findings
        .filter { $0.kind != .missingFile }
      #expect(findings.map(\.kind) == [.badRecord], "\(findings)")
      // It is there, and everything else is as well.
      #expect(findings.first?.acknowledgedLoss == nil)
      #expect(findings.first?.detail.contains("record 2") == true)
    }
  }
}
