import CommandSupport
import EventModel
import LogFormat
import LogInspection

extension JSONValue {
  /// A time as events have it.
  init(_ time: Timestamp) { self = .string(TimeText.string(time)) }

  /// A checksum, as its hexadecimal digits.
  fileprivate static func checksum(_ value: UInt32) -> Self { .string(Hexadecimal.text(value)) }
}

extension InspectedFile {
  var json: JSONValue {
    var json: JSONValue = ["file": .string(name), "size": .integer(size)]
    guard let header else { return json }
    json.append("kind", .string("\(header.kind)"))
    json.append("storeId", .string(header.storeID.description))
    json.append("fileId", .unsigned(header.fileID))
    if header.isSegment || header.kind == .index {
      json.append("stream", .string("\(header.stream)"))
      json.append("partition", .integer(Int(header.partition)))
      json.append("baseNumber", .unsigned(header.baseNumber))
    }
    json.append("created", JSONValue(header.created))
    return json
  }
}

extension InspectedFrame {
  var json: JSONValue {
    [
      "file": .string(file), "position": .integer(position), "type": .string(typeName),
      "state": .string(state.rawValue), "codec": .string("\(header.codec)"),
      "epoch": .integer(Int(header.epoch)), "recordCount": .integer(Int(header.recordCount)),
      "baseNumber": .unsigned(header.baseNumber), "baseTime": JSONValue(header.baseTime),
      "watermark": .unsigned(header.watermark), "clearSize": .integer(Int(header.clearSize)),
      "storedSize": .integer(Int(header.storedSize)), "frameSize": .integer(header.frameSize),
      "headerChecksum": .checksum(frame.checksum),
      "clearChecksum": .checksum(header.clearChecksum),
      "bodyChecksum": .checksum(header.bodyChecksum),
      "contentChecksum": .checksum(header.contentChecksum), "chain": .checksum(header.chain),
    ]
  }
}

extension InspectedEntry {
  /// Where the entry stands.
  private var place: JSONValue {
    ["file": .string(file), "position": .integer(position), "number": .unsigned(number)]
  }

  /// The place, and members behind it.
  fileprivate func json(_ members: [(String, JSONValue)]) -> JSONValue {
    members.reduce(into: place) { json, member in json.append(member.0, member.1) }
  }
}

extension InspectedEntry<ManifestEdit> {
  var json: JSONValue {
    switch entry {
    case .identity(let identity):
      json([
        ("kind", "identity"), ("partitionCount", .integer(Int(identity.partitionCount))),
      ])
    case .configuration(let configuration):
      json([
        ("kind", "configuration"), ("codec", .string("\(configuration.codec)")),
        ("segmentSize", .unsigned(configuration.segmentSize)),
        ("batchSize", .unsigned(configuration.batchSize)),
        ("retentionAge", .unsigned(configuration.retentionAge)),
        ("retentionSize", .unsigned(configuration.retentionSize)),
      ])
    case .segmentAdded(let added):
      json(
        [("kind", "segmentAdded")] + added.log.members + [
          ("segmentId", .unsigned(added.segmentID)), ("baseNumber", .unsigned(added.baseNumber)),
          ("predecessorId", .unsigned(added.predecessorID)), ("created", JSONValue(added.created)),
        ])
    case .segmentSealed(let sealed):
      json(
        [("kind", "segmentSealed"), ("segmentId", .unsigned(sealed.segmentID))]
          + sealed.summary.members)
    case .segmentRetired(let segmentID):
      json([("kind", "segmentRetired"), ("segmentId", .unsigned(segmentID))])
    case .segmentReplaced(let replaced):
      json(
        [("kind", "segmentReplaced")] + replaced.added.log.members + [
          ("segmentId", .unsigned(replaced.segmentID)),
          ("replacementId", .unsigned(replaced.added.segmentID)),
        ] + replaced.summary.members)
    case .readingFirst(let rule):
      json([
        ("kind", "readingFirst"), ("isOn", .boolean(rule.isOn)),
        ("sizeMax", .unsigned(rule.sizeMax)),
      ])
    case .queuesFiled(let checkpoint):
      json([
        ("kind", "queuesFiled"), ("checkpoint", .integer(Int(checkpoint.number))),
        ("floor", .unsigned(checkpoint.floor)),
      ])
    case .cut(let cut): json(cut.members)
    case .gap(let gap):
      json(
        [("kind", "gap")] + gap.log.members + [
          ("segmentId", .unsigned(gap.segmentID)), ("firstSequence", .unsigned(gap.first)),
          ("nextSequence", .unsigned(gap.next)), ("reason", .string("\(gap.reason)")),
          ("from", JSONValue(gap.from)), ("to", JSONValue(gap.to)),
        ])
    case .segmentIDFloor(let segmentID):
      json([("kind", "segmentIdFloor"), ("segmentId", .unsigned(segmentID))])
    case .opened(let time): json([("kind", "opened"), ("time", JSONValue(time))])
    case .closed(let time, let ends, let checkpoints):
      json(
        [
          ("kind", "closed"), ("time", JSONValue(time)), ("ends", .array(ends.map(\.json))),
        ] + (checkpoints.isKnown ? [("checkpointsEnd", .unsigned(checkpoints.position))] : []))
    }
  }
}

