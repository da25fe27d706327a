package import EventModel

/// One change to the consumer groups of a store (format-spec §9).
package enum CheckpointEntry: Hashable, Sendable {
  case groupCreated(GroupName, at: Timestamp)
  case groupDeleted(GroupName, at: Timestamp)
  case checkpoint(GroupCheckpoint)
  case owner(PartitionOwner)

  /// Who may commit for a group in a partition: an epoch, and no older one.
  package struct PartitionOwner: Hashable, Sendable {
    package var group: GroupName
    package var partition: UInt32
    package var epoch: UInt64
    package var time: Timestamp

    package init(group: GroupName, partition: UInt32, epoch: UInt64, time: Timestamp) {
      self.group = group
      self.partition = partition
      self.epoch = epoch
      self.time = time
    }
  }

  /// Where a group goes on in a partition.
  package struct GroupCheckpoint: Hashable, Sendable {
    package var group: GroupName
    package var partition: UInt32
    package var next: UInt64
    /// The epoch of the owner that committed; 0 without ownership.
    package var ownerEpoch: UInt64
    package var time: Timestamp

    package init(
      group: GroupName, partition: UInt32, next: UInt64, ownerEpoch: UInt64, time: Timestamp
    ) {
      self.group = group
      self.partition = partition
      self.next = next
      self.ownerEpoch = ownerEpoch
      self.time = time
    }
  }

  private enum Kind {
    static let groupCreated: UInt8 = 1
    static let groupDeleted: UInt8 = 2
    static let checkpoint: UInt8 = 3
    static let owner: UInt8 = 4
    static let ignorable: UInt8 = 128
  }

  package func encode(into buffer: inout ByteBuffer) {
    var fields = ByteBuffer(capacity: 128)
    let kind: UInt8
    switch self {
    case .groupCreated(let group, let time):
      kind = Kind.groupCreated
      fields.appendText(group.text)
      fields.append(time.microseconds)
    case .groupDeleted(let group, let time):
      kind = Kind.groupDeleted
      fields.appendText(group.text)
      fields.append(time.microseconds)
    case .checkpoint(let checkpoint):
      kind = Kind.checkpoint
      fields.appendText(checkpoint.group.text)
      fields.append(checkpoint.partition)
      fields.append(checkpoint.next)
      fields.append(checkpoint.ownerEpoch)
      fields.append(checkpoint.time.microseconds)
    case .owner(let owner):
      kind = Kind.owner
      fields.appendText(owner.group.text)
      fields.append(owner.partition)
      fields.append(owner.epoch)
      fields.append(owner.time.microseconds)
    }
    buffer.append(kind)
    buffer.appendVariableLength(UInt64(fields.count))
    fields.withBytes { buffer.append($0) }
  }

  /// Decodes the entries of a frame's body.
  package static func decodeAll(
    _ bytes: RawSpan, count: Int
  ) throws(FormatError) -> [CheckpointEntry] {
    var reader = ByteReader(bytes)
    var entries: [CheckpointEntry] = []
    for _ in 0..<count {
      let kind = try reader.integer(UInt8.self)
      let range = try reader.range(try reader.count(atMost: reader.remaining))
      guard kind < Kind.ignorable else { continue }
      var fields = ByteReader(bytes.extracting(range))
      entries.append(try decode(kind, &fields))
      guard fields.remaining == 0 else {
        throw .corrupt("a checkpoint entry has \(fields.remaining) bytes too many")
      }
    }
    guard reader.remaining == 0 else {
      throw .corrupt("\(reader.remaining) bytes follow the checkpoint entries")
    }
    return entries
  }

  @_lifetime(fields: copy fields)
  private static func decode(
    _ kind: UInt8, _ fields: inout ByteReader
  ) throws(FormatError) -> CheckpointEntry {
    guard (Kind.groupCreated...Kind.owner).contains(kind) else {
      throw .unsupportedFeatures(UInt32(kind))
    }
    let text = try fields.text(sizeMax: Limits.groupNameSizeMax)
    let group: GroupName
    do {
      group = try GroupName(text)
    } catch {
      throw .corrupt("\(error)")
    }
    switch kind {
    case Kind.groupCreated:
      return .groupCreated(group, at: Timestamp(microseconds: try fields.integer()))
    case Kind.groupDeleted:
      return .groupDeleted(group, at: Timestamp(microseconds: try fields.integer()))
    case Kind.checkpoint:
      let partition = try fields.integer(UInt32.self)
      guard PartitionID.isReadable(partition) else { throw .corrupt("partition \(partition)") }
      return .checkpoint(
        GroupCheckpoint(
          group: group, partition: partition, next: try fields.number(),
          ownerEpoch: try fields.number(),
          time: Timestamp(microseconds: try fields.integer())))
    case Kind.owner:
      let partition = try fields.integer(UInt32.self)
      guard PartitionID.isReadable(partition) else { throw .corrupt("partition \(partition)") }
      return .owner(
        PartitionOwner(
          group: group, partition: partition, epoch: try fields.number(),
          time: Timestamp(microseconds: try fields.integer())))
    default: throw .unsupportedFeatures(UInt32(kind))
    }
  }
}
