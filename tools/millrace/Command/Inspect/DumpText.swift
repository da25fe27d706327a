import CommandSupport
import EventModel
import LogFormat
import LogInspection

/// What a file holds, in numbers.
struct FileTally {
  private var frameCount = 0
  private var batchCount = 0
  private var recordCount: UInt64 = 0
  private var first: UInt64?
  private var next: UInt64 = 0
  var indexEntryCount = 0
  var footerBatchCount = 0
  var footerDeviceCount = 0

  mutating func add(_ frame: InspectedFrame) {
    frameCount += 1
    guard frame.state == .ok, frame.header.type == FrameHeader.FrameType.batch else { return }
    batchCount += 1
    recordCount += UInt64(frame.header.recordCount)
    first = first ?? frame.header.baseNumber
    next = frame.header.nextNumber
  }

  /// One line; nil if there was nothing to count.
  var text: String? {
    if indexEntryCount > 0 { return "\(indexEntryCount) index entries" }
    if footerBatchCount > 0 { return "\(footerBatchCount) batches, \(footerDeviceCount) devices" }
    guard frameCount > 0 else { return nil }
    guard let first else { return "\(frameCount) frames" }
    return "\(frameCount) frames, \(batchCount) batches, \(recordCount) events: "
      + "\(first) up to \(next)"
  }
}

extension InspectedFile {
  var text: String {
    guard let header else { return "\(name): \(size) bytes, no readable header" }
    var text = "\(name): \(header.kind), \(size) bytes, store \(header.storeID)"
    text += ", file \(header.fileID)"
    if [.segment, .journal, .index, .footer].contains(header.kind) {
      text += ", \(ManifestEdit.LogID(header).text)"
      text += ", from \(header.baseNumber)"
    }
    return text + ", created \(TimeText.string(header.created))"
  }
}

extension InspectedFrame {
  /// The frame's type in words.
  var typeName: String {
    switch header.type {
    case FrameHeader.FrameType.batch: "batch"
    case FrameHeader.FrameType.mark: "mark"
    case FrameHeader.FrameType.epoch: "epoch"
    case FrameHeader.FrameType.manifestEdits: "manifest-edits"
    case FrameHeader.FrameType.checkpointEntries: "checkpoint-entries"
    default: "type-\(header.type)"
    }
  }

  var text: String {
    var text = "frame at \(position): \(typeName)"
    if state != .ok { text += " (\(state.rawValue))" }
    text +=
      header.recordCount > 0
      ? ", \(header.recordCount) from \(header.baseNumber)" : ", next \(header.baseNumber)"
    text += ", watermark \(header.watermark), epoch \(header.epoch), \(header.codec)"
    text += ", \(header.clearSize)+\(header.storedSize) bytes"
    return text + ", \(TimeText.string(header.baseTime))"
  }
}

extension ManifestEdit {
  var text: String {
    switch self {
    case .identity(let identity): "identity, \(identity.partitionCount) partitions"
    case .configuration(let configuration):
      "configuration, codec \(configuration.codec), segments of \(configuration.segmentSize) "
        + "bytes, batches of \(configuration.batchSize), retention age "
        + "\(configuration.retentionAge) µs, size \(configuration.retentionSize) bytes (0: none)"
    case .segmentAdded(let added):
      "segment \(added.segmentID) added to \(added.log.text) from \(added.baseNumber)"
    case .segmentSealed(let sealed):
      "segment \(sealed.segmentID) sealed, \(sealed.summary.text)"
    case .segmentRetired(let segmentID): "segment \(segmentID) retired"
    case .segmentReplaced(let replaced):
      "segment \(replaced.segmentID) replaced by \(replaced.added.segmentID) in "
        + "\(replaced.added.log.text), \(replaced.summary.text)"
    case .readingFirst(let rule):
      rule.isOn
        ? "segments stay until every group has read them, up to \(rule.sizeMax) bytes (0: no bound)"
        : "segments go whether they were read or not"
    case .queuesFiled(let checkpoint):
      "queue files up to checkpoint \(checkpoint.number) hold the queues' journal below "
        + "\(checkpoint.floor)"
    case .cut(let cut):
      "segment \(cut.segmentID) cut at \(cut.position): \(cut.size) bytes (\(cut.verdict)) went "
        + "to quarantine/\(cut.quarantineName); next \(cut.nextNumber), watermark \(cut.watermark)"
    case .gap(let gap):
      "gap in \(gap.log.text), \(gap.first) up to \(gap.next) (\(gap.reason)), between "
        + "\(TimeText.string(gap.from)) and \(TimeText.string(gap.to))"
    case .segmentIDFloor(let segmentID): "segment ids from \(segmentID) on are free"
    case .opened(let time): "opened \(TimeText.string(time))"
    case .closed(let time, let ends, let checkpoints):
      "closed \(TimeText.string(time)): "
        + (ends.map { "\($0.log.text) \($0.summary.text)" }
        + (checkpoints.isKnown ? ["checkpoints end at \(checkpoints.position)"] : []))
        .joined(separator: "; ")
    }
  }
}

extension SegmentSummary {
  var text: String {
    "\(recordCount) events in \(batchCount) batches, next \(nextNumber), ends at \(endPosition)"
  }
}

extension CheckpointEntry {
  var text: String {
    switch self {
    case .groupCreated(let group, let time):
      "group \(group.text) created \(TimeText.string(time))"
    case .groupDeleted(let group, let time):
      "group \(group.text) deleted \(TimeText.string(time))"
    case .checkpoint(let checkpoint):
      "group \(checkpoint.group.text) in partition \(checkpoint.partition) goes on at "
        + "\(checkpoint.next) (\(TimeText.string(checkpoint.time)))"
    case .owner(let owner):
      "group \(owner.group.text) has an owner of epoch \(owner.epoch) in partition "
        + "\(owner.partition) (\(TimeText.string(owner.time)))"
    }
  }
}

extension FooterBatch {
  var text: String {
    "at \(position) from \(baseNumber), \(recordCount) events, \(TimeText.string(firstTime)) to "
      + "\(TimeText.string(lastTime))"
  }
}

extension InspectedDevice {
  var text: String {
    "\(id) in \(device.postingCount) batches, last event \(device.lastNumber), "
      + TimeText.string(device.lastTime)
  }
}

extension IndexEntry {
  var text: String {
    "batch at \(position) from \(baseNumber), \(TimeText.string(baseTime)); before it "
      + "\(recordCount) events in \(batchCount) batches"
  }
}