extension ManifestEdit.LogID {
  fileprivate var members: [(String, JSONValue)] {
    [("stream", .string("\(stream)")), ("partition", .integer(Int(partition)))]
  }
}

extension ManifestEdit.LogEnd {
  fileprivate var json: JSONValue {
    let members = log.members + [("segmentId", .unsigned(segmentID))] + summary.members
    return .object(members.map { JSONValue.Member($0.0, $0.1) })
  }
}

extension ManifestEdit.TailCut {
  fileprivate var members: [(String, JSONValue)] {
    [
      ("kind", "cut"), ("segmentId", .unsigned(segmentID)), ("cutPosition", .unsigned(position)),
      ("size", .unsigned(size)), ("verdict", .string("\(verdict)")),
      ("nextNumber", .unsigned(nextNumber)), ("watermark", .unsigned(watermark)),
      ("time", JSONValue(time)), ("quarantineName", .string(quarantineName)),
    ]
  }
}

extension SegmentSummary {
  fileprivate var members: [(String, JSONValue)] {
    var members: [(String, JSONValue)] = [
      ("endPosition", .unsigned(endPosition)), ("nextNumber", .unsigned(nextNumber)),
      ("recordCount", .unsigned(recordCount)), ("batchCount", .unsigned(batchCount)),
      ("eventSize", .unsigned(eventSize)),
    ]
    if recordCount > 0 {
      members += [("firstTime", JSONValue(firstTime)), ("lastTime", JSONValue(lastTime))]
    }
    return members
  }
}

extension InspectedEntry<CheckpointEntry> {
  var json: JSONValue {
    switch entry {
    case .groupCreated(let group, let time):
      json([
        ("kind", "groupCreated"), ("group", .string(group.text)), ("time", JSONValue(time)),
      ])
    case .groupDeleted(let group, let time):
      json([
        ("kind", "groupDeleted"), ("group", .string(group.text)), ("time", JSONValue(time)),
      ])
    case .checkpoint(let checkpoint):
      json([
        ("kind", "checkpoint"), ("group", .string(checkpoint.group.text)),
        ("partition", .integer(Int(checkpoint.partition))), ("next", .unsigned(checkpoint.next)),
        ("ownerEpoch", .unsigned(checkpoint.ownerEpoch)), ("time", JSONValue(checkpoint.time)),
      ])
    case .owner(let owner):
      json([
        ("kind", "owner"), ("group", .string(owner.group.text)),
        ("partition", .integer(Int(owner.partition))), ("epoch", .unsigned(owner.epoch)),
        ("time", JSONValue(owner.time)),
      ])
    }
  }
}

extension InspectedEntry<FooterBatch> {
  var json: JSONValue {
    json([
      ("batchPosition", .unsigned(entry.position)), ("baseNumber", .unsigned(entry.baseNumber)),
      ("recordCount", .integer(Int(entry.recordCount))), ("firstTime", JSONValue(entry.firstTime)),
      ("lastTime", JSONValue(entry.lastTime)), ("frameSize", .integer(Int(entry.frameSize))),
      ("frameChecksum", .checksum(entry.frameChecksum)),
    ])
  }
}

extension InspectedEntry<InspectedDevice> {
  var json: JSONValue {
    json([
      ("deviceId", .string(entry.id)), ("batches", .integer(Int(entry.device.postingCount))),
      ("lastSequence", .unsigned(entry.device.lastNumber)),
      ("lastTime", JSONValue(entry.device.lastTime)),
    ])
  }
}

extension InspectedEntry<IndexEntry> {
  var json: JSONValue {
    json([
      ("batchPosition", .unsigned(entry.position)), ("baseNumber", .unsigned(entry.baseNumber)),
      ("baseTime", JSONValue(entry.baseTime)), ("recordCount", .unsigned(entry.recordCount)),
      ("batchCount", .unsigned(entry.batchCount)), ("eventSize", .unsigned(entry.eventSize)),
      ("epoch", .integer(Int(entry.epoch))), ("frameChecksum", .checksum(entry.frameChecksum)),
    ])
  }
}
