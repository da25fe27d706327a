internal import EventModel
internal import LogFormat

/// What a segment was found to hold.
struct SegmentTally {
  var recordCount: UInt64 = 0
  var batchCount: UInt64 = 0
  var eventSize: UInt64 = 0
  var firstTime: Timestamp?
  var lastTime: Timestamp?

  mutating func add(_ frame: FrameHeader, _ section: BatchClearSection) {
    recordCount &+= UInt64(frame.recordCount)
    batchCount &+= 1
    eventSize &+= section.eventSize
    if firstTime == nil { firstTime = frame.baseTime }
    lastTime = Timestamp(
      microseconds: frame.baseTime.microseconds &+ Int64(bitPattern: section.timeSpan))
  }

  /// What a summary says that is not so, each as `word there, here`.
  func differences(from summary: SegmentSummary, end: RecoveryRule.Start) -> [String] {
    let none = Timestamp(microseconds: 0)
    let pairs: [(String, String, String)] = [
      ("end position", "\(summary.endPosition)", "\(end.position)"),
      ("next number", "\(summary.nextNumber)", "\(end.nextNumber)"),
      ("chain", Hexadecimal.text(summary.chain), Hexadecimal.text(end.chain)),
      ("epoch", "\(summary.epoch)", "\(end.epoch)"),
      ("records", "\(summary.recordCount)", "\(recordCount)"),
      ("batches", "\(summary.batchCount)", "\(batchCount)"),
      ("event size", "\(summary.eventSize)", "\(eventSize)"),
      (
        "first time", "\(summary.firstTime.microseconds)",
        "\((firstTime ?? none).microseconds)"
      ),
      ("last time", "\(summary.lastTime.microseconds)", "\((lastTime ?? none).microseconds)"),
    ]
    return pairs.filter { $0.1 != $0.2 }.map { "\($0.0) \($0.1), found \($0.2)" }
  }
}

/// Checks one segment: every frame and checksum, and what only the contents can show.
final class SegmentCheck {
  private let walk: SegmentWalk
  private let name: String
  private let source: InspectedSource
  /// Nil for streams whose partition does not follow from the device.
  private let partitionCount: Int?
  private var index: IndexComparison?
  private let header: FileHeader
  /// The frame that stands last, while nothing is missing behind it.
  private var previous: ScannedFrame?
  private(set) var lastTime: Timestamp?
  private(set) var tally = SegmentTally()
  private(set) var frameCount = 0
  /// The batches that stand.
  private(set) var batches: [ScannedFrame] = []
  private(set) var isDamaged = false
  private(set) var indexEntryCount = 0

  init(
    source: InspectedSource, header: FileHeader, evidence: UInt64, lastTime: Timestamp?,
    isSealed: Bool, partitionCount: Int?, contents: FrameContents,
    records: RecordCheck, index: (InspectedSource, FileHeader)?
  ) {
    walk = SegmentWalk(
      source: source, header: header, evidence: evidence, contents: contents, isSealed: isSealed,
      records: records)
    name = source.name
    self.source = source
    self.header = header
    self.lastTime = lastTime
    self.partitionCount = partitionCount
    self.index = index.map { IndexComparison($0.0, header: $0.1) }
  }

  func run(_ add: (Damage) -> Void) -> FrameJudge.Outcome {
    let outcome = walk.run { item in
      switch item {
      case .damage(let damage):
        add(damage)
        // The frame that holds the record is sound, and so is what is compared with it.
        guard damage.kind != .badRecord else { break }
        isDamaged = isDamaged || damage.kind.severity == .error
        guard damage.kind != .flippedBit else { break }
        previous = nil
        index?.passLoss()
      case .frame(let frame, let batch):
        frameCount += 1
        if frame.state == .ok || frame.state == .bodyDamaged || frame.state == .ignorable {
          check(frame, batch, add)
        }
      }
      return .goOn
    }
    if let damage = source.damage {
      add(damage)
      isDamaged = true
    }
    index?.finish()
    indexEntryCount = index?.count ?? 0
    for damage in index?.damages ?? [] { add(damage) }
    return outcome
  }

  private func check(
    _ frame: InspectedFrame, _ batch: FrameContents.Batch?, _ add: (Damage) -> Void
  ) {
    checkEpoch(frame, add)
    previous = frame.frame
    guard frame.header.type == FrameHeader.FrameType.batch else { return }
    batches.append(frame.frame)
    index?.pass(frame.frame, eventSize: batch?.section.eventSize)
    guard let batch else { return }
    tally.add(frame.header, batch.section)
    checkTimes(frame, batch, add)
    checkDevices(frame, batch, add)
  }

  /// Epoch frames count up by one; every other frame keeps the epoch.
  private func checkEpoch(_ frame: InspectedFrame, _ add: (Damage) -> Void) {
    // A file that was made anew may begin with the epoch its writer was in.
    guard let previous, previous.end == frame.position else { return }
    let before = previous.header.epoch
    let isEpoch = frame.header.type == FrameHeader.FrameType.epoch
    let expected = isEpoch ? before &+ 1 : before
    guard frame.header.epoch != expected else { return }
    isDamaged = true
    add(
      Damage(
        .brokenChain, file: name, position: frame.position,
        detail: "the frame has epoch \(frame.header.epoch), expected \(expected)"))
  }

  private func checkTimes(
    _ frame: InspectedFrame, _ batch: FrameContents.Batch, _ add: (Damage) -> Void
  ) {
    for number in 0..<batch.decoded.count {
      let time = batch.decoded.time(at: number)
      if let lastTime, time < lastTime {
        isDamaged = true
        add(
          Damage(
            .timeStepsBack, file: name, position: frame.position,
            detail: "event \(batch.decoded.baseOffset &+ UInt64(number)) was enqueued before "
              + "the one in front of it"))
        self.lastTime = batch.decoded.time(at: batch.decoded.count - 1)
        return
      }
      lastTime = time
    }
  }

  private func checkDevices(
    _ frame: InspectedFrame, _ batch: FrameContents.Batch, _ add: (Damage) -> Void
  ) {
    guard let partitionCount, partitionCount > 0 else { return }
    var stray: (device: DeviceID, home: PartitionID)?
    batch.decoded.forEachDevice { id in
      let home = PartitionID(ofHash: DeviceID.hash(of: id), partitionCount: partitionCount)
      if stray == nil, home.number != Int(header.partition) {
        // SAFETY: bytes have no padding.
        stray = (DeviceID(trusted: unsafe id.bytes), home)
      }
    }
    guard let stray else { return }
    isDamaged = true
    add(
      Damage(
        .misplacedDevice, file: name, position: frame.position,
        detail: "device \(stray.device) belongs to partition \(stray.home.number), not to "
          + "\(header.partition)"))
  }
}
